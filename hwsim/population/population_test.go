package population

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"passage/eesclient/names"
	"passage/eesclient/stay"
)

// People are as the contract allows them, nobody shares a document, stays make
// sense, and the same number is always the same person.
func TestPerson(t *testing.T) {
	today := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	documents, hits, open := map[string]bool{}, 0, 0
	number := regexp.MustCompile("^[A-Z0-9]{8,9}$")
	const people = 20_000
	for i := range people {
		p := Person(1, i, today)
		if !reflect.DeepEqual(p, Person(1, i, today)) {
			t.Fatalf("%d is somebody else each time", i)
		}
		key := p.Issuer + p.Number
		if documents[key] || !number.MatchString(p.Number) {
			t.Errorf("document %s", key)
		}
		documents[key] = true
		if names.Normal(p.Surname) != p.Surname || names.Normal(p.GivenNames) != p.GivenNames || len(p.Surname) > 39 {
			t.Errorf("name %s, %s", p.Surname, p.GivenNames)
		}
		hits += len(p.Hits)
		last := stay.Day(0)
		for k, s := range p.Stays {
			if s.First <= last || s.Last != 0 && (s.Last < s.First || s.Last >= stay.On(today)) || s.Last == 0 && k != len(p.Stays)-1 {
				t.Errorf("stays %v", p.Stays)
			}
			if last = s.Last; last == 0 {
				open++
			}
		}
	}
	if hits < people/200 || hits > people/50 || open < people/60 || open > people/20 {
		t.Errorf("%d on lists, %d here now, of %d", hits, open, people)
	}
}
