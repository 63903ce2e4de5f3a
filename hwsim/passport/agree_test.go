package passport

import (
	"bytes"
	"crypto/sha1"
	"math/big"
	"testing"

	"passage/drivers/emrtd/kdf"
)

func number(s string) *big.Int { return new(big.Int).SetBytes(unhex(s)) }

// Doc 9303-11 App H.1 and H.2: the integrated mapping of the two nonces, over
// brainpoolP256r1 and in group 0.
func TestIntegratedMapping(t *testing.T) {
	for _, c := range []struct{ name, s, t, r, base string }{
		{
			"H.1", "2923BE84E16CD6AE529049F1F1BBE9EB", "5DD4CBFC96F5453B130D890A1CDBAE32", "A2F8FF2DF50E52C6599F386ADCB595D229F6A167ADE2BE5F2C3296ADD5B7430E",
			"8E82D31559ED0FDE92A4D0498ADD3C23BABA94FB77691E31E90AEA77FB17D4274C1AE14BD0C3DBAC0C871B7F3608169364437CA30AC243A089D3F266C1E60FAD",
		},
		{
			"H.2", "FA5B7E3E49753A0DB9178B7B9BD898C8", "B3A6DB3C870C3E99245E0D1C06B747DE",
			"A0C7C50C002061A51CC87D254EF38068607417B6EE1B36473CFB800D2D2E5FA2B6980F01105D24FAB22ACD1BFA5C8A4C093ECDFAFE6D7125D42A843E338603835CF19AFAFF75EFE21DC5F6AA1F9AE46C25087E7368166FB08C1E4627AFED7D93570417B790FF7F747E57F432B04E1236819E0DFEF5B6E77CA4999925328182D2",
			"1D7D767F11E333BCD6DBAEF40E799E7A926B96973550656FF3C830726D118D61C276CDCC61D475CF03A98E0C0E79CAEBA5BE25578BD4551D0B10903236F0B0F976852FA78EEA14EA0ACA87D1E91F688FE0DFF897BBE35A472621D343564B262F34223AE8FC59B664BFEDFA2BFE7516CA5510A6BBB633D517EC25D4E0BBAA16C2",
		},
	} {
		id := map[string]int{"H.1": 13, "H.2": 0}[c.name]
		a, err := agreementOf(id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := pseudoRandom(kdf.AES128, unhex(c.s), unhex(c.t), a.prime())
		if err != nil || r.Cmp(number(c.r)) != 0 {
			t.Errorf("%s: R_p is %X, %v", c.name, r, err)
			continue
		}
		if got := a.encode(a.integrated(r)); !bytes.HasSuffix(got, unhex(c.base)) {
			t.Errorf("%s: the base is %X", c.name, got)
		}
	}
}

// Every field element is mapped to a point of the curve.
func TestPointEncoding(t *testing.T) {
	for _, v := range Variants() {
		a, err := agreementOf(v.Parameter)
		if err != nil {
			t.Fatal(err)
		}
		k, ec := a.(onCurve)
		if v.Mapping != IM || v.Cipher != kdf.TDES || !ec {
			continue
		}
		for n := range 20 {
			h := sha1.Sum([]byte{byte(n)})
			x := new(big.Int).SetBytes(bytes.Repeat(h[:], 4))
			if p := a.integrated(x.Mod(x, a.prime())); !k.c.On(p.point) {
				t.Errorf("%s: %v is not on the curve", k.c.Name, p.point)
			}
		}
	}
}

// Doc 9303-11 App I.1: the chip authentication data and its encryption.
func TestChipAuthenticationMapping(t *testing.T) {
	secret := unhex("67950559D0C06B4D4B86972D14460837461087F8419FDBC36AAF6CEAAC462832")
	data := unhex("85DC3FA93D0952BFA82F5FD189EE75BD82F11D1F0B8ED4BF5319AC9B53C426B3")
	got, err := sealCAM(kdf.AES128, secret, data)
	if err != nil || !bytes.Equal(got, unhex("1EEA964DAAE372AC990E3EFDE6333353BFC89A6704D93DA8798CF77F5B7A54BD10CBA372B42BE0B9B5F28AA8DE2F4F92")) {
		t.Errorf("%X, %v", got, err)
	}
	k := standardCurve(13)
	public, err := k.Decode(unhex("041872709494399E7470A6431BE25E83EEE24FEA568C2ED28DB48E05DB3A610DC884D256A40E35EFCB59BF6753D3A489D28C7A4D973C2DA138A6E7A4A08F68E16F"))
	if err != nil {
		t.Fatal(err)
	}
	mapping := k.Mul(number("9E56A6B59C95D06ECE5CD10F983BB2F4F1943528E577F23881D89D8C3BBEE0AA"), k.G)
	if !k.Mul(new(big.Int).SetBytes(data), public).Equal(mapping) {
		t.Error("PK_map is not CA·PK")
	}
}

// An answer's room is used to the last byte.
func TestFit(t *testing.T) {
	for _, c := range []kdf.Cipher{kdf.TDES, kdf.AES128} {
		for _, ins := range []byte{0xB0, 0xB1} {
			for _, room := range []int{40, 128, 255, 256, 300, 2046, 65535} {
				n := newChannel(c, make([]byte, 16), nil).fit(ins, room)
				protected := func(n int) int {
					return len(newChannel(c, make([]byte, 16), nil).protect(ins, make([]byte, n), 0x9000)) - 2
				}
				if protected(n) > room || protected(n+1) <= room {
					t.Errorf("%v, %X, %d bytes: %d plain take %d, one more takes %d", c, ins, room, n, protected(n), protected(n+1))
				}
			}
		}
	}
}
