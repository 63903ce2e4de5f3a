package ta

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/lds"
)

// maxPath bounds link certificates, document verifier and terminal.
const maxPath = 8

// ErrPath says that the terminal has no certificates for the chip.
var ErrPath = errors.New("ta: no path from the chip's trust point to the terminal")

// Terminal is an inspection system: its certificates, the authorities' above
// it, and its private key.
type Terminal struct {
	Certificates []*Certificate
	// Sign signs with the last certificate's key. The private key may be in a
	// hardware module: Key makes a Sign from one in a file.
	Sign func(random io.Reader, message []byte) ([]byte, error)
}

// Path is the certificates that a chip is given, in order: each is signed by
// the one before, the first by the chip's trust point.
type Path struct {
	List []*Certificate
	// Rights is what the chip will allow: what all of the path allow.
	Rights []byte
}

// Path finds the way from the chip's trust point to the terminal. Link
// certificates of authorities may have expired: they only tell the chip the
// newer key. Document verifier and terminal must be valid at now.
func (t *Terminal) Path(trustPoint string, now time.Time) (Path, error) {
	var why error
	var walk func(from string, list []*Certificate) []*Certificate
	walk = func(from string, list []*Certificate) []*Certificate {
		if len(list) >= maxPath {
			return nil
		}
		for _, c := range t.Certificates {
			if c.Authority != from || c.SelfSigned() || c.Rights == nil || len(list) > 0 && !follows(list[len(list)-1].Role, c.Role) {
				continue
			}
			day := now.UTC().Truncate(24 * time.Hour)
			if c.Role != CVCA && (day.Before(c.Effective) || day.After(c.Expires)) {
				why = fmt.Errorf("%s of %s: valid from %s to %s", c.Role, c.Holder, c.Effective.Format(time.DateOnly), c.Expires.Format(time.DateOnly))
				continue
			}
			if next := append(list[:len(list):len(list)], c); c.Role == InspectionSystem {
				return next
			} else if whole := walk(c.Holder, next); whole != nil {
				return whole
			}
		}
		return nil
	}
	p := Path{List: walk(trustPoint, nil)}
	if p.List == nil {
		return p, errors.Join(fmt.Errorf("%w: %s", ErrPath, trustPoint), why)
	}
	return p, t.judge(&p, trustPoint)
}

// follows says whether a holder of role may sign for next.
func follows(role, next Role) bool {
	switch next {
	case CVCA, DomesticDV, ForeignDV:
		return role == CVCA
	}
	return role == DomesticDV || role == ForeignDV
}

// judge computes the effective rights and verifies the signatures as far as
// their keys are at hand: what the chip would refuse is not sent.
func (t *Terminal) judge(p *Path, trustPoint string) error {
	for _, c := range p.List {
		if p.Rights == nil {
			p.Rights = append([]byte(nil), c.Rights...)
			continue
		}
		if len(c.Rights) != len(p.Rights) {
			return fmt.Errorf("%w: rights of %d and %d bytes", ErrPath, len(p.Rights), len(c.Rights))
		}
		for i := range p.Rights {
			p.Rights[i] &= c.Rights[i]
		}
	}
	var issuer *Certificate
	for _, c := range t.Certificates {
		if c.Holder == trustPoint && c.curve != nil {
			issuer = c
		}
	}
	var from *curve.Curve
	for _, c := range p.List {
		if issuer != nil {
			from = issuer.Curve(from)
			if err := c.Verify(issuer, from); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrPath, c.Holder, err)
			}
		}
		issuer = c
	}
	return nil
}

// Proof is what the terminal signs: the chip's identifier, its challenge, and
// the short form of the terminal's Chip Authentication key. TR-03110-1 §3.5.
func Proof(chip, challenge, key []byte) []byte {
	return append(append(append([]byte(nil), chip...), challenge...), key...)
}

// Key makes a Sign for the terminal's certificate from its private key in
// PKCS #8. from is the curve of its authorities, nil for RSA.
func Key(c *Certificate, from *curve.Curve, pkcs8 []byte) (func(io.Reader, []byte) ([]byte, error), error) {
	var v struct {
		Version   int
		Algorithm asn1.RawValue
		Key       []byte
	}
	if _, err := asn1.Unmarshal(pkcs8, &v); err != nil {
		return nil, fmt.Errorf("ta: private key: %w", err)
	}
	digest := func(message []byte) []byte {
		h := c.algorithm.hash.New()
		h.Write(message)
		return h.Sum(nil)
	}
	if c.rsa != nil {
		k, err := x509.ParsePKCS1PrivateKey(v.Key)
		if err != nil {
			return nil, fmt.Errorf("ta: private key: %w", err)
		}
		if k.N.Cmp(c.rsa.N) != 0 {
			return nil, errors.New("ta: the private key is not the certificate's")
		}
		return func(random io.Reader, message []byte) ([]byte, error) {
			var how crypto.SignerOpts = c.algorithm.hash
			if c.algorithm.pss {
				how = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: c.algorithm.hash}
			}
			return k.Sign(random, digest(message), how)
		}, nil
	}
	// Brainpool curves are unknown to crypto/x509: ECPrivateKey begins with 1
	// and the number (RFC 5915 §3).
	inner, ok := lds.Find(v.Key, 0x30)
	number, ok2 := lds.Find(inner, 0x04)
	k := c.Curve(from)
	if !ok || !ok2 || k == nil {
		return nil, errors.New("ta: private key: not of the certificate's kind")
	}
	d := new(big.Int).SetBytes(number)
	if p, err := k.Decode(c.point); err != nil || d.Sign() == 0 || d.Cmp(k.N) >= 0 || !k.Mul(d, k.G).Equal(p) {
		return nil, errors.New("ta: the private key is not the certificate's")
	}
	return func(random io.Reader, message []byte) ([]byte, error) {
		r, s, err := k.Sign(random, d, digest(message))
		if err != nil {
			return nil, fmt.Errorf("ta: sign: %w", err)
		}
		n := (k.N.BitLen() + 7) / 8
		out := make([]byte, 2*n)
		r.FillBytes(out[:n])
		s.FillBytes(out[n:])
		return out, nil
	}, nil
}
