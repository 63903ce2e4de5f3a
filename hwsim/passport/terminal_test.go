package passport

import (
	"bytes"
	"crypto"
	"testing"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/hwsim/passport/testpki"
)

var today = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// inspection is a chain of inspection: authority, document verifier, system.
type inspection struct {
	root, link, dv, is *testpki.Inspector
}

func newInspection(t *testing.T, s testpki.Suite, dv testpki.Role, dvRights, isRights byte) inspection {
	t.Helper()
	random := testpki.Seed(5)
	root, err := testpki.NewCVCA("UTCVCA00001", s, today.AddDate(-1, 0, 0), today.AddDate(0, 0, -1), random)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(by *testpki.Inspector, name string, role testpki.Role, rights byte, from, to time.Time) *testpki.Inspector {
		v, err := by.Issue(name, role, rights, from, to)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	link := issue(root, "UTCVCA00002", testpki.CVCA, 3, today.AddDate(0, -1, 0), today.AddDate(2, 0, 0))
	v := issue(link, "UTDVIS00001", dv, dvRights, today.AddDate(0, 0, -20), today.AddDate(0, 2, 0))
	is := issue(v, "UTISYS00001", testpki.IS, isRights, today.AddDate(0, 0, -2), today.AddDate(0, 1, 0))
	return inspection{root, link, v, is}
}

// opened is a chip whose reader has done Chip Authentication.
func opened(t *testing.T, trust []byte) *Card {
	t.Helper()
	o, err := testpki.NewOffice("UT", today, "", testpki.Seed(6))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Profile{
		MRZ:    mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "UTO", Nationality: "UTO", Surname: "ERIKSSON", GivenNames: "ANNA", Number: "L898902C3", Birth: "740812", Expiry: "310101"},
		Access: BAC, NoAA: true, CA: ChipAuth{Parameter: 13, Cipher: kdf.AES128}, CVCA: [][]byte{trust}, Groups: sampleGroups(), Random: testpki.Seed(8),
	}, o.Signer)
	if err != nil {
		t.Fatal(err)
	}
	c.v.app, c.v.sm, c.v.idIC, c.v.terminalKey, c.v.fit = true, newChannel(kdf.AES128, []byte("secret"), nil), c.documentID(), []byte("ephemeral"), 65536
	return c
}

func (c *Card) present(v ...*testpki.Inspector) uint16 {
	for i, cert := range v {
		issuer, err := testpki.ParseCVC(cert.Cert)
		if err != nil {
			return 1
		}
		if _, status := c.execute(apdu.Command{INS: 0x22, P1: 0x81, P2: 0xB6, Data: lds.Make(0x83, []byte(issuer.Authority))}); status != 0x9000 {
			return status
		}
		body, _ := lds.Find(cert.Cert, 0x7F21)
		if _, status := c.execute(apdu.Command{INS: 0x2A, P2: 0xBE, Data: body}); status != 0x9000 {
			return status + uint16(i)
		}
	}
	return 0x9000
}

func (c *Card) prove(t *testing.T, v *testpki.Inspector) uint16 {
	t.Helper()
	if _, status := c.execute(apdu.Command{INS: 0x22, P1: 0x81, P2: 0xA4, Data: lds.Make(0x83, []byte(v.Holder))}); status != 0x9000 {
		return status
	}
	challenge, _ := c.execute(apdu.Command{INS: 0x84, Ne: 8})
	signature, err := v.Sign(bytes.Join([][]byte{[]byte("L898902C36"), challenge, []byte("ephemeral")}, nil))
	if err != nil {
		t.Fatal(err)
	}
	_, status := c.execute(apdu.Command{INS: 0x82, Data: signature})
	return status
}

func (c *Card) mayRead(group byte) bool {
	_, status := c.execute(apdu.Command{INS: 0xB0, P1: 0x80 | group, Ne: 256})
	return status == 0x9000
}

// Doc 9303-11 §7.1: the chain from a link to the system, by every kind of key;
// rights are those that all of it have.
func TestTerminalAuthentication(t *testing.T) {
	for name, s := range map[string]testpki.Suite{
		"ECDSA P-256":   {},
		"ECDSA bp384":   {Curve: "brainpoolP384r1", Hash: crypto.SHA384},
		"RSA":           {Bits: 1024},
		"RSA-PSS":       {Bits: 1024, PSS: true},
		"RSA-PSS SHA-1": {Bits: 1024, PSS: true, Hash: crypto.SHA1},
	} {
		t.Run(name, func(t *testing.T) {
			x := newInspection(t, s, testpki.DVDomestic, 3, 1)
			c := opened(t, x.root.Cert)
			if c.mayRead(3) || c.mayRead(4) || !c.mayRead(1) {
				t.Error("DG3 is open before the terminal has proven itself, or DG1 is not")
			}
			if status := c.present(x.link, x.dv, x.is); status != 0x9000 {
				t.Fatalf("certificates: %04X", status)
			}
			if status := c.prove(t, x.is); status != 0x9000 {
				t.Fatalf("signature: %04X", status)
			}
			if !c.mayRead(3) || c.mayRead(4) {
				t.Error("DG3 was granted, DG4 was not")
			}
			if want := today.AddDate(0, 0, -2); !c.Date().Equal(want) {
				t.Errorf("the chip's date is %v, want the system's %v", c.Date(), want)
			}
			if names := c.trustPoints(); len(names) != 2 || names[0] != "UTCVCA00002" {
				t.Errorf("trust points %v", names)
			}
		})
	}
}

func TestTerminalAuthenticationRefuses(t *testing.T) {
	good := newInspection(t, testpki.Suite{}, testpki.DVForeign, 3, 3)
	expired, err := good.link.Issue("UTDVIS00009", testpki.DVForeign, 3, today.AddDate(0, 0, -40), today.AddDate(0, 0, -35))
	if err != nil {
		t.Fatal(err)
	}
	skipped, err := good.link.Issue("UTISYS00009", testpki.IS, 3, today, today.AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	forged := *good.dv
	forged.Cert = bytes.Clone(good.dv.Cert)
	forged.Cert[len(forged.Cert)-1] ^= 1
	for _, r := range []struct {
		name  string
		chain []*testpki.Inspector
	}{
		{"a verifier that has expired", []*testpki.Inspector{good.link, expired}},
		{"a system below the authority", []*testpki.Inspector{good.link, skipped}},
		{"a forged signature", []*testpki.Inspector{good.link, &forged}},
		{"a chain without its link", []*testpki.Inspector{good.dv}},
	} {
		c := opened(t, good.root.Cert)
		if status := c.present(r.chain...); status == 0x9000 {
			t.Errorf("%s is accepted", r.name)
		}
	}
	c := opened(t, good.root.Cert)
	if status := c.present(good.link, good.dv, good.is); status != 0x9000 {
		t.Fatalf("%04X", status)
	}
	// A foreign verifier's systems do not move the date.
	if want := today.AddDate(0, 0, -20); !c.Date().Equal(want) {
		t.Errorf("the chip's date is %v, want the verifier's %v", c.Date(), want)
	}
	other := *good.dv
	other.Holder = good.is.Holder
	if status := c.prove(t, &other); status == 0x9000 {
		t.Error("another key's signature is accepted")
	}
	if c.mayRead(3) {
		t.Error("DG3 is open without proof")
	}
}
