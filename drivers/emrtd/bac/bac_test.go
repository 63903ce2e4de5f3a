package bac

import (
	"bytes"
	"encoding/hex"
	"testing"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/sm"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// ICAO Doc 9303-11 App D.2 to D.4: one whole BAC and the first protected
// commands.
func TestAppendixD(t *testing.T) {
	c, data, err := Start("L898902C<369080619406236", unhex("4608F91988702212"), unhex("781723860C06C226"), unhex("0B795240CB7049B01C19B33E32804F0B"))
	if err != nil {
		t.Fatal(err)
	}
	if want := unhex("72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F25F1448EEA8AD90A7"); !bytes.Equal(data, want) {
		t.Errorf("EXTERNAL AUTHENTICATE data %X", data)
	}
	seed, ssc, err := c.Finish(unhex("46B9342A41396CD7386BF5803104D7CEDC122B9132139BAF2EEDC94EE178534F2F2D235D074D7449"))
	if err != nil || !bytes.Equal(ssc, unhex("887022120C06C226")) {
		t.Fatalf("SSC %X, %v", ssc, err)
	}
	s, err := sm.New(kdf.TDES, seed, ssc)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		c       apdu.Command
		wrapped string
		reply   string
		data    string
	}{
		{apdu.Command{INS: 0xA4, P1: 2, P2: 0x0C, Data: []byte{1, 0x1E}}, "0CA4020C158709016375432908C044F68E08BF8B92D635FF24F800", "990290008E08FA855A5D4C50A8ED9000", ""},
		{apdu.Command{INS: 0xB0, Ne: 4}, "0CB000000D9701048E08ED6705417E96BA5500", "8709019FF0EC34F9922651990290008E08AD55CC17140B2DED9000", "60145F01"},
		{apdu.Command{INS: 0xB0, P2: 4, Ne: 18}, "0CB000040D9701128E082EA28A70F3C7B53500", "871901FB9235F4E4037F2327DCC8964F1F9B8C30F42C8E2FFF224A990290008E08C8B2787EAEA07D749000", "04303130365F36063034303030305C026175"},
	} {
		w, err := s.Wrap(step.c)
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Bytes()
		if err != nil || !bytes.Equal(b, unhex(step.wrapped)) {
			t.Fatalf("wrapped %X, %v", b, err)
		}
		r, err := apdu.ParseResponse(unhex(step.reply))
		if err != nil {
			t.Fatal(err)
		}
		if r, err = s.Unwrap(r); err != nil || !bytes.Equal(r.Data, unhex(step.data)) || r.SW != apdu.OK {
			t.Fatalf("unwrapped %X %v, %v", r.Data, r.SW, err)
		}
	}
}

func TestFinishRefuses(t *testing.T) {
	c, _, err := Start("L898902C<369080619406236", unhex("4608F91988702212"), unhex("781723860C06C226"), unhex("0B795240CB7049B01C19B33E32804F0B"))
	if err != nil {
		t.Fatal(err)
	}
	reply := unhex("46B9342A41396CD7386BF5803104D7CEDC122B9132139BAF2EEDC94EE178534F2F2D235D074D7449")
	for i := range reply {
		bad := bytes.Clone(reply)
		bad[i] ^= 1
		if _, _, err := c.Finish(bad); err == nil {
			t.Fatalf("byte %d changed, and accepted", i)
		}
	}
	if _, _, err := c.Finish(reply[:39]); err == nil {
		t.Error("a short answer is accepted")
	}
}
