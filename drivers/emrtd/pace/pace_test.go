package pace

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// ICAO Doc 9303-11 App G.1: generic mapping, brainpoolP256r1, AES-128, from
// the MRZ T22000129 / 640812 / 101031.
func TestAppendixG1(t *testing.T) {
	infos := Parse([][]byte{unhex("3012060A04007F0007020204020202010202010D")})
	if len(infos) != 1 || infos[0].Mapping != GM || infos[0].Cipher != kdf.AES128 || infos[0].Parameter != 13 || !infos[0].Supported() {
		t.Fatalf("PACEInfo %v", infos)
	}
	i := infos[0]
	k := PasswordKey("T22000129364081251010318")
	if !bytes.Equal(k, unhex("7E2D2A41C74EA0B38CD36F863939BFA8E9032AAD")) {
		t.Errorf("K %X", k)
	}
	r, err := Start(i, k, unhex("95A3A016522EE98D01E76CB6B98B42C3"), bytes.NewReader(nil))
	if err != nil || !bytes.Equal(r.nonce, unhex("3F00C4D39D153F2B2A214A078D899B22")) {
		t.Fatalf("nonce %X, %v", r.nonce, err)
	}
	c := r.curve
	key := func(d string, base curve.Point) curve.Key {
		n := new(big.Int).SetBytes(unhex(d))
		return curve.Key{D: n, Public: c.Mul(n, base)}
	}
	r.map1 = key("7F4EF07B9EA82FD78AD689B38D0BC78CF21F249D953BC46F4C6E19259C010F99", c.G)
	if err := r.MapWith(unhex("04824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F5730D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C54")); err != nil {
		t.Fatal(err)
	}
	if got := c.Encode(r.base); !bytes.Equal(got, unhex("048CED63C91426D4F0EB1435E7CB1D74A46723A0AF21C89634F65A9AE87A9265E28C879506743F8611AC33645C5B985C80B5F09A0B83407C1B6A4D857AE76FE522")) {
		t.Errorf("mapped generator %X", got)
	}
	r.key = key("A73FB703AC1436A18E0CFA5ABB3F7BEC7A070E7A6788486BEE230C4A22762595", r.base)
	chip := unhex("049E880F842905B8B3181F7AF7CAA9F0EFB743847F44A306D2D28C1D9EC65DF6DB7764B22277A2EDDC3C265A9F018F9CB852E111B768B326904B59A0193776F094")
	if err := r.AgreeWith(chip); err != nil || !bytes.Equal(r.secret, unhex("28768D20701247DAE81804C9E780EDE582A9996DB4A315020B2733197DB84925")) {
		t.Fatalf("secret %X, %v", r.secret, err)
	}
	if own, err := r.OwnToken(chip); err != nil || !bytes.Equal(own, unhex("C2B0BD78D94BA866")) {
		t.Errorf("own token %X, %v", own, err)
	}
	if _, err := r.Finish(unhex("3ABB9674BCE93C08")); err != nil {
		t.Error(err)
	}
	if _, err := r.Finish(unhex("3ABB9674BCE93C09")); err == nil {
		t.Error("a wrong token is accepted")
	}
	if err := r.AgreeWith(c.Encode(r.key.Public)); err == nil {
		t.Error("our own key is accepted as the chip's")
	}
	if err := r.AgreeWith(append([]byte{4}, make([]byte, 64)...)); err == nil {
		t.Error("a point off the curve is accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex("3012060A04007F0007020204020202010202010D"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, i := range Parse([][]byte{b}) {
			if i.Supported() && (i.Cipher < kdf.TDES || i.Cipher > kdf.AES256) {
				t.Errorf("supported: %v", i)
			}
		}
	})
}
