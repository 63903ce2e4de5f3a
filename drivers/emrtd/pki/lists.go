package pki

import (
	"errors"
	"fmt"
)

// MasterList is a signed list of country signing certificates (Doc 9303-12
// §9).
type MasterList struct {
	Raw    []byte
	Signed *Signed
	Certs  []*Certificate
	// Refused says which entries could not be read.
	Refused []error
}

// listContent reads a signed list of at most 64 MiB and returns its content,
// which must be of that type.
func listContent(b []byte, want ...int) (*Signed, elem, error) {
	if len(b) > maxList {
		return nil, elem{}, fmt.Errorf("%w: %d bytes", ErrASN1, len(b))
	}
	s, err := parseSigned(b, maxListElements)
	if err != nil {
		return nil, elem{}, err
	}
	if !s.ContentType.Equal(want) {
		return nil, elem{}, fmt.Errorf("content type %v", s.ContentType)
	}
	flat, rest, err := der(s.Content, maxListElements)
	if err != nil || len(rest) > 0 {
		return nil, elem{}, errors.Join(fmt.Errorf("%w: content", ErrASN1), err)
	}
	e, err := only(flat)
	return s, e, err
}

// ParseMasterList reads a list; whether it is authentic is asked of Signed.
func ParseMasterList(b []byte) (*MasterList, error) {
	s, e, err := listContent(b, oidMasterList...)
	if err != nil {
		return nil, fmt.Errorf("pki: master list: %w", err)
	}
	r := e.read()
	r.take(0x02)
	entries, err := r.take(0x31).children()
	if err := errors.Join(r.end(), err); err != nil {
		return nil, fmt.Errorf("pki: master list: %w", err)
	}
	l := &MasterList{Raw: b, Signed: s}
	for i, x := range entries {
		c, err := ParseCertificate(x.raw)
		if err != nil {
			l.Refused = append(l.Refused, fmt.Errorf("entry %d: %w", i+1, err))
			continue
		}
		l.Certs = append(l.Certs, c)
	}
	return l, nil
}
