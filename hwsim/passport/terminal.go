package passport

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/lds"
	"passage/hwsim/passport/testpki"
)

// trustPoint is a certificate authority of inspection systems that the chip
// believes.
type trustPoint struct {
	name string
	cert *testpki.CVC
}

// terminal is Terminal Authentication version 1 on the card's side (§7.1).
type terminal struct {
	issuer  string // MSE:Set DST
	chain   []*testpki.CVC
	subject string // MSE:Set AT
	rights  byte   // effective, after success
}

// rights of inspection systems over DG3 and DG4.
const (
	rightDG3 byte = 1
	rightDG4 byte = 2
)

// trustPoints are the names that EF.CVCA and PACE tell, the newest first.
func (c *Card) trustPoints() []string {
	var list []string
	for _, t := range c.trust {
		list = append(list, t.name)
	}
	return list
}

// setDST chooses the key that verifies the next certificate.
func (c *Card) setDST(cmd apdu.Command) uint16 {
	name, ok := lds.Find(cmd.Data, 0x83)
	if !ok || len(c.trust) == 0 || c.v.terminalKey == nil {
		return 0x6A80
	}
	if _, ok := c.issuer(string(name)); !ok {
		return 0x6A88
	}
	c.v.terminal.issuer = string(name)
	return 0x9000
}

// issuer finds a key by its holder's name: a trust point, or the last
// certificate of the chain.
func (c *Card) issuer(name string) (*testpki.CVC, bool) {
	if n := len(c.v.terminal.chain); n > 0 && c.v.terminal.chain[n-1].Holder == name {
		return c.v.terminal.chain[n-1], true
	}
	for _, t := range c.trust {
		if t.name == name {
			return t.cert, true
		}
	}
	return nil, false
}

// verifyCertificate is PSO:Verify Certificate. The chip's date moves forward
// with certificates that it can trust in this: links, document verifiers, and
// inspection systems of its own state.
func (c *Card) verifyCertificate(cmd apdu.Command) uint16 {
	t := &c.v.terminal
	issuer, ok := c.issuer(t.issuer)
	if !ok {
		return 0x6985
	}
	cert, err := testpki.ParseCVC(lds.Make(0x7F21, cmd.Data))
	if err != nil {
		return 0x6A80
	}
	link := cert.Role() == testpki.CVCA
	switch {
	case cert.Authority != t.issuer,
		issuer.Role() == testpki.CVCA && cert.Role() == testpki.IS,
		issuer.Role() != testpki.CVCA && (cert.Role() != testpki.IS || issuer.Role() == testpki.IS),
		cert.Verify(issuer) != nil,
		!link && cert.Expires.Before(c.date):
		return 0x6300
	}
	if accurate := cert.Role() != testpki.IS || issuer.Role() == testpki.DVDomestic; accurate && cert.Effective.After(c.date) {
		c.date = cert.Effective
	}
	if link {
		cert.Inherit(issuer)
		c.trust = slices.Insert(c.trust, 0, trustPoint{cert.Holder, cert})
		if len(c.trust) > 2 {
			c.trust = c.trust[:2]
		}
		return 0x9000
	}
	if issuer.Role() == testpki.CVCA {
		t.chain = []*testpki.CVC{issuer}
	}
	cert.Inherit(issuer)
	t.chain = append(t.chain, cert)
	return 0x9000
}

// setTA is MSE:Set AT for external authentication.
func (c *Card) setTA(cmd apdu.Command) uint16 {
	t := &c.v.terminal
	name, ok := lds.Find(cmd.Data, 0x83)
	if !ok || len(t.chain) < 3 || t.chain[len(t.chain)-1].Holder != string(name) {
		return 0x6A88
	}
	t.subject = string(name)
	return 0x9000
}

// externalTerminal verifies the inspection system's signature over the chip's
// name, its challenge and the terminal's ephemeral key.
func (c *Card) externalTerminal(signature []byte) uint16 {
	t := &c.v.terminal
	challenge := c.v.challenge
	c.v.challenge = nil
	if t.subject == "" || challenge == nil {
		return 0x6985
	}
	is := t.chain[len(t.chain)-1]
	if err := is.VerifySignature(bytes.Join([][]byte{c.v.idIC, challenge, c.v.terminalKey}, nil), signature); err != nil {
		return 0x6300
	}
	t.rights = 0xFF
	for _, cert := range t.chain {
		t.rights &= cert.Rights
	}
	return 0x9000
}

// permits says whether the terminal may read a group.
func (c *Card) permits(group int) bool {
	switch group {
	case 3:
		return c.v.terminal.rights&rightDG3 != 0
	case 4:
		return c.v.terminal.rights&rightDG4 != 0
	}
	return true
}

// loadTrust takes the profile's trust points.
func (c *Card) loadTrust() error {
	for _, b := range c.profile.CVCA {
		cert, err := testpki.ParseCVC(b)
		if err != nil {
			return fmt.Errorf("passport: trust point: %w", err)
		}
		c.trust = append(c.trust, trustPoint{cert.Holder, cert})
		if cert.Effective.After(c.date) {
			c.date = cert.Effective
		}
	}
	return nil
}

// fileCVCA names the trust points, padded to 36 bytes (§7.1.5).
func (c *Card) fileCVCA() []byte {
	var b []byte
	for _, name := range c.trustPoints() {
		b = append(b, lds.Make(0x42, []byte(name))...)
	}
	return append(b, make([]byte, max(0, 36-len(b)))...)
}

// Date is what the chip takes for today.
func (c *Card) Date() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.date
}
