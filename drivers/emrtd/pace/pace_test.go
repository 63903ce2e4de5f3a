package pace

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"passage/drivers/emrtd/kdf"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// The vectors that the standard prints, so that a build without the shared
// ones still pins the arithmetic: Doc 9303-11 App G.1 (generic), H.1
// (integrated) and I.1 (chip authentication mapping), all on brainpoolP256r1
// with AES-128.
func TestAppendices(t *testing.T) {
	for _, text := range []string{
		`{"id": "G.1", "input": {"mrz_information": "T22000129364081251010318", "oid": "04007F00070202040202",
"nonce_s": "3F00C4D39D153F2B2A214A078D899B22", "encrypted_nonce_z": "95A3A016522EE98D01E76CB6B98B42C3",
"terminal_map_private": "7F4EF07B9EA82FD78AD689B38D0BC78CF21F249D953BC46F4C6E19259C010F99",
"terminal_ka_private": "A73FB703AC1436A18E0CFA5ABB3F7BEC7A070E7A6788486BEE230C4A22762595"},
"expected": {"Kpi": "89DED1B26624EC1E634C1989302849DD",
"chip_map_public": "824FBA91C9CBE26BEF53A0EBE7342A3BF178CEA9F45DE0B70AA601651FBA3F5730D8C879AAA9C9F73991E61B58F4D52EB87A0A0C709A49DC63719363CCD13C54",
"mapped_generator": "8CED63C91426D4F0EB1435E7CB1D74A46723A0AF21C89634F65A9AE87A9265E28C879506743F8611AC33645C5B985C80B5F09A0B83407C1B6A4D857AE76FE522",
"chip_ka_public": "9E880F842905B8B3181F7AF7CAA9F0EFB743847F44A306D2D28C1D9EC65DF6DB7764B22277A2EDDC3C265A9F018F9CB852E111B768B326904B59A0193776F094",
"shared_secret": "28768D20701247DAE81804C9E780EDE582A9996DB4A315020B2733197DB84925", "T_IFD": "C2B0BD78D94BA866", "T_IC": "3ABB9674BCE93C08"}}`,
		`{"id": "H.1", "input": {"Kpi": "591468CDA83D65219CCCB8560233600F", "oid": "04007F00070202040402",
"nonce_s": "2923BE84E16CD6AE529049F1F1BBE9EB", "nonce_t": "5DD4CBFC96F5453B130D890A1CDBAE32", "encrypted_nonce_z": "143DC40C08C8E891FBED7DEDB92B64AD",
"terminal_ka_private": "A73FB703AC1436A18E0CFA5ABB3F7BEC7A070E7A6788486BEE230C4A22762595"},
"expected": {"R": "E4447E2DFB3586BAC05DDB00156B57FBB2179A3949294C97254189800C517BAA8DA0FF397ED8C445D3E421E4FEB57322",
"mapped_generator": "8E82D31559ED0FDE92A4D0498ADD3C23BABA94FB77691E31E90AEA77FB17D4274C1AE14BD0C3DBAC0C871B7F3608169364437CA30AC243A089D3F266C1E60FAD",
"chip_ka_public": "67F78E5F7F7686082B293E8D087E056916D0F74BC01A5F8957D0DE45691E51E8932B69A962B52A0985AD2C0A271EE6A13A8ADDDCD1A3A994B9DED257F4D22753",
"shared_secret": "4F150FDE1D4F0E38E95017B891BAE17133A0DF45B0D3E18B60BA7BEAFDC2C713", "T_IFD": "450F02B86F6A0909", "T_IC": "75D4D96E8D5B0308"}}`,
		`{"id": "I.1", "input": {"mrz_information": "C11T002JM496081222310314", "oid": "04007F00070202040602",
"nonce_s": "658B860BC94DF6F044FCE6D5C82CF8E5",
"encrypted_nonce_z": "CB60E8E0D85B76A9BD304747C2AD42E2",
"terminal_map_private": "5D8BB87BD74D985A4B7D4325B9F7B976FE835122773400798914AA22738135CC",
"terminal_ka_private": "76ECFDAA9841C323A3F5FC5E88B88DB3EFF7E35EBF57A7E6946CB630006C2120",
"chip_auth_public_key": "1872709494399E7470A6431BE25E83EEE24FEA568C2ED28DB48E05DB3A610DC884D256A40E35EFCB59BF6753D3A489D28C7A4D973C2DA138A6E7A4A08F68E16F",
"encrypted_ca_data": "1EEA964DAAE372AC990E3EFDE6333353BFC89A6704D93DA8798CF77F5B7A54BD10CBA372B42BE0B9B5F28AA8DE2F4F92"},
"expected": {"Kpi": "4E6F6FBF7BE748B932C7B74161BBA9DF",
"chip_map_public": "A234236AA9B9621E8EFB73B5245C0E09D2576E5277183C1208BDD55280CAE8B304F365713A356E65A451E165ECC9AC0AC46E3771342C8FE5AEDD092685338E23",
"mapped_generator": "89F0B5EABF3BE293C75903A3986131925C9F5B515CA95AF485DC7E886F03245D44BEFB2DD3A0DBD71CB5E618971CF4747F12B79E548379A40E45963BAAF3E829",
"chip_ka_public": "02AD566F3C6EC7F9324509AD50A51FA52030782A4968FCFEDF737DAEA993333111C3B9B4C2287789BD137E7F8AA882E2A3C633CCD6ECC2C63C57AD401A09C2E1",
"shared_secret": "67950559D0C06B4D4B86972D14460837461087F8419FDBC36AAF6CEAAC462832", "T_IFD": "E86BD06018A1CD3B", "T_IC": "8596CF055C67C1A3"}}`,
	} {
		var v vector
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		t.Run(v.ID, v.run)
	}
}

// What a hostile chip may send instead of its keys.
func TestKeysThatAreRefused(t *testing.T) {
	for _, i := range []Info{
		{OID: append(slices.Clone(base), 2, 2), Mapping: GM, ECDH: true, Cipher: kdf.AES128, Parameter: 12},
		{OID: append(slices.Clone(base), 1, 2), Mapping: GM, Cipher: kdf.AES128, Parameter: 0},
	} {
		r, err := Start(i, []byte("123456"), make([]byte, 16), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		own, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		off := bytes.Clone(own)
		off[len(off)-1] ^= 1
		for name, bad := range map[string][]byte{
			"nothing": nil, "infinity": {0}, "our own": own, "off the curve or of another subgroup": off, "zeros": make([]byte, len(own)),
			"short": own[:len(own)-2], "long": append(bytes.Clone(own), 0, 0),
		} {
			if err := r.MapWith(bad); !errors.Is(err, ErrPoint) {
				t.Errorf("%v: mapping key %s: %v", i, name, err)
			}
			if err := r.AgreeWith(bad); !errors.Is(err, ErrPoint) {
				t.Errorf("%v: public key %s: %v", i, name, err)
			}
		}
	}
}

// Every variant that Doc 9303 allows is supported, and no other.
func TestSupported(t *testing.T) {
	n := 0
	for m := GM; m <= CAM; m++ {
		for _, ec := range []bool{false, true} {
			for c := kdf.TDES; c <= kdf.AES256; c++ {
				for id := -1; id < 32; id++ {
					if (Info{Mapping: m, ECDH: ec, Cipher: c, Parameter: id}).Supported() {
						n++
					}
				}
			}
		}
	}
	// GM: 4 ciphers × (11 curves + 3 groups); IM without secp224r1; CAM: 3
	// ciphers × 11 curves.
	if want := 4*14 + 4*13 + 3*11; n != want {
		t.Errorf("%d variants, want %d", n, want)
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
