package persona

import (
	"fmt"
	"testing"
	"time"

	"passage/drivers/emrtd/mrz"
)

func TestCatalogue(t *testing.T) {
	list, err := All()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]Persona{}
	for _, p := range list {
		seen[p.ID] = p
		m, err := mrz.Make(p.MRZ(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)))
		if err != nil || !m.Composite() {
			t.Errorf("%s: %v", p.ID, err)
		}
		if (p.Outcome == "released") != (p.Reason == "") {
			t.Errorf("%s: %s with reason %q", p.ID, p.Outcome, p.Reason)
		}
	}
	for n := 1; n <= 72; n++ {
		if _, ok := seen[fmt.Sprintf("P%02d", n)]; !ok {
			t.Errorf("P%02d is missing", n)
		}
	}
}
