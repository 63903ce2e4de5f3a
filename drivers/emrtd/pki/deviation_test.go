package pki

import (
	"slices"
	"testing"
)

// A state speaks of its own documents, and whom it names does not change that.
func TestDeviationsOfOtherStates(t *testing.T) {
	ours, theirs := state(t, "UT"), state(t, "XX")
	signer := theirs.signs(t)
	who := encode(0x30, encode(0xA1, slices.Concat(signer.x.RawIssuer, encode(0x02, signer.cert.Serial))))
	what := encode(0x31, encode(0x30, encodeOID(t, deviation(2, 3))))
	content := encode(0x30, slices.Concat([]byte{2, 1, 0}, encode(0x31, encode(0x30, slices.Concat(who, what)))))
	store := NewStore([]*Certificate{ours.cert, theirs.cert}, nil)
	found := func(by *holder, with ...*holder) int {
		t.Helper()
		l, err := ParseDeviationList(by.sign(t, oidDeviationList, content, with...))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.AcceptDeviations(l); err != nil {
			t.Fatal(err)
		}
		l.Everywhere() // which is for defect lists
		return len(New(Material{Deviations: l.Deviations}).Deviations(Document{Signer: signer.cert}))
	}
	if n := found(theirs.signs(t, PurposeDeviationList)); n != 1 {
		t.Errorf("of its own signer: %d deviations", n)
	}
	if n := found(ours.signs(t, PurposeDeviationList)); n != 0 {
		t.Errorf("of another state's signer: %d deviations", n)
	}
	if n := found(ours.signs(t, PurposeDeviationList), signer); n != 0 {
		t.Errorf("with that signer's certificate beside its own: %d deviations", n)
	}
}
