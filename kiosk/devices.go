package kiosk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// The shell declares here what it needs of the world. The mains choose who
// provides it; a simulated lane provides it all in one process.

// Gate is the mantrap. Run owns the wire until ctx ends: it starts the gate
// up, polls it, sends heartbeats only while alive says so, and reports every
// change. report is called from one goroutine and does not block. Order queues
// a command without blocking and returns where its final result will come, a
// *Refusal if the gate said no, an ErrGateLost if nobody knows; the gate gets
// commands in the order of the calls, and a newer motion ends an older one.
type Gate interface {
	Run(ctx context.Context, alive func() bool, report func(GateReport)) error
	Order(ctx context.Context, o lane.Order) <-chan error
	Lights(ctx context.Context, l Lights) error
}

// ErrGateLost says of a command that the link was lost, or the gate restarted,
// before its result came. It may have been carried out: a report of the loss says
// what there is to say, and comes as well, before or after.
var ErrGateLost = errors.New("the gate was lost before the result came")

// GateReport is one poll that differs from the last, or the news that the
// link was lost or the gate restarted.
type GateReport struct {
	Seen   lane.Gate
	Lost   bool
	Detail GateDetail
}

// GateDetail is what the pages show of the gate beyond what the lane acts on.
type GateDetail struct {
	Persons        int
	Alarms, Faults []string
	EntryPercent   int // leaf position, 0 closed to 100 open
	ExitPercent    int
}

// Lights are the four arrows and crosses and the status lamp.
type Lights struct {
	EntryArrow, ExitArrow bool // a cross is shown otherwise
	Status                Lamp
}

// Lamp is the status lamp's colour.
type Lamp uint8

const (
	Red Lamp = iota
	Amber
	Green
)

// Refusal is a gate command's final result other than OK.
type Refusal struct {
	Class lane.Class
	Err   error
}

func (r *Refusal) Error() string { return fmt.Sprintf("gate refused (%v): %v", r.Class, r.Err) }
func (r *Refusal) Unwrap() error { return r.Err }

// Reader is the document reader: printed MRZ and chip together. Watch blocks
// and reports what lies on it. Read reads the document that lies there; early
// is called once, when the MRZ's check digits hold, so that consultations can
// start while the chip is still being read. A document that fails is an
// answer, not an error: the error means that nothing could be found out.
type Reader interface {
	Watch(ctx context.Context, present func(bool)) error
	Read(ctx context.Context, early func(Identity, policy.Document)) (Inspection, error)
}

// ErrRemoved says that the document was taken away during the reading.
var ErrRemoved = errors.New("document removed")

// Identity is a traveller's name and document number. It lives in memory until
// the transaction ends and is never logged, printed or journalled in clear.
type Identity struct {
	Surname, GivenNames, Sex string
	Number                   string
}

// Format keeps an Identity out of every log and error message, whatever verb
// somebody gives it.
func (Identity) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[identity]") } // a fmt.State takes all

// LogValue does so for logs that print the fields of what they are given.
func (Identity) LogValue() slog.Value { return slog.StringValue("[identity]") }

// Inspection is what a reading found.
type Inspection struct {
	Identity Identity
	Document policy.Document
	Portrait []byte // the portrait's code stream as the chip holds it
	Checks   []CheckResult
	Access   string // PACE-GM, BAC, none
	Spans    []Span
	APDUs    int
	Bytes    int
}

// CheckResult is one check in the five words of BSI TR-03135.
type CheckResult struct {
	Name   string
	Code   policy.Code
	Reason string
}

// Vision sees. Run supervises camera and workers and reports their health.
// Portrait turns a chip's untrusted code stream into pixels in a process that
// may die, and into a template. Compare takes live faces until it can decide
// or ctx ends; show is told what the traveller's screen has to say and shine.
// Preview gives the traveller's own picture, mirrored and small, as JPEG, until
// ctx ends; frames that come while show is busy are left out, none is kept.
type Vision interface {
	Run(ctx context.Context, health func(camera, matcher string)) error
	Portrait(ctx context.Context, stream []byte) (Portrait, error)
	Compare(ctx context.Context, p Portrait, show func(Prompt)) (FaceResult, error)
	Preview(ctx context.Context, show func(jpeg []byte) error) error
}

// Portrait is a decoded chip portrait: a picture for the officer's page and an
// opaque template. Both are volatile.
type Portrait struct {
	JPEG     []byte
	Template any
	Spans    []Span
}

// Prompt is what the traveller's screen shows of a comparison under way.
type Prompt struct {
	Hint  Hint
	Light Light
}

// Light is what the traveller's screen shines on the face: attack detection
// looks at what the face does with it.
type Light string

// The lights; none is the screen's usual one.
const (
	LightNone Light = ""
	LightWarm Light = "warm"
	LightCool Light = "cool"
)

// Hint is advice to the traveller before the camera.
type Hint string

// The hints, by the name their text has in the message files.
const (
	HintNone   Hint = ""
	HintCloser Hint = "closer"
	HintBack   Hint = "back"
	HintLook   Hint = "look"
	HintOne    Hint = "one"
	// Others come from the matcher's quality policy, by the same names.
)

// FaceResult is a comparison's outcome. Score and Threshold are cosine
// similarities, -1 to 1; Shown is the score mapped to 0–100 for people.
type FaceResult struct {
	Face      lane.Face
	Score     float64
	Threshold float64
	Shown     int
	Attempts  int
	PAD       string // "not evaluated", or the engine's score
	JPEG      []byte // the live picture that was compared
}

// Register is the EES-style register and the watch lists. It never returns an
// error: what went wrong is an answer, and is never "no hit".
type Register interface {
	Consult(ctx context.Context, c lane.Check, id Identity, d policy.Document) DBAnswer
	// Search finds the traveller's file; Pending says that nobody could.
	Search(ctx context.Context, id Identity, d policy.Document) (policy.Flags, string, DBAnswer)
	VerifyFace(ctx context.Context, file string, live []byte) DBAnswer
	// Authorisation asks whether the document has a travel authorisation that
	// is valid on a civil day.
	Authorisation(ctx context.Context, id Identity, d policy.Document, day time.Time) DBAnswer
	Stay(ctx context.Context, file string, dir policy.Direction, day time.Time) (DBAnswer, Stay)
	// Known says whether the registers were reachable at the last look.
	Known(ctx context.Context) bool
}

// DBAnswer is one register's answer with the age of a local copy.
type DBAnswer struct {
	Answer lane.Answer
	Age    time.Duration
}

// Stay is the calculator's result.
type Stay struct {
	Status   string // ok, undetermined, not_applicable, exhausted
	Days     int
	LastDay  string // yyyy-mm-dd, local date of the crossing point
	Overstay int
	// Bilateral says that an agreement of the host state may allow more than
	// the rule: an officer knows.
	Bilateral bool
	// Calendar is a picture of the days that the result rests on, SVG, for the
	// officer's page; empty where the earlier stays are not known.
	Calendar string `json:"-"`
}

// Neighbours are the other lanes of the site. Claim says that a document is
// being used here, and reports whether that speaks against it: another lane has
// it now or had it in the last two minutes, or the site's rules across lanes say
// so. Passed says that its traveller was released. The tag is a keyed hash of
// the document number.
type Neighbours interface {
	Claim(ctx context.Context, tag string) (against bool)
	Passed(ctx context.Context, tag string)
}

// Alone is the neighbourhood of a single lane.
type Alone struct{}

// Claim reports that nobody else exists.
func (Alone) Claim(context.Context, string) bool { return false }

// Passed tells nobody.
func (Alone) Passed(context.Context, string) {}

// Span is one step of a crossing's timeline, in time since the document was
// placed.
type Span struct {
	Name       string        `json:"name"`
	Start, End time.Duration `json:"-"`
}

// Store keeps what must not be lost. Append never blocks and keeps order;
// what happened is journalled before the effects of later steps are judged.
// Intend and Record call done once the data is on disk, or with the error that
// kept it from being there. For one transaction the first of Record, Void and
// OpenCase holds.
type Store interface {
	Append(Entry)
	Begin(lane.Transaction, string, time.Time)
	Intend(lane.Transaction, Facts, func(error))
	Record(lane.Transaction, time.Time, func(error))
	Void(lane.Transaction)
	OpenCase(lane.Transaction, lane.CaseReason)
	Conclude(lane.Transaction, Ended)
	Cases(ctx context.Context) ([]Case, error)
	Settle(ctx context.Context, transaction, officer, finding string) error
	// Failing returns why the store can no longer write, or nil.
	Failing() error
}

// Facts are what a crossing's record will say. They are sealed under the
// transaction's own key when the intent is written.
type Facts struct {
	UUID      string
	Direction policy.Direction
	Class     lane.TravellerClass
	File      string // the register's file, if any
	Identity  Identity
	Document  policy.Document
	Stay      Stay
	Answers   [lane.Checks]lane.Answer
	Level     string // central, local
}

// Entry is one journalled step.
type Entry struct {
	Now     lane.Instant
	At      time.Time
	Event   lane.Event
	Effects []lane.Effect
	After   lane.State
}

// Ended is what stays of a concluded transaction: no identity.
type Ended struct {
	At       time.Time
	Class    lane.TravellerClass
	Outcome  lane.Outcome
	Reason   lane.Reason
	Took     time.Duration
	Timeline []Span
}

// Case is an open reconciliation case.
type Case struct {
	Transaction string
	At          time.Time
	Why         string
}
