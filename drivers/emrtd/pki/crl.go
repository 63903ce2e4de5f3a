package pki

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// maxCRL bounds a revocation list.
const maxCRL = 8 << 20

// CRL is a certificate revocation list (RFC 5280 §5, Doc 9303-12 §7.1.4).
type CRL struct {
	Raw        []byte
	Issuer     Name
	ThisUpdate time.Time
	NextUpdate time.Time // zero if not told
	revoked    map[string]Revocation
	tbs        []byte
	algorithm  elem
	signature  []byte
}

// Revocation is one entry; Reason is the CRLReason, 0 if not told.
type Revocation struct {
	At     time.Time
	Reason int
}

// certificateHold is the CRLReason of a certificate that may come back.
const certificateHold = 6

// Soft says that the revocation is not final: an officer weighs it. Every other
// reason voids the signer, a compromise of its key first of all.
func (r Revocation) Soft() bool { return r.Reason == certificateHold }

// Len returns the number of revoked certificates.
func (l *CRL) Len() int { return len(l.revoked) }

// ParseCRL reads a list in DER; whether it is authentic is asked of Signed.
func ParseCRL(b []byte) (*CRL, error) {
	if len(b) > maxCRL {
		return nil, fmt.Errorf("pki: CRL: %w: %d bytes", ErrASN1, len(b))
	}
	l, err := parseCRL(b)
	if err != nil {
		return nil, fmt.Errorf("pki: CRL: %w", err)
	}
	return l, nil
}

func parseCRL(b []byte) (*CRL, error) {
	if _, _, err := der(b, maxListElements); err != nil {
		return nil, err
	}
	e, err := only(b)
	if err != nil {
		return nil, err
	}
	r := e.read()
	tbs, alg, sig := r.take(0x30), r.take(0x30), r.take(0x03)
	if err := r.end(); err != nil {
		return nil, err
	}
	l := &CRL{Raw: e.raw, tbs: tbs.raw, algorithm: alg, revoked: map[string]Revocation{}}
	if l.signature, err = bitString(sig); err != nil {
		return nil, err
	}
	t := tbs.read()
	t.maybe(0x02)
	inner := t.take(0x30)
	issuer, this := t.take(0x30), t.any()
	if t.err != nil {
		return nil, t.err
	}
	if !bytes.Equal(inner.raw, alg.raw) { // RFC 5280 §5.1.1.2
		return nil, fmt.Errorf("%w: two signature algorithms", ErrASN1)
	}
	if l.Issuer, err = parseName(issuer); err != nil {
		return nil, err
	}
	if l.ThisUpdate, err = parseTime(this); err != nil {
		return nil, err
	}
	for _, tag := range []byte{0x17, 0x18} {
		if next, ok := t.maybe(tag); ok && l.NextUpdate.IsZero() {
			if l.NextUpdate, err = parseTime(next); err != nil {
				return nil, err
			}
		}
	}
	if list, ok := t.maybe(0x30); ok {
		entries, err := list.children()
		if err != nil {
			return nil, err
		}
		for _, x := range entries {
			if err := l.entry(x); err != nil {
				return nil, err
			}
		}
	}
	t.maybe(0xA0)
	return l, t.end()
}

func (l *CRL) entry(x elem) error {
	r := x.read()
	serial, at := r.take(0x02), r.any()
	exts, extended := r.maybe(0x30)
	if err := r.end(); err != nil {
		return err
	}
	when, err := parseTime(at)
	if err != nil {
		return err
	}
	v := Revocation{At: when}
	if extended {
		list, err := exts.children()
		if err != nil {
			return err
		}
		for _, e := range list {
			p := e.read()
			oid := p.take(0x06)
			p.maybe(0x01)
			value := p.take(0x04)
			if err := p.end(); err != nil {
				return err
			}
			if bytes.Equal(oid.body, []byte{0x55, 0x1D, 21}) && len(value.body) == 3 && value.body[0] == 0x0A {
				v.Reason = int(value.body[2])
			}
		}
	}
	l.revoked[string(plain(serial.body))] = v
	return nil
}

// Signed says whether the list was signed by the key of issuer.
func (l *CRL) Signed(issuer *Certificate) error {
	s, err := schemeOf(l.algorithm, 0)
	if err == nil && !issuer.Key.couldVerify(s, l.signature) {
		err = fmt.Errorf("%w: %s is not of a key of %v", ErrSignature, s.name, issuer.Key)
	}
	if err == nil {
		_, err = issuer.Key.verify(l.algorithm, 0, l.tbs, l.signature)
	}
	return err
}

// Standing is what the revocation lists say of a certificate.
type Standing struct {
	// Known is false where no authentic list of the issuer's is there.
	Known bool
	// Stale says that the newest list is past its next update.
	Stale   bool
	Until   time.Time // next update of the newest list; zero if not told
	Revoked *Revocation
}

// errNoCRLSigner says that nobody who is trusted signed a list.
var errNoCRLSigner = errors.New("pki: CRL: no trusted authority of its state signed it")
