package persona

import (
	"strings"
	"testing"
	"time"
)

func TestEdit(t *testing.T) {
	list, err := All()
	if err != nil {
		t.Fatal(err)
	}
	p := list[0]
	q, err := p.Edit("age=12", "state=GBR", "script=mask", "chip.clone=1", "hits.SIS=DISCREET", "stays=[[-20,0]]", "registered=true", `name=["Sample","Anna Maria"]`)
	if err != nil {
		t.Fatal(err)
	}
	if q.Age != 12 || q.State != "GBR" || q.Script != "mask" || q.Chip["clone"] != 1 || q.Hits["SIS"] != "DISCREET" || len(q.Stays) != 1 || !q.Registered || q.Name[1] != "Anna Maria" {
		t.Errorf("%+v", q)
	}
	if p.Age == 12 || len(p.Chip) > 0 || len(p.Hits) > 0 || p.Name[0] == "Sample" {
		t.Errorf("the catalogue has changed: %+v", p)
	}
	q.Copy = 7
	if q.Number() == p.Number() || len(q.Number()) > 9 || q.Person(time.Now()).File == "" {
		t.Errorf("number %q of the copy, %q of the original", q.Number(), p.Number())
	}
	for change, why := range map[string]string{
		"age": "KEY=VALUE", "id=P99": "KEY=VALUE", "age=old": "age", "age=1000": "0 to 99", "shoe=42": "shoe", "script=dance": "script", "state=x": "letters",
		"chip.sings=1": "sings", "pki=none_such": "none_such", "profile=none_such": "none_such", "age=1\nid=2": "KEY=VALUE", `name=["A"]`: "name", "lane=roof": "lane",
	} {
		if _, err := p.Edit(change); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want a word about %q", change, err, why)
		}
	}
	words, err := p.Words()
	if err != nil || words["state"] != "D" || words["age"] != int64(38) {
		t.Errorf("%v, %v", words, err)
	}
}

func FuzzEdit(f *testing.F) {
	list, err := All()
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []string{"age=12", "chip.clone=1", "stays=[[-20,0]]", "name=[\"A\",\"B\"]", "hits.SIS='x'"} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, change string) {
		p, err := list[0].Edit(change)
		if err != nil {
			return
		}
		if bad := p.problems(); len(bad) > 0 || p.ID != list[0].ID {
			t.Errorf("%q was accepted: %v", change, bad)
		}
		p.MRZ(time.Unix(0, 0)).Lines() // must not panic
	})
}
