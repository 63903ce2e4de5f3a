package persona_test

import (
	"slices"
	"testing"
	"time"

	"passage/drivers/emrtd"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/persona"
	"passage/kiosk/policy"
)

// What a reader and the policy make of every document of the catalogue is what
// the persona's outcome says: without a lane, in no time.
func TestDocumentsEarnTheirReasons(t *testing.T) {
	list, err := persona.All()
	if err != nil {
		t.Fatal(err)
	}
	offices, err := persona.NewIssuers(list)
	if err != nil {
		t.Fatal(err)
	}
	var store *pki.Store
	if err := offices.Publish(func(trusted []*testpki.Authority) (err error) {
		store, err = testpki.Trust(trusted...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	chips := []string{"CHIP_AUTH", "CHIP_READ", "PA_FAIL", "PA_UNDET"}
	portraits := [][]byte{append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 12_000)...)}
	for i, p := range list {
		if _, on := p.Chip["bomb"]; on {
			continue // its reader is content; the decoder is not
		}
		card, err := offices.Card(p, i, portraits, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		card.Rate = 0
		zone, err := mrz.Parse(card.MRZ()...)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := emrtd.Read(t.Context(), card, zone, emrtd.Options{Trust: store, Now: time.Now()})
		got := "CHIP_READ"
		if err == nil {
			got = policy.Verdict(doc.Verdict).Row().Reason.String()
		}
		want := p.Reason
		if !slices.Contains(chips, want) {
			want = "" // the chip is no reason
		}
		if got != want {
			t.Errorf("%s: %s, want %s: %v, %s\n%+v", p.ID, got, want, err, doc.Verdict, doc.Checks)
		}
	}
}
