package pki

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// many is a store of n authorities of fifty states besides those of the data,
// made from the data's own certificates.
func many(t testing.TB) *Store {
	t.Helper()
	l, err := ParseMasterList(read(t, shared(t, "masterlist", "DE_ML_2026-05-28-08-28-45.ml")))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ParseMasterList(read(t, shared(t, "masterlist", "IT_ML.ml")))
	if err != nil {
		t.Fatal(err)
	}
	third, err := ParseMasterList(read(t, shared(t, "masterlist", "ICAO_ML_2023-09.ml")))
	if err != nil {
		t.Fatal(err)
	}
	all := append(append(append([]*Certificate(nil), l.Certs...), other.Certs...), third.Certs...)
	s := NewStore(all, nil)
	for i := range 1000 - s.Len() {
		c := *l.Certs[i]
		c.Raw = fmt.Append(nil, i, c.Raw) // another certificate of the same authority
		all = append(all, &c)
	}
	if s = NewStore(all, nil); s.Len() != 1000 {
		t.Fatalf("%d authorities", s.Len())
	}
	return s
}

// BenchmarkSOD verifies security objects of real passports against a thousand
// authorities: signature, chain, standing. cold finds the chain anew each
// time, warm has met the signer before.
func BenchmarkSOD(b *testing.B) {
	for _, name := range []string{"AT_2023_ecdsa256_bp256_explicit", "DE_2023_ecdsa384_bp384_explicit", "FR_2017_rsa2048", "GB_2021_ecdsa256_p256_explicit", "MY_2022_pss_issuerDN_differs", "US_2021_rsa2048_rsaEncryption"} {
		raw := read(b, shared(b, "sod", name+".bin"))
		store := many(b)
		verify := func(cold bool) {
			if cold {
				clear(store.chains)
			}
			o, err := ParseSOD(raw)
			if err != nil {
				b.Fatal(err)
			}
			v, err := o.Signed.Verify(store)
			if err != nil {
				b.Fatal(err)
			}
			path, err := store.Chain(v.Signer)
			if err != nil {
				b.Fatal(err)
			}
			store.Standing(v.Signer, path, time.Now())
		}
		for _, cold := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/cold=%t", name, cold), func(b *testing.B) {
				for b.Loop() {
					verify(cold)
				}
			})
		}
	}
}

// BenchmarkUnknownIssuer is how long it takes to know that nobody is trusted:
// for a state that is not in the store, and for a signer whose state has
// authorities, none of which signed it.
func BenchmarkUnknownIssuer(b *testing.B) {
	store := many(b)
	for _, name := range []string{filepath.Join("pki", "sod", "bp384_explicit_sha512.bin"), filepath.Join("sod", "HJP_pss_a.bin")} {
		o, err := ParseSOD(read(b, shared(b, name)))
		if err != nil {
			b.Fatal(err)
		}
		for _, cold := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/cold=%t", filepath.Base(name), cold), func(b *testing.B) {
				for b.Loop() {
					if cold {
						clear(store.chains)
					}
					if _, err := store.Chain(o.Signed.Certs[0]); err == nil {
						b.Fatal("a chain")
					}
				}
			})
		}
	}
}

// BenchmarkMasterList reads, verifies and indexes a list of 588 authorities.
func BenchmarkMasterList(b *testing.B) {
	raw := read(b, shared(b, "masterlist", "DE_ML_2026-05-28-08-28-45.ml"))
	for b.Loop() {
		l, err := ParseMasterList(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := New(Material{Anchors: l.Certs}).AcceptList(l.Signed, PurposeMasterList); err != nil {
			b.Fatal(err)
		}
	}
}
