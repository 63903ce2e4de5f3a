package register

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"

	"passage/eesclient/names"
	"passage/eesclient/stay"
)

// Person is somebody whom the register knows.
type Person struct {
	File         string            // empty: no individual file
	Type         string            `json:",omitempty"` // document code
	Number       string            // document number
	Issuer       string            // of the document
	Surname      string            // as in the machine readable zone
	GivenNames   string            `json:",omitempty"`
	Birth        string            // yyyy-mm-dd
	Nationality  string            `json:",omitempty"`
	Sex          string            `json:",omitempty"`
	FamilyStatus bool              `json:",omitempty"`
	Visa         string            `json:",omitempty"` // none, short, long
	VisaEnd      time.Time         `json:",omitzero"`
	Sticker      string            `json:",omitempty"` // of the visa
	ETIAS        string            `json:",omitempty"` // valid, expired, revoked
	Reference    bool              `json:",omitempty"` // a facial image is on file
	Face         string            `json:",omitempty"` // what comparing it gives: match, no_match, low_quality
	FaceDelay    time.Duration     `json:",omitempty"`
	Stays        []stay.Stay       `json:",omitempty"`
	Hits         map[string]string `json:",omitempty"` // by list: HIT_ACTION, HIT_INQUIRY, DISCREET
	// Still says that crossings do not move the file on: a simulated traveller
	// who walks again and again.
	Still bool `json:",omitempty"`
}

// keys are what the register derives from its one secret.
type keys struct {
	tags *sync.Pool // of HMACs: preparing one costs more than a tag
	seal cipher.AEAD
	sign ed25519.PrivateKey
}

// KeySize is the size of a register's secret, in bytes.
const KeySize = 32

func newKeys(secret []byte) (keys, error) {
	if len(secret) != KeySize {
		return keys{}, fmt.Errorf("register: the secret must have %d bytes, not %d", KeySize, len(secret))
	}
	var k keys
	derive := func(use string) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, "passage register "+use, 32)
	}
	tags, err := derive("tags")
	if err != nil {
		return k, fmt.Errorf("register: keys: %w", err)
	}
	k.tags = &sync.Pool{New: func() any { return hmac.New(sha256.New, tags) }}
	seal, err := derive("seal")
	if err != nil {
		return k, fmt.Errorf("register: keys: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return k, fmt.Errorf("register: keys: %w", err)
	}
	if k.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return k, fmt.Errorf("register: keys: %w", err)
	}
	sign, err := derive("extract signature")
	if err != nil {
		return k, fmt.Errorf("register: keys: %w", err)
	}
	k.sign = ed25519.NewKeyFromSeed(sign)
	return k, nil
}

// tag is a keyed hash of words.
func (k keys) tag(words ...string) []byte {
	text := make([]byte, 0, 128)
	for _, w := range words {
		text = binary.BigEndian.AppendUint32(text, uint32(len(w)))
		text = append(text, w...)
	}
	m := k.tags.Get().(hash.Hash)
	defer k.tags.Put(m)
	m.Reset()
	_, _ = m.Write(text) // a hash takes everything
	return m.Sum(nil)[:16]
}

func (k keys) document(issuer, number string) []byte { return k.tag("document", issuer, number) }

// person is the tag of who somebody is: surname, first given name, birth date
// and nationality, since documents truncate and drop the other given names.
func (k keys) person(surname, given, birth, nationality string) []byte {
	return k.tag("person", names.Normal(surname), names.First(given), birth, nationality)
}

// listed are the tags under which a list may know somebody: the document, the
// person, and weakly the surname's sound with the birth date.
func (k keys) listed(list, issuer, number, surname, given, birth, nationality string) (document, person, sound []byte) {
	return k.tag("list", list, "document", issuer, number),
		k.tag("list", list, "person", names.Normal(surname), names.First(given), birth, nationality),
		k.tag("list", list, "sound", names.Sound(surname), birth)
}

func (k keys) permission(kind, sticker, issuer, number string) []byte {
	return k.tag("permission", kind, sticker, issuer, number)
}

// sealed encrypts a value; what binds it to its place, so that it cannot be
// moved to another row.
func (k keys) sealed(v any, what string) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("register: seal: %w", err)
	}
	return k.seal.Seal(nil, nil, b, []byte(what)), nil
}

func (k keys) unseal(b []byte, what string, v any) error {
	plain, err := k.seal.Open(nil, nil, b, []byte(what))
	if err != nil {
		return fmt.Errorf("register: unseal: %w", err)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("register: unseal: %w", err)
	}
	return nil
}

// keep is the last day on which a file may be kept: five years after the
// authorised stay ends without an exit, else three years and a day after the
// last exit; for family members five years and one (EES Art. 34).
func (p Person) keep(today stay.Day) stay.Day {
	last, open := stay.Day(0), false
	for _, s := range p.Stays {
		last, open = max(last, s.First, s.Last), open || s.Last == 0
	}
	if last == 0 {
		last = today // registered, never seen
	}
	years := 3
	switch {
	case open:
		years, last = 5, last+stay.Day(90)
	case p.FamilyStatus:
		years = 1
	}
	return stay.On(last.Date().AddDate(years, 0, 1))
}

// Load adds people, or puts them in the place of those who have the same file.
func (g *Register) Load(ctx context.Context, people ...Person) error {
	for _, p := range people {
		steps, err := g.steps(p)
		if err != nil {
			return err
		}
		if p.File != "" {
			was, found, err := g.person(ctx, p.File)
			if err != nil {
				return err
			}
			if found {
				steps = slices.Concat(g.forget(was), steps)
			}
		}
		if err := g.db.do(ctx, steps...); err != nil {
			return fmt.Errorf("register: load: %w", err)
		}
	}
	return nil
}

// steps are what puts a person into the database.
func (g *Register) steps(p Person) ([]step, error) {
	var list []step
	today := stay.On(time.Now())
	if p.File != "" {
		sealed, err := g.keys.sealed(p, p.File)
		if err != nil {
			return nil, err
		}
		list = append(list,
			step{sql: "INSERT INTO individual_file (file, until, sealed) VALUES ($1,$2,$3) ON CONFLICT (file) DO UPDATE SET until=excluded.until, sealed=excluded.sealed", args: []any{p.File, int64(p.keep(today)), sealed}},
			step{sql: "INSERT INTO document (tag, file) VALUES ($1,$2) ON CONFLICT DO NOTHING", args: []any{g.keys.document(p.Issuer, p.Number), p.File}},
			step{sql: "INSERT INTO person (tag, file) VALUES ($1,$2) ON CONFLICT DO NOTHING", args: []any{g.keys.person(p.Surname, p.GivenNames, p.Birth, p.Nationality), p.File}},
		)
	}
	for _, r := range g.permissions(p) {
		list = append(list, step{sql: "INSERT INTO permission (tag, status, until, days) VALUES ($1,$2,$3,$4) ON CONFLICT (tag) DO UPDATE SET status=excluded.status, until=excluded.until, days=excluded.days", args: []any{r.tag, r.status, int64(r.until), r.days}})
	}
	for name, hit := range p.Hits {
		e := g.entry(p, name, hit)
		sealed, err := g.keys.sealed(p, e.entry)
		if err != nil {
			return nil, err
		}
		list = append(list, step{sql: "INSERT INTO list_entry (entry, list, answer, discreet, sealed) VALUES ($1,$2,$3,$4,$5) ON CONFLICT (entry) DO UPDATE SET answer=excluded.answer, discreet=excluded.discreet, sealed=excluded.sealed", args: []any{e.entry, name, e.answer, e.discreet, sealed}})
		for _, t := range e.tags {
			list = append(list, step{sql: "INSERT INTO list_tag (tag, entry, answer, discreet) VALUES ($1,$2,$3,$4) ON CONFLICT (tag, entry) DO UPDATE SET answer=excluded.answer, discreet=excluded.discreet", args: []any{t.tag, e.entry, t.answer, e.discreet}})
		}
	}
	return list, nil
}

type permitted struct {
	tag    []byte
	status string
	until  stay.Day
	days   int
}

func (g *Register) permissions(p Person) (list []permitted) {
	if p.Sticker != "" {
		list = append(list, permitted{g.keys.permission("visa", p.Sticker, p.Issuer, p.Number), "valid", stay.On(p.VisaEnd), 90})
	}
	if p.ETIAS != "" {
		list = append(list, permitted{g.keys.permission("etias", "", p.Issuer, p.Number), p.ETIAS, stay.On(time.Now().AddDate(1, 0, 0)), 0})
	}
	return list
}

type entry struct {
	entry, answer string
	discreet      int
	tags          []struct {
		tag    []byte
		answer string
	}
}

// entry is a list's entry about a person: it finds the document, the name, and
// weakly the sound of the name.
func (g *Register) entry(p Person, list, hit string) entry {
	e := entry{entry: list + "-" + strings.ToUpper(fmt.Sprintf("%x", g.keys.document(p.Issuer, p.Number)[:8])), answer: hit}
	if hit == discreet {
		e.answer, e.discreet = "CLEAR", 1
	}
	document, person, sound := g.keys.listed(list, p.Issuer, p.Number, p.Surname, p.GivenNames, p.Birth, p.Nationality)
	weak := "POSSIBLE"
	if e.discreet == 1 {
		weak = "CLEAR"
	}
	add := func(tag []byte, answer string) {
		e.tags = append(e.tags, struct {
			tag    []byte
			answer string
		}{tag, answer})
	}
	add(document, e.answer)
	if ofPersons(list) {
		add(person, e.answer)
		add(sound, weak)
	}
	return e
}

const discreet = "DISCREET"

// ofPersons says whether a list is of persons; the others are of documents.
func ofPersons(list string) bool { return list == "SIS" || list == "FPR" }

// person reads a file.
func (g *Register) person(ctx context.Context, file string) (p Person, found bool, err error) {
	err = g.db.do(ctx, step{
		sql: "SELECT sealed FROM individual_file WHERE file=$1", args: []any{file},
		row: func(scan func(...any) error) error {
			var b []byte
			if err := scan(&b); err != nil {
				return err
			}
			found = true
			return g.keys.unseal(b, file, &p)
		},
	})
	if err != nil {
		return p, false, fmt.Errorf("register: file: %w", err)
	}
	return p, found, nil
}

// forget are the steps that erase a file and what leads to it.
func (g *Register) forget(p Person) []step {
	list := []step{
		{sql: "DELETE FROM individual_file WHERE file=$1", args: []any{p.File}},
		{sql: "DELETE FROM document WHERE tag=$1 AND file=$2", args: []any{g.keys.document(p.Issuer, p.Number), p.File}},
		{sql: "DELETE FROM person WHERE tag=$1 AND file=$2", args: []any{g.keys.person(p.Surname, p.GivenNames, p.Birth, p.Nationality), p.File}},
	}
	for _, r := range g.permissions(p) {
		list = append(list, step{sql: "DELETE FROM permission WHERE tag=$1", args: []any{r.tag}})
	}
	return list
}
