// Package watchlist keeps a copy of the watch lists on a lane, for the hours in
// which the registers are away: SIS-, SLTD- and national-style lists without
// their discreet entries, which never leave the register.
//
// A list is not a list of people here. The register turns each entry into tags,
// keyed hashes of what finds it: a document, a name with birth date and
// nationality, a sound with birth date. A lane makes the same tags of the
// traveller before it and looks whether they are there; it cannot list whom it
// would find. The key of the tags, the salt, comes with the copy, is sealed by
// the lane's key and destroyed with the copy.
package watchlist

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"time"

	"passage/eesclient/names"
)

// Find is what a list says of whoever has a tag. The stronger answer is the
// greater.
type Find uint8

// Finds. A tag of None in a delta is gone.
const (
	None     Find = iota
	Possible      // weak: sounds alike
	Inquiry       // SIS 36 other than discreet
	Action        // arrest, refusal, missing person, document stolen
)

// Tag is the keyed hash that stands for an entry: 63 bits of HMAC-SHA-256. With
// ten million entries a traveller who is on no list has one by chance once in
// a hundred thousand million crossings.
type Tag int64

// Row is one entry of a copy.
type Row struct {
	Tag  Tag
	Find Find
}

// Salt keys the tags of one series of copies: a whole one and the deltas that
// follow it.
type Salt [32]byte

// Tagger makes tags. It is not safe for concurrent use.
type Tagger struct{ mac hash.Hash }

// NewTagger makes tags under a salt.
func NewTagger(s Salt) *Tagger { return &Tagger{hmac.New(sha256.New, s[:])} }

func (t *Tagger) tag(words ...string) Tag {
	t.mac.Reset()
	var n [4]byte
	for _, w := range words {
		binary.BigEndian.PutUint32(n[:], uint32(len(w)))
		t.mac.Write(n[:])
		t.mac.Write([]byte(w))
	}
	var sum [sha256.Size]byte
	return Tag(binary.BigEndian.Uint64(t.mac.Sum(sum[:0])) >> 1)
}

// Document is the tag of a document on a list.
func (t *Tagger) Document(list, issuer, number string) Tag {
	return t.tag(list, "document", issuer, number)
}

// Person is the tag of a name with birth date and nationality: the surname and
// the first given name as they are normalised, since documents truncate and
// drop the others.
func (t *Tagger) Person(list, surname, given string, birth time.Time, nationality string) Tag {
	return t.tag(list, "person", names.Normal(surname), names.First(given), birth.Format(time.DateOnly), nationality)
}

// Sound is the tag of a surname as it sounds, with the birth date. Whoever has
// it is at most Possible.
func (t *Tagger) Sound(list, surname string, birth time.Time) Tag {
	return t.tag(list, "sound", names.Sound(surname), birth.Format(time.DateOnly))
}

// Subject is whom an entry or a look-up is about. What is unknown is empty.
type Subject struct {
	Issuer, Number      string // of the document
	Surname, GivenNames string
	Nationality         string
	Birth               time.Time
}

// Rows is an entry of a list as a copy has it: a row for each way of finding
// it.
func (t *Tagger) Rows(list string, who Subject, find Find) []Row {
	var rows []Row
	if who.Number != "" {
		rows = append(rows, Row{t.Document(list, who.Issuer, who.Number), find})
	}
	if who.Surname != "" && !who.Birth.IsZero() {
		rows = append(rows, Row{t.Person(list, who.Surname, who.GivenNames, who.Birth, who.Nationality), find})
		if names.Sound(who.Surname) != "" {
			rows = append(rows, Row{t.Sound(list, who.Surname, who.Birth), Possible})
		}
	}
	return rows
}

// Sort brings rows into the order of a copy; of several with one tag the
// strongest stays.
func Sort(rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(b.Find, a.Find)) })
	return slices.CompactFunc(rows, func(a, b Row) bool { return a.Tag == b.Tag })
}
