package register_test

import (
	"testing"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/hwsim/population"
	"passage/hwsim/register"
)

// A populated register finds its people, by document and on their lists.
func TestPopulate(t *testing.T) { each(t, testPopulate) }

func testPopulate(t *testing.T, b bench) {
	const n = 3000
	today := time.Now()
	last := 0
	if err := b.Populate(t.Context(), n, func(i int) register.Person { return population.Person(7, i, today) }, func(done int) { last = done }); err != nil {
		t.Fatal(err)
	}
	if last != n {
		t.Errorf("%d of %d were added", last, n)
	}
	hits := 0
	for i := 0; i < n; i++ {
		p := population.Person(7, i, today)
		if i%100 != 0 && p.Hits == nil {
			continue
		}
		d := api.Document{Type: "P", Issuer: p.Issuer, Number: p.Number}
		id := api.Identity{Surname: p.Surname, GivenNames: p.GivenNames, Birth: openapi_types.Date{Time: must(time.Parse(time.DateOnly, p.Birth))}, Nationality: p.Nationality}
		if f, err := b.Client.Search(t.Context(), api.Search{Document: d, Identity: id}); err != nil || f.Outcome != "one" || *f.File != p.File {
			t.Fatalf("%d: %+v, %v", i, f, err)
		}
		for list, want := range p.Hits {
			hits++
			if want == "DISCREET" {
				want = string(eesclient.Clear)
			}
			if got := b.Client.Consult(t.Context(), api.Consultation{List: api.List(list), Document: d, Identity: id}); string(got) != want {
				t.Errorf("%d on %s: %s, want %s", i, list, got, want)
			}
		}
	}
	if hits == 0 {
		t.Error("nobody is on a list")
	}
}
