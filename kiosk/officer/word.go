package officer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

// Word is what an officer says to a lane. Its signed form is its JSON, byte
// for byte as the browser wrote it.
type Word struct {
	Lane        string `json:"lane"`
	Kind        Kind   `json:"kind"`
	Transaction string `json:"transaction,omitempty"` // UUID of the crossing; of the case for settle_case
	Value       string `json:"value,omitempty"`       // decision, order, alert number or finding
	Reason      string `json:"reason,omitempty"`
	Text        string `json:"text,omitempty"`
	Reference   string `json:"reference,omitempty"` // of a consultation elsewhere
	// Evidence is the SHA-256 of the case as the officer saw it, in
	// hexadecimal: what the decision was made on.
	Evidence string   `json:"evidence,omitempty"`
	Lanes    []string `json:"lanes,omitempty"` // present: all lanes that the officer has an eye on
	At       int64    `json:"at"`              // Unix ms
}

// Kind is what a word is about.
type Kind string

const (
	Decision    Kind = "decide"
	Order       Kind = "order"
	Renew       Kind = "renew"
	Present     Kind = "present"
	Absent      Kind = "absent"
	Acknowledge Kind = "acknowledge"
	SettleCase  Kind = "settle_case"
	Intercom    Kind = "intercom" // Value is call, with the offer of sound in Text, or end

	// Said to the site, which proves it as a lane would.
	ShutOut Kind = "shut_out" // Value is the lane whose computer is shut out

	// Of releases (package rollout): said to the site, proven by each lane.
	Propose  Kind = "propose"  // Value is the release's SHA-256
	Activate Kind = "activate" // Value is the plan's
	Rollout  Kind = "rollout"  // Value is pause, resume, stop or acknowledge, Transaction the plan's SHA-256
)

// Site stands in Word.Lane where a word is for the site: no lane is called so.
const Site = "."

// Limits of a word. A word is as old as its way to the lane; MostLanes is the
// hard cap of gates per officer (domain: ratio of supervision).
const (
	MaxEnvelope = 64 << 10
	maxWord     = 8 << 10
	Fresh       = 30 * time.Second
	ahead       = 5 * time.Second
	MostLanes   = 10
	MostSession = 12 * time.Hour
)

// Session is a key that an officer's passkey has certified. Key is a P-256
// public key in PKIX form; the private half never leaves the browser.
type Session struct {
	Officer   string          `json:"officer"`
	Key       []byte          `json:"key"`
	Issued    int64           `json:"issued"`  // Unix s
	Expires   int64           `json:"expires"` // Unix s, at most MostSession later
	Assertion json.RawMessage `json:"assertion"`
}

// Envelope carries a word with everything that proves it.
type Envelope struct {
	Session   Session         `json:"session"`
	Word      []byte          `json:"word"`
	Signature []byte          `json:"signature"` // r ‖ s, 64 bytes, over SHA-256 of Word
	Fresh     json.RawMessage `json:"fresh,omitempty"`
}

// Challenge is what the passkey signs to certify a session: the browser
// computes the same.
func (s Session) Challenge(rpID string) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "passage session 1\n%s\n%s\n%s\n%d\n%d\n", rpID, s.Officer, base64.StdEncoding.EncodeToString(s.Key), s.Issued, s.Expires))
	return h[:]
}

// FreshChallenge is what the passkey signs anew for a word that overrides an
// attack alarm or a hit.
func FreshChallenge(word []byte) []byte {
	h := sha256.Sum256(append([]byte("passage fresh 1\n"), word...))
	return h[:]
}

// Said is a word that has been proven.
type Said struct {
	Word
	Officer Officer
	Again   bool // the passkey was touched for this very word
}

// Ear hears words at one lane. It remembers what it heard within the time in
// which a word may be repeated, so that each counts once.
type Ear struct {
	Lane  string
	Since time.Time // when it began to hear: what was said before, the ear before it may have heard

	mu     sync.Mutex
	roster *Roster
	known  map[[32]byte]int64 // session digest → expiry, verified under this roster
	heard  map[[32]byte]time.Time
}

// Take replaces the roster, unless it is older than the one in use.
func (e *Ear) Take(r *Roster) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.roster != nil && r.Version < e.roster.Version {
		return fmt.Errorf("%w: version %d is older than %d", ErrRoster, r.Version, e.roster.Version)
	}
	e.roster, e.known = r, map[[32]byte]int64{}
	return nil
}

// Roster is the roster in use, nil before the first.
func (e *Ear) Roster() *Roster {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.roster
}

// Hear verifies an envelope at now. Every refusal wraps ErrWord and says why.
func (e *Ear) Hear(b []byte, now time.Time) (Said, error) {
	var none Said
	env, word, err := parse(b)
	if err != nil {
		return none, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.roster == nil || now.After(e.roster.Until) {
		return none, fmt.Errorf("%w: the lane has no roster that holds", ErrWord)
	}
	switch at := time.UnixMilli(word.At); {
	case word.Kind == Present && !slices.Contains(word.Lanes, e.Lane), word.Kind != Present && word.Lane != e.Lane:
		return none, fmt.Errorf("%w: it is not for this lane", ErrWord)
	case word.Kind == Present && len(word.Lanes) > MostLanes:
		return none, fmt.Errorf("%w: nobody watches %d lanes; %d are the most", ErrWord, len(word.Lanes), MostLanes)
	case now.Sub(at) > Fresh, at.Sub(now) > ahead:
		return none, fmt.Errorf("%w: it was said at %s: too long ago, or by another clock", ErrWord, at.UTC().Format(time.TimeOnly))
	case now.Sub(at) > now.Sub(e.Since): // ages, not times: the lane's clock may have been set since
		return none, fmt.Errorf("%w: it was said before the lane started: say it again", ErrWord)
	}
	o, err := e.session(env.Session, now)
	if err != nil {
		return none, err
	}
	if !signed(env) {
		return none, fmt.Errorf("%w: the session's key did not sign it", ErrWord)
	}
	// Two officers may say the same in one millisecond.
	digest := sha256.Sum256(append([]byte(o.ID+"\n"), env.Word...))
	for d, at := range e.heard {
		if now.Sub(at) > 2*Fresh {
			delete(e.heard, d)
		}
	}
	if _, again := e.heard[digest]; again {
		return none, fmt.Errorf("%w: it was heard before", ErrWord)
	}
	said := Said{Word: word, Officer: o}
	if len(env.Fresh) > 0 {
		if err := e.roster.assertion(env.Fresh, FreshChallenge(env.Word), o); err != nil {
			return none, err
		}
		said.Again = true
	}
	if e.heard == nil {
		e.heard = map[[32]byte]time.Time{}
	}
	e.heard[digest] = now
	return said, nil
}

func parse(b []byte) (Envelope, Word, error) {
	var env Envelope
	var word Word
	if len(b) > MaxEnvelope {
		return env, word, fmt.Errorf("%w: larger than %d bytes", ErrWord, MaxEnvelope)
	}
	if err := strict(b, &env); err != nil {
		return env, word, err
	}
	if len(env.Word) > maxWord {
		return env, word, fmt.Errorf("%w: larger than %d bytes", ErrWord, maxWord)
	}
	return env, word, strict(env.Word, &word)
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: it cannot be read", ErrWord)
	}
	if d.More() {
		return fmt.Errorf("%w: something follows it", ErrWord)
	}
	return nil
}

// session verifies who holds a session key, once per key and roster. The lock
// is held.
func (e *Ear) session(s Session, now time.Time) (Officer, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return Officer{}, fmt.Errorf("%w: it cannot be read", ErrWord)
	}
	digest := sha256.Sum256(b)
	if until, known := e.known[digest]; known && until > now.Unix() {
		o, _ := e.roster.Find(s.Officer)
		return o, nil
	}
	o, err := e.roster.Certified(s, now)
	if err != nil {
		return o, err
	}
	for d, until := range e.known {
		if until <= now.Unix() {
			delete(e.known, d)
		}
	}
	e.known[digest] = s.Expires
	return o, nil
}

// Certified says which officer holds a session key at now: one of the roster,
// whose passkey has certified the key for a time that has not run out. Every
// refusal wraps ErrWord.
func (r *Roster) Certified(s Session, now time.Time) (Officer, error) {
	o, ok := r.Find(s.Officer)
	if !ok {
		return o, fmt.Errorf("%w: the roster knows no officer %q", ErrWord, s.Officer)
	}
	unix := now.Unix()
	// Sums of what is bounded, no difference: that of two foreign numbers may
	// overflow, and a session would never end.
	if s.Expires <= unix || s.Issued > unix+int64(ahead/time.Second) || s.Expires > s.Issued+int64(MostSession/time.Second) {
		return o, fmt.Errorf("%w: the session has run out: sign in again", ErrWord)
	}
	return o, r.assertion(s.Assertion, s.Challenge(r.RPID), o)
}

// Proven says who gave a word that is kept for those who ask later: a lane takes
// a release days after it was signed. The passkey must have been touched for
// that very word, in a session that held when the word says that it was said,
// which is not after now; the officer must be of this roster. How old a word may
// be, and that it counts once, is for the caller. Every refusal wraps ErrWord.
func (r *Roster) Proven(b []byte, now time.Time) (Said, error) {
	env, word, err := parse(b)
	if err != nil {
		return Said{}, err
	}
	at := time.UnixMilli(word.At)
	if at.Sub(now) > ahead {
		return Said{}, fmt.Errorf("%w: it was said at %s, which is still to come by this clock: is the clock right?", ErrWord, at.UTC().Format(time.DateTime))
	}
	o, err := r.Certified(env.Session, at)
	if err != nil {
		return Said{}, err
	}
	if !signed(env) {
		return Said{}, fmt.Errorf("%w: the session's key did not sign it", ErrWord)
	}
	if len(env.Fresh) == 0 {
		return Said{}, fmt.Errorf("%w: the passkey was not touched for it", ErrWord)
	}
	if err := r.assertion(env.Fresh, FreshChallenge(env.Word), o); err != nil {
		return Said{}, err
	}
	return Said{Word: word, Officer: o, Again: true}, nil
}

// signed says whether the session key signed the word (ECDSA with SHA-256, the
// form of the Web Cryptography API §23.7).
func signed(env Envelope) bool {
	parsed, err := x509.ParsePKIXPublicKey(env.Session.Key)
	key, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Curve != elliptic.P256() || len(env.Signature) != 64 {
		return false
	}
	digest := sha256.Sum256(env.Word)
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(env.Signature[:32]), new(big.Int).SetBytes(env.Signature[32:]))
}
