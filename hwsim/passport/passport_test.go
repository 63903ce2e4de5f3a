package passport_test

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/ta"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// office is one state's passport office and the store that trusts it.
type office struct {
	a *testpki.Authority
	s *testpki.Signer
}

func newOffice(t testing.TB, country string) office {
	t.Helper()
	a, err := testpki.NewAuthority(country, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.NewSigner(now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return office{a, s}
}

// trust writes the office's files and loads them as a lane would.
func (o office) trust(t testing.TB) *pki.Store {
	t.Helper()
	dir := t.TempDir()
	if err := testpki.Write(dir, o.a); err != nil {
		t.Fatal(err)
	}
	store, err := pki.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// picture is as much of a JPEG as a reader looks at, of a usual size.
func picture(n int) []byte {
	return append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, bytes.Repeat([]byte{0x42}, n-4)...)
}

func profile() passport.Profile {
	return passport.Profile{
		MRZ:    mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "D", Nationality: "D", Surname: "MUSTERMANN", GivenNames: "ERIKA", Number: "C01X00T47", Birth: "640812", Sex: "F", Expiry: "311031"},
		Access: passport.PACE, Portrait: picture(20_000), Width: 413, Height: 531,
	}
}

func key(t testing.TB, c *passport.Card) mrz.MRZ {
	t.Helper()
	m, err := mrz.Parse(c.MRZ()...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestReadEveryAccess(t *testing.T) {
	o := newOffice(t, "DE")
	store := o.trust(t)
	for _, access := range []passport.Access{passport.NoAccess, passport.BAC, passport.PACE, passport.PACEOnly} {
		for _, id := range []int{8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18} {
			for _, c := range []kdf.Cipher{kdf.TDES, kdf.AES128, kdf.AES192, kdf.AES256} {
				if access < passport.PACE && (id != 13 || c != kdf.AES128) || access == passport.PACEOnly && id != 12 {
					continue
				}
				t.Run(fmt.Sprintf("%d/%d/%v", access, id, c), func(t *testing.T) {
					p := profile()
					p.Access, p.PACE = access, []passport.Variant{{Mapping: passport.GM, Cipher: c, Parameter: id}}
					card, err := passport.New(p, o.s)
					if err != nil {
						t.Fatal(err)
					}
					early := false
					doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now, Early: func(mrz.MRZ) { early = true }})
					if err != nil {
						t.Fatalf("%v\n%+v", err, doc.Checks)
					}
					if doc.Verdict != emrtd.ChipGenuine || doc.MRZ.Surname != "MUSTERMANN" || !bytes.Equal(doc.Portrait.Stream, p.Portrait) || !early {
						t.Errorf("%s\n%+v", doc.Verdict, doc.Checks)
					}
					if s := card.Stats(); s.APDUs != doc.APDUs || s.APDUs > 16 {
						t.Errorf("%d APDUs, the card counts %d: more than the plan's 16", doc.APDUs, s.APDUs)
					}
				})
			}
		}
	}
}

// A chip that takes short lengths only is still read, in more exchanges.
func TestShortLengths(t *testing.T) {
	o := newOffice(t, "DE")
	for _, le := range []int{223, 192, 160, 128} {
		p := profile()
		p.MaxLe = le
		card, err := passport.New(p, o.s)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: o.trust(t), Now: now})
		if err != nil || doc.Verdict != emrtd.ChipGenuine {
			t.Fatalf("Le %d: %v", le, err)
		}
		if most := 22_000/le + 30; doc.APDUs > most {
			t.Errorf("Le %d: %d APDUs, more than %d", le, doc.APDUs, most)
		}
	}
}

// Portraits of every size: those beyond an offset of 32,767 need another
// command.
func TestPortraitSizes(t *testing.T) {
	for _, name := range []string{"icao-ext", "icao-2048", "icao-short", "bac"} {
		for _, n := range []int{4, 100, 223, 224, 2000, 32_600, 32_767, 32_768, 65_535, 200_000} {
			doc, card, err := reading(t, name, nil, func(p *passport.Profile) { p.Portrait = picture(n) })
			if err != nil || doc.Verdict != emrtd.ChipGenuine || len(doc.Portrait.Stream) != n {
				t.Fatalf("%s, %d bytes: %v, %s", name, n, err, doc.Verdict)
			}
			if s := card.Stats(); s.Authentications != 1 {
				t.Errorf("%s, %d bytes: %+v", name, n, s)
			}
		}
	}
}

// What proves a chip: every kind of key and every protocol.
func TestChipChecks(t *testing.T) {
	type change = func(*passport.Profile)
	aa := func(a passport.ActiveAuth) change { return func(p *passport.Profile) { p.AA, p.NoAA = a, false } }
	ca := func(a passport.ChipAuth) change { return func(p *passport.Profile) { p.CA, p.NoAA = a, true } }
	for _, c := range []struct {
		name, profile string
		change        change
		want          emrtd.Verdict
	}{
		{"nothing", "plain", nil, emrtd.CopyPossible},
		{"ECDSA, P-256", "bac", nil, emrtd.ChipGenuine},
		{"ECDSA, brainpoolP384r1", "pace", aa(passport.ActiveAuth{Parameter: 16, Hash: crypto.SHA384}), emrtd.ChipGenuine},
		{"ECDSA, P-521", "pace", aa(passport.ActiveAuth{Parameter: 18, Hash: crypto.SHA512}), emrtd.ChipGenuine},
		{"ECDSA, P-224", "pace", aa(passport.ActiveAuth{Parameter: 10, Hash: crypto.SHA224}), emrtd.ChipGenuine},
		{"RSA-1024, SHA-1", "bac", aa(passport.ActiveAuth{Bits: 1024, Hash: crypto.SHA1}), emrtd.ChipGenuine},
		{"RSA-1024, SHA-256", "pace", aa(passport.ActiveAuth{Bits: 1024, Hash: crypto.SHA256}), emrtd.ChipGenuine},
		{"RSA-1280, SHA-224", "pace", aa(passport.ActiveAuth{Bits: 1280, Hash: crypto.SHA224}), emrtd.ChipGenuine},
		{"RSA-1536, SHA-384", "pace", aa(passport.ActiveAuth{Bits: 1536, Hash: crypto.SHA384}), emrtd.ChipGenuine},
		{"RSA-1792, SHA-512", "pace", aa(passport.ActiveAuth{Bits: 1792, Hash: crypto.SHA512}), emrtd.ChipGenuine},
		{"RSA-2048, SHA-1", "aa-rsa", nil, emrtd.ChipGenuine},
		{"RSA-2048 on a chip with short lengths", "aa-rsa", func(p *passport.Profile) { p.Short = true }, emrtd.ChipGenuine},
		{"Chip Authentication", "icao-ext", nil, emrtd.ChipGenuine},
		{"by MSE:Set KAT with DH", "ca-dh", nil, emrtd.ChipGenuine},
		{"DH, group 0, 3DES", "bac", ca(passport.ChipAuth{Parameter: 0, Cipher: kdf.TDES}), emrtd.ChipGenuine},
		{"DH, group 1, AES-256", "bac", ca(passport.ChipAuth{Parameter: 1, Cipher: kdf.AES256}), emrtd.ChipGenuine},
		{"P-521, AES-256", "pace", ca(passport.ChipAuth{Parameter: 18, Cipher: kdf.AES256}), emrtd.ChipGenuine},
		{"brainpoolP320r1, AES-192", "pace", ca(passport.ChipAuth{Parameter: 14, Cipher: kdf.AES192}), emrtd.ChipGenuine},
		{"brainpoolP224r1, 3DES, by Set KAT", "pace", ca(passport.ChipAuth{Parameter: 11, Cipher: kdf.TDES, KATOnly: true}), emrtd.ChipGenuine},
		{"a key with a number", "pace", ca(passport.ChipAuth{Parameter: 13, Cipher: kdf.AES128, KeyID: 7}), emrtd.ChipGenuine},
		{"a key with a large number", "pace", ca(passport.ChipAuth{Parameter: 12, Cipher: kdf.AES128, KeyID: 300}), emrtd.ChipGenuine},
		{"a key alone, no protocol", "bac", ca(passport.ChipAuth{Parameter: 13, Cipher: kdf.TDES, NoInfo: true}), emrtd.ChipGenuine},
		{"mapping", "cam", nil, emrtd.ChipGenuine},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, _, err := reading(t, c.profile, nil, c.change)
			if err != nil || doc.Verdict != c.want {
				t.Errorf("%v, %s, want %s\n%+v", err, doc.Verdict, c.want, doc.Checks)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	o := newOffice(t, "DE")
	other := newOffice(t, "DE")
	french := newOffice(t, "FR")
	revoked := func(reason int) office {
		o := newOffice(t, "DE")
		o.a.Revoke(o.s, reason)
		return o
	}
	expired := newOffice(t, "DE")
	var err error
	if expired.s, err = expired.a.NewSigner(now.AddDate(-5, 0, 0), now.AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	hard, soft := revoked(3), revoked(6)
	for _, c := range []struct {
		name   string
		office office
		trust  office
		fault  string
		change func(*passport.Profile)
		want   emrtd.Verdict
	}{
		{name: "genuine", office: o, trust: o, want: emrtd.ChipGenuine},
		{name: "no key in the chip", office: o, trust: o, change: func(p *passport.Profile) { p.NoAA = true }, want: emrtd.CopyPossible},
		{name: "clone", office: o, trust: o, fault: "clone", want: emrtd.Clone},
		{name: "altered portrait", office: o, trust: o, fault: "tampered_dg2", want: emrtd.Altered},
		{name: "unknown issuer", office: french, trust: o, change: func(p *passport.Profile) { p.MRZ.Issuer = "FRA" }, want: emrtd.IssuerUnknown},
		{name: "another issuer of the same name", office: other, trust: o, want: emrtd.IssuerUnknown},
		{name: "signer of another state", office: french, trust: french, want: emrtd.Forged},
		{name: "revoked", office: hard, trust: hard, want: emrtd.Revoked},
		{name: "on hold", office: soft, trust: soft, want: emrtd.RevokedSoft},
		{name: "signer expired", office: expired, trust: expired, want: emrtd.Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := profile()
			if c.fault != "" {
				p.Faults = map[string]int{c.fault: 1}
			}
			if c.change != nil {
				c.change(&p)
			}
			card, err := passport.New(p, c.office.s)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: c.trust.trust(t), Now: now})
			if err != nil {
				t.Fatal(err)
			}
			if doc.Verdict != c.want {
				t.Errorf("%s, want %s\n%+v", doc.Verdict, c.want, doc.Checks)
			}
		})
	}
}

func TestOtherMRZ(t *testing.T) {
	o := newOffice(t, "DE")
	card, err := passport.New(profile(), o.s)
	if err != nil {
		t.Fatal(err)
	}
	p := profile()
	p.MRZ.GivenNames = "EVA" // the key is the same, the printed name is not
	printed, err := mrz.Make(p.MRZ)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := emrtd.Read(t.Context(), card, printed, emrtd.Options{Trust: o.trust(t), Now: now})
	if err != nil || doc.Verdict != emrtd.Mismatch {
		t.Errorf("%v, %s", err, doc.Verdict)
	}
	p.MRZ.Number = "C01X00T48"
	if printed, err = mrz.Make(p.MRZ); err != nil {
		t.Fatal(err)
	}
	if _, err := emrtd.Read(t.Context(), card, printed, emrtd.Options{Trust: o.trust(t), Now: now}); !errors.Is(err, emrtd.ErrPassword) {
		t.Errorf("a wrong number: %v", err)
	}
	if card.Stats().WrongPasswords != 1 {
		t.Errorf("%d attempts with a wrong password: PACE must not give way to BAC after one", card.Stats().WrongPasswords)
	}
}

// A card that is taken away, or an answer that is spoilt, at any command: the
// reading ends with a class, or it recovers. It is never believed.
func TestFaultsAtEveryCommand(t *testing.T) {
	o := newOffice(t, "DE")
	store := o.trust(t)
	for _, fault := range []string{"removed_at", "bad_mac_at", "naked_at", "garbage_at"} {
		for n := 1; n <= 14; n++ {
			p := profile()
			p.Faults = map[string]int{fault: n}
			card, err := passport.New(p, o.s)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now})
			switch {
			case fault == "removed_at" && card.Stats().APDUs >= n && !errors.Is(err, apdu.ErrRemoved):
				t.Errorf("%s %d: %v", fault, n, err)
			case err == nil && doc.Verdict != emrtd.ChipGenuine && doc.Verdict != emrtd.Clone:
				t.Errorf("%s %d: %s", fault, n, doc.Verdict)
			case err == nil && !bytes.Equal(doc.Portrait.Stream, p.Portrait):
				t.Errorf("%s %d: another portrait", fault, n)
			}
		}
	}
}

func TestBombIsPassedOnUndecoded(t *testing.T) {
	o := newOffice(t, "DE")
	p := profile()
	p.Faults = map[string]int{"bomb": 1}
	card, err := passport.New(p, o.s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: o.trust(t), Now: now})
	if err != nil || doc.Verdict != emrtd.ChipGenuine || len(doc.Portrait.Stream) > 200 {
		t.Errorf("%v, %s, %d bytes", err, doc.Verdict, len(doc.Portrait.Stream))
	}
}

// TestVerifyFiles judges the files of a passport without its chip.
func TestVerifyFiles(t *testing.T) {
	o := newOffice(t, "DE")
	card, err := passport.New(profile(), o.s)
	if err != nil {
		t.Fatal(err)
	}
	store := o.trust(t)
	read, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	dg := func(list ...int) map[int][]byte {
		m := map[int][]byte{}
		for _, n := range list {
			m[n] = bytes.Clone(read.Files[fmt.Sprintf("DG%d", n)])
		}
		return m
	}
	changed := func(n, at int, m map[int][]byte) map[int][]byte {
		m[n][at] ^= 1
		return m
	}
	for _, c := range []struct {
		name   string
		sod    []byte
		groups map[int][]byte
		trust  *pki.Store
		now    time.Time
		want   emrtd.Verdict
	}{
		{"all", read.Files["SOD"], dg(1, 2, 14, 15), store, now, emrtd.CopyPossible},
		{"zone and portrait", read.Files["SOD"], dg(1, 2), store, now, emrtd.CopyPossible},
		{"the portrait is missing", read.Files["SOD"], dg(1), store, now, emrtd.Incomplete},
		{"no group", read.Files["SOD"], nil, store, now, emrtd.Incomplete},
		{"a changed zone", read.Files["SOD"], changed(1, 10, dg(1, 2)), store, now, emrtd.Altered},
		{"a changed key", read.Files["SOD"], changed(15, 40, dg(1, 2, 15)), store, now, emrtd.Altered},
		{"a group that is not signed", read.Files["SOD"], map[int][]byte{1: dg(1)[1], 2: dg(2)[2], 11: dg(1)[1]}, store, now, emrtd.Altered},
		{"another state", read.Files["SOD"], dg(1, 2), newOffice(t, "FR").trust(t), now, emrtd.IssuerUnknown},
		{"after the signer", read.Files["SOD"], dg(1, 2), store, now.AddDate(11, 0, 0), emrtd.Expired},
		{"no security object", dg(1)[1], dg(1, 2), store, now, emrtd.Forged},
		{"nothing", nil, nil, store, now, emrtd.Forged},
	} {
		if d := emrtd.Verify(c.sod, c.groups, emrtd.Options{Trust: c.trust, Now: c.now}); d.Verdict != c.want {
			t.Errorf("%s: %s, want %s: %+v", c.name, d.Verdict, c.want, d.Checks)
		}
	}
}

// Fingerprints are for inspection systems whose certificates allow it.
func TestInspectionSystem(t *testing.T) {
	random := testpki.Seed(21)
	for name, s := range map[string]testpki.Suite{"ECDSA": {Curve: "brainpoolP256r1"}, "RSA-PSS": {Bits: 1536, PSS: true}} {
		for _, rights := range []byte{3, 1, 0} {
			root, err := testpki.NewCVCA("UTCVCA00001", s, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0), random)
			if err != nil {
				t.Fatal(err)
			}
			dv, err := root.Issue("UTDVIS00001", testpki.DVDomestic, 3, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0))
			if err != nil {
				t.Fatal(err)
			}
			is, err := dv.Issue("UTISYS00001", testpki.IS, rights, now.AddDate(0, 0, -1), now.AddDate(0, 0, 5))
			if err != nil {
				t.Fatal(err)
			}
			terminal := &ta.Terminal{Sign: func(_ io.Reader, message []byte) ([]byte, error) { return is.Sign(message) }}
			for _, v := range []*testpki.Inspector{root, dv, is} {
				c, err := ta.Parse(v.Cert)
				if err != nil {
					t.Fatal(err)
				}
				terminal.Certificates = append(terminal.Certificates, c)
			}
			for _, profileName := range []string{"full", "ca-dh", "icao-short"} {
				card, store := laid(t, profileName, nil, func(p *passport.Profile) {
					full, err := passport.ByName("full")
					if err != nil {
						t.Fatal(err)
					}
					p.CVCA, p.Groups = [][]byte{root.Cert}, full.Groups
				})
				doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now, Groups: []int{3, 4}, Terminal: terminal})
				if err != nil {
					t.Fatal(err)
				}
				for bit, file := range []string{"DG3", "DG4"} {
					if read, may := doc.Files[file] != nil, rights>>bit&1 == 1; read != may {
						t.Errorf("%s, %s, rights %d: %s is read %v\n%+v", name, profileName, rights, file, read, doc.Checks)
					}
				}
			}
		}
	}
}
