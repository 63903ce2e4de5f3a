package testpki

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"passage/drivers/emrtd/lds"
)

// PKCS8 is the private key as files have it (RFC 5208; RFC 5915 for a curve).
func (v *Inspector) PKCS8() []byte {
	if k := v.key.rsa; k != nil {
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(k.P, one), new(big.Int).Sub(k.Q, one))
		d := new(big.Int).ModInverse(big.NewInt(int64(k.E)), phi)
		inner := x509.MarshalPKCS1PrivateKey(&rsa.PrivateKey{PublicKey: rsa.PublicKey{N: k.N, E: k.E}, D: d, Primes: []*big.Int{k.P, k.Q}})
		return lds.Make(0x30, der(0), lds.Make(0x30, der(oidPKCS1(1)), null), lds.Make(0x04, inner))
	}
	spki, _ := lds.Find(v.key.public(), 0x30)
	algorithm, _ := lds.Find(spki, 0x30)
	number := v.key.ec.D.FillBytes(make([]byte, (v.key.curve.N.BitLen()+7)/8))
	inner := lds.Make(0x30, der(1), lds.Make(0x04, number))
	return lds.Make(0x30, der(0), lds.Make(0x30, algorithm), lds.Make(0x04, inner))
}

// Terminal returns the trust point that a chip is to have for the terminal in
// dir: files *.cvcert and key.pk8, as an inspection system keeps them. A folder
// without any gets an authority, a document verifier and a terminal that may
// read DG3 and DG4 for five days from now.
func Terminal(dir string, s Suite, now time.Time, random io.Reader) ([]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.cvcert"))
	if err != nil {
		return nil, fmt.Errorf("testpki: terminal: %w", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("testpki: terminal: %w", err)
		}
		if c, err := ParseCVC(b); err == nil && c.Authority == c.Holder {
			return b, nil
		}
	}
	if len(paths) > 0 {
		return nil, fmt.Errorf("testpki: terminal: %s has no certificate of an authority by itself", dir)
	}
	root, err := NewCVCA("UTCVCA00001", s, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0), random)
	if err != nil {
		return nil, err
	}
	dv, err := root.Issue("UTDVIS00001", DVDomestic, 3, now.AddDate(0, 0, -5), now.AddDate(0, 1, 0))
	if err != nil {
		return nil, err
	}
	is, err := dv.Issue("UTISYS00001", IS, 3, now.AddDate(0, 0, -1), now.AddDate(0, 0, 5))
	if err != nil {
		return nil, err
	}
	err = os.MkdirAll(dir, 0o700)
	for _, v := range []*Inspector{root, dv, is} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, v.Holder+".cvcert"), v.Cert, 0o600))
	}
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "key.pk8"), is.PKCS8(), 0o600)); err != nil {
		return nil, fmt.Errorf("testpki: terminal: %w", err)
	}
	return bytes.Clone(root.Cert), nil
}
