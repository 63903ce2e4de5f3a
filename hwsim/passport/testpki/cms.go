package testpki

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"passage/drivers/emrtd/lds"
)

var (
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidLDS          = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 1}
	oidMasterList   = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 2}
	oidListSigner   = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 3}
	oidDeviations   = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 7}
	oidDeviationKey = asn1.ObjectIdentifier{2, 23, 136, 1, 1, 8}
	oidCardSecurity = asn1.ObjectIdentifier{0, 4, 0, 127, 0, 7, 3, 2, 1}
	oidContentType  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
)

// SecurityObject is what EF.SOD says of a document.
type SecurityObject struct {
	Groups map[int][]byte // the files
	LDS18  bool           // with the version of the logical data structure
	Twice  int            // a group whose hash is listed again, with another value
}

// SOD signs the hashes of data groups (Doc 9303-10 App D).
func (s *Signer) SOD(o SecurityObject) ([]byte, error) {
	var list []byte
	add := func(n int, file []byte) {
		list = append(list, lds.Make(0x30, der(n), lds.Make(0x04, digest(s.key.Hash, file)))...)
	}
	for n := 1; n <= 16; n++ {
		if b, ok := o.Groups[n]; ok {
			add(n, b)
		}
		if n == o.Twice {
			add(n, nil)
		}
	}
	version, info := der(0), []byte(nil)
	if o.LDS18 {
		version, info = der(1), lds.Make(0x30, lds.Make(0x13, []byte("0108")), lds.Make(0x13, []byte("040000")))
	}
	signed, err := s.sign(oidLDS, lds.Make(0x30, version, hashAlgorithm(s.key.Hash), lds.Make(0x30, list), info), time.Time{})
	if err != nil {
		return nil, err
	}
	return lds.Make(0x77, signed), nil
}

// CardSecurity signs the SecurityInfos of EF.CardSecurity (Doc 9303-11
// §9.2.11).
func (s *Signer) CardSecurity(infos []byte) ([]byte, error) {
	return s.sign(oidCardSecurity, infos, time.Time{})
}

// sign makes a CMS SignedData over content (RFC 5652 §5). at is the signing
// time; zero for none.
func (s *Signer) sign(kind asn1.ObjectIdentifier, content []byte, at time.Time) ([]byte, error) {
	attr := func(oid asn1.ObjectIdentifier, value []byte) []byte {
		return lds.Make(0x30, der(oid), lds.Make(0x31, value))
	}
	list := [][]byte{attr(oidContentType, der(kind)), attr(oidDigest, lds.Make(0x04, digest(s.key.Hash, content)))}
	if !at.IsZero() {
		list = append(list, attr(oidSigningTime, moment(at)))
	}
	slices.SortFunc(list, slices.Compare) // DER orders the elements of a set
	attrs := slices.Concat(list...)
	signature, err := s.key.sign(s.random, lds.Make(0x31, attrs))
	if err != nil {
		return nil, err
	}
	hash := hashAlgorithm(s.key.Hash)
	info := lds.Make(0x30, der(1), lds.Make(0x30, s.issuer, der(s.serial)), hash, lds.Make(0xA0, attrs), s.key.algorithm(), lds.Make(0x04, signature))
	data := lds.Make(0x30, der(3), lds.Make(0x31, hash), lds.Make(0x30, der(kind), lds.Make(0xA0, lds.Make(0x04, content))), lds.Make(0xA0, s.Cert), lds.Make(0x31, info))
	return lds.Make(0x30, der(oidSignedData), lds.Make(0xA0, data)), nil
}

// MasterList is a list of country signing certificates, signed by a's master
// list signer (Doc 9303-12 §9).
func (a *Authority) MasterList(list ...*Authority) ([]byte, error) {
	s, err := a.signer(Suite{}, certificate{from: a.now.AddDate(-1, 0, 0), to: a.now.AddDate(2, 0, 0), purpose: oidListSigner}, "Master list signer")
	if err != nil {
		return nil, err
	}
	var certs [][]byte
	for _, b := range list {
		certs = append(append(certs, b.Cert), b.Links...)
	}
	slices.SortFunc(certs, slices.Compare)
	b, err := s.sign(oidMasterList, lds.Make(0x30, der(0), lds.Make(0x31, certs...)), a.now)
	if err != nil {
		return nil, fmt.Errorf("testpki: master list: %w", err)
	}
	return b, nil
}

// Deviation is an entry of a deviation list: a defect of documents that s
// signed.
type Deviation struct {
	Signer *Signer
	Text   string
	Defect asn1.ObjectIdentifier
}

// DeviationList is signed by a's deviation list signer (Doc 9303-12 §10).
func (a *Authority) DeviationList(list ...Deviation) ([]byte, error) {
	s, err := a.signer(Suite{}, certificate{from: a.now.AddDate(-1, 0, 0), to: a.now.AddDate(2, 0, 0), purpose: oidDeviationKey}, "Deviation list signer")
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for _, d := range list {
		who := lds.Make(0xA1, d.Signer.issuer, der(d.Signer.serial))
		what := lds.Make(0x30, lds.Make(0x13, []byte(d.Text)), der(d.Defect))
		entries = append(entries, lds.Make(0x30, lds.Make(0x30, who), lds.Make(0x31, what)))
	}
	b, err := s.sign(oidDeviations, lds.Make(0x30, der(0), hashAlgorithm(s.key.Hash), lds.Make(0x31, entries...)), a.now)
	if err != nil {
		return nil, fmt.Errorf("testpki: deviation list: %w", err)
	}
	return b, nil
}
