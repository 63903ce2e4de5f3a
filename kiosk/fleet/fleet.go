// Package fleet is how a lane speaks to its site over NATS, and the words that
// both use.
//
// A lane publishes two things: its view, often and forgettable, and its
// journal, once and for good. It answers two kinds of requests: an officer's
// proven word, and a question about the case under way. It asks the site for
// what it must know: the roster of officers, and how much of its journal has
// arrived. The one durable store of a lane is its SQLite journal; what the site
// has not got is sent again from there.
//
// A lane's credentials let it touch its own subjects only, so that no lane can
// lie about another one.
//
// It also asks for releases (package rollout): what the site may roll out to it.
package fleet

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"passage/kiosk/journal"
)

// Subjects of NATS. A lane may publish below lane.ID and site.ask.ID, and hear
// lane.ID.do, lane.ID.ask, its own inbox and site.changed.
const (
	Views    = "lane.*.view"    // core NATS: the newest one counts
	Journals = "lane.*.journal" // JetStream, one message a batch
	Asked    = "site.ask.*.*"   // lane → site: roster, journal
	Changed  = "site.changed"   // site → lanes: ask again
	Held     = "lane.*.held"    // where the site turns journals of a lane that sends too much
	Stream   = "JOURNAL"
)

// Subject is lane.ID.WHAT: view, journal, do or ask.
func Subject(lane, what string) string { return "lane." + lane + "." + what }

// Question is site.ask.ID.WHAT: roster, journal with the journal's name, document
// with a Sighting, head with a SignedHead, release with the lane's Status, or renew
// with a Renewal.
func Question(lane, what string) string { return "site.ask." + lane + "." + what }

// Inbox is the prefix of a lane's reply subjects: a lane may hear no other's.
func Inbox(lane string) string { return "_INBOX_" + lane }

var token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// ErrLane says that a lane's id is no NATS token.
var ErrLane = errors.New("fleet: a lane's id is 1 to 32 of A-Z, a-z, 0-9, '_' and '-'")

// Valid says whether id may name a lane of a site.
func Valid(id string) error {
	if !token.MatchString(id) {
		return ErrLane
	}
	return nil
}

// TooMuch is the code of the site's answer to a batch of a lane that is held back.
const TooMuch = 429

// Limits of messages.
const (
	MaxBatch = 64       // entries
	MaxView  = 64 << 10 // bytes

	maxName     = 40 // of a journal, a crossing, a class, an outcome, a reason
	maxTimeline = 16 << 10
)

// Batch is a piece of a lane's journal: consecutive entries, and the crossings
// that ended in them. Its Nats-Msg-Id is the lane, the journal, and the first and
// last entries' numbers.
type Batch struct {
	Lane    string        `json:"lane"`
	Journal string        `json:"journal"` // which one: a replaced computer begins anew
	Entries []journal.Row `json:"entries"`
	Ended   []Ended       `json:"ended,omitempty"`
	// After is what the first entry follows from where the lane has forgotten
	// those before it: a site that has nothing of this journal takes it from there.
	After *After `json:"after,omitempty"`
}

// After is the end of the entries that a lane has forgotten.
type After struct {
	Seq   int64  `json:"seq"`
	Chain []byte `json:"chain"`
}

// Ended is a concluded crossing: no identity.
type Ended struct {
	Seq      int64           `json:"seq"` // of the entry that concluded it
	UUID     string          `json:"uuid"`
	At       int64           `json:"at"` // Unix ns
	Took     int64           `json:"took"`
	Class    string          `json:"class"`
	Outcome  string          `json:"outcome"`
	Reason   string          `json:"reason"`
	Timeline json.RawMessage `json:"timeline"`
}

// Sound says whether a batch has the form that a lane gives it. What it says is
// another matter: that its entries follow from one another is for who stores
// them to find out.
func (b Batch) Sound() bool {
	if len(b.Entries) == 0 || len(b.Entries) > MaxBatch || len(b.Ended) > MaxBatch || len(b.Journal) == 0 || len(b.Journal) > maxName {
		return false
	}
	if a := b.After; a != nil && (a.Seq <= 0 || len(a.Chain) != sha256.Size || b.Entries[0].Seq-1 != a.Seq) {
		return false
	}
	for _, e := range b.Entries {
		if e.Seq <= 0 || len(e.Chain) != sha256.Size {
			return false
		}
	}
	for _, e := range b.Ended {
		if len(e.UUID) == 0 || len(e.UUID) > maxName || e.Took < 0 || len(e.Timeline) == 0 || len(e.Timeline) > maxTimeline {
			return false
		}
		for _, s := range []string{e.Class, e.Outcome, e.Reason} {
			if len(s) > maxName {
				return false
			}
		}
	}
	return true
}

// Answer is a lane's reply to a word.
type Answer struct {
	OK    bool   `json:"ok"`
	Code  string `json:"code,omitempty"` // of codes, or second: waiting for another officer
	Error string `json:"error,omitempty"`
}

const (
	maxAnswer = 4 << 10
	maxError  = 300
)

// ParseAnswer reads a lane's reply. What a lane writes there reaches officers'
// pages: a code of ours and a short line, or it fails.
func ParseAnswer(b []byte) (Answer, error) {
	var a Answer
	if len(b) > maxAnswer {
		return a, fmt.Errorf("fleet: an answer of %d bytes", len(b))
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return Answer{}, fmt.Errorf("fleet: answer: %w", err)
	}
	if _, known := codes[a.Code]; a.Code != "" && !known || len(a.Error) > maxError || strings.ContainsFunc(a.Error, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Answer{}, errors.New("fleet: an answer that no lane gives")
	}
	return a, nil
}

// What a lane is asked about.
const (
	AskCase    = "case"    // the crossing under way, as JSON
	AskCases   = "cases"   // open reconciliation cases
	AskFace    = "face"    // one picture, as JPEG
	AskStay    = "stay"    // the days that the stay of the crossing rests on, as SVG
	AskAgain   = "again"   // nothing: the lane shall ask how much of its journal has arrived
	AskRelease = "release" // nothing: it shall ask what it is offered
	AskCall    = "call"    // who speaks with the traveller, and the screen's answer
)

// Ask is a question to a lane. The site asks for officers who may see.
type Ask struct {
	What        string `json:"what"`
	Transaction string `json:"transaction,omitempty"`
	Which       string `json:"which,omitempty"` // chip or live
}

// Got is the site's answer about a lane's journal: the last entry's number and
// chain hash that it has, 0 for none, and why it takes no more, if it does not.
type Got struct {
	Seq     int64  `json:"seq"`
	Chain   []byte `json:"chain,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// Sighting is a document in a lane: a keyed hash of issuer and number, which
// way the lane leads, and whether it has passed there or was only laid down.
type Sighting struct {
	Tag       string `json:"tag"`
	Direction string `json:"direction"` // entry or exit
	Passed    bool   `json:"passed,omitempty"`
}

var tagForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Sound says whether a sighting has the form that a lane gives it.
func (s Sighting) Sound() error {
	if !tagForm.MatchString(s.Tag) || s.Direction != "entry" && s.Direction != "exit" {
		return errors.New("fleet: that is no sighting of a document")
	}
	return nil
}

// What may speak against a document that a lane by itself would take.
const (
	Nothing    = ""
	Elsewhere  = "elsewhere"   // in use in another lane, or within the last two minutes
	PassedBack = "passed_back" // it passed in this direction and not in the other since
	TooOften   = "too_often"   // tried again and again
)

// Correlation is the site's answer to a Sighting.
type Correlation struct {
	Why string `json:"why,omitempty"`
}
