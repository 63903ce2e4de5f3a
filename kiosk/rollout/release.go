// Package rollout brings configuration and trust material to the lanes of a
// site in stages.
//
// A release is a content with a number: what one officer proposed. A plan says
// which lanes get it, how many at first, how long each stage is watched, and
// what stops it: that is what another officer activates. Both words are proven
// by passkeys, and every lane proves them again by the roster that it has, so
// that whoever owns the console can put nothing onto a lane. The plan is a pure
// function (Step): what a site does next follows from what it has written down
// and what it sees.
//
// The package does no I/O and reads no clock, but for Keeper, a lane's memory
// of its releases.
package rollout

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"passage/kiosk/officer"
)

// Kind is what a release brings.
type Kind string

const (
	// Configuration brings the values that a site may set centrally: TOML, as
	// package config reads it. It counts from a lane's next start on.
	Configuration Kind = "configuration"
	// Trust brings one activated version of trust material, as package trust
	// bundles it. It counts for the next document.
	Trust Kind = "trust"
)

// Kinds are all there are.
var Kinds = []Kind{Configuration, Trust}

// Most is how large a content of this kind may be, in bytes; 0 for no kind.
func (k Kind) Most() int64 {
	switch k {
	case Configuration:
		return 64 << 10
	case Trust:
		return 64 << 20
	}
	return 0
}

// Limits of documents.
const (
	maxRelease = 4 << 10
	maxPlan    = 512 << 10
	maxName    = 80
	maxLanes   = 10_000
	maxStages  = 10
	// MaxOffer is how large an offer may be, as JSON.
	MaxOffer = 900 << 10
)

// Bounds of a plan's times.
const (
	MostSoak = 7 * 24 * time.Hour
	MostLife = 90 * 24 * time.Hour
)

// Release is what an officer proposes: a content by its hash.
type Release struct {
	Site   string `json:"site"` // the roster's
	Kind   Kind   `json:"kind"`
	Number uint64 `json:"number"` // of its kind, counting up: lanes take no older one
	Name   string `json:"name"`   // for people
	// Back is the number of the release whose content this is again, 0 for a
	// content that is new. A content that a lane has had before is refused
	// without it.
	Back   uint64 `json:"back,omitempty"`
	Size   int64  `json:"size"` // of the content, bytes
	SHA256 string `json:"sha256"`
	Made   int64  `json:"made"` // Unix s
}

// Plan is what another officer activates: who gets a release, and when.
type Plan struct {
	Release string   `json:"release"` // SHA-256 of the release as it was proposed
	Lanes   []string `json:"lanes"`   // sorted, each once
	Stages  []int    `json:"stages"`  // percent of the lanes, rising, the last one 100
	Soak    int64    `json:"soak"`    // seconds that each stage is watched
	From    int64    `json:"from"`    // Unix s: when the first stage may begin
	Until   int64    `json:"until"`   // Unix s: after it no lane takes the release
	Limits  Limits   `json:"limits"`
}

// Limits are what stops a rollout. Shares are in percent.
type Limits struct {
	Refused   int `json:"refused"`   // of the lanes that were given it, who refused it: more stop it
	Broken    int `json:"broken"`    // of those that have it, and worked before, who don't now: more stop it
	Diverted  int `json:"diverted"`  // points by which the share of diverted travellers may rise
	Alarms    int `json:"alarms"`    // points for the share of attack alarms
	Slower    int `json:"slower"`    // by which the median crossing may take longer
	Crossings int `json:"crossings"` // that must have been seen before the next stage; 0 for none
}

// DefaultLimits are those that the pages propose.
var DefaultLimits = Limits{Refused: 0, Broken: 5, Diverted: 10, Alarms: 5, Slower: 30, Crossings: 20}

// Offer is a release with everything that proves it, as a lane gets it.
type Offer struct {
	Release    []byte          `json:"release"`
	Proposal   json.RawMessage `json:"proposal"` // officer.Envelope
	Plan       []byte          `json:"plan"`
	Activation json.RawMessage `json:"activation"`
}

// Errors of this package. ErrLater is no refusal: the lane asks again.
var (
	ErrRefused = errors.New("rollout: release refused")
	ErrLater   = errors.New("rollout: not yet")
)

// Digest is the name of a document by which words mean it.
func Digest(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// strict reads one JSON value of at most most bytes, without unknown fields.
func strict(b []byte, most int, v any) error {
	if len(b) > most {
		return refuse("larger than %d bytes", most)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		return refuse("it cannot be read")
	}
	return nil
}

// ParseRelease reads a release and says what is wrong with it.
func ParseRelease(b []byte) (Release, error) {
	var r Release
	if err := strict(b, maxRelease, &r); err != nil {
		return r, err
	}
	switch {
	case r.Kind.Most() == 0:
		return r, refuse("there is no kind %.20q", string(r.Kind))
	case r.Number == 0 || r.Back >= r.Number:
		return r, refuse("number %d, back to %d: numbers count up from 1", r.Number, r.Back)
	case r.Name == "" || len(r.Name) > maxName || strings.ContainsFunc(r.Name, func(c rune) bool { return !unicode.IsPrint(c) }):
		return r, refuse("a name has 1 to %d letters", maxName)
	case r.Size < 0 || r.Size > r.Kind.Most():
		return r, refuse("a content of %d bytes: %d are the most of a %s", r.Size, r.Kind.Most(), r.Kind)
	case !digestForm.MatchString(r.SHA256):
		return r, refuse("its content has no SHA-256")
	case r.Made <= 0:
		return r, refuse("nobody says when it was made")
	}
	return r, nil
}

var laneForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// ParsePlan reads a plan and says what is wrong with it.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	if err := strict(b, maxPlan, &p); err != nil {
		return p, err
	}
	return p, p.Validate()
}

// Validate says what is wrong with a plan, wrapping ErrRefused.
func (p Plan) Validate() error {
	if !digestForm.MatchString(p.Release) {
		return refuse("the plan is for no release")
	}
	if len(p.Lanes) == 0 || len(p.Lanes) > maxLanes {
		return refuse("a plan is for 1 to %d lanes, not %d", maxLanes, len(p.Lanes))
	}
	for i, l := range p.Lanes {
		if !laneForm.MatchString(l) || i > 0 && p.Lanes[i-1] >= l {
			return refuse("lane %.40q: the plan's lanes are sorted, and each is there once", l)
		}
	}
	if n := len(p.Stages); n == 0 || n > maxStages || p.Stages[n-1] != 100 {
		return refuse("a plan has 1 to %d stages, and the last one is 100 %%", maxStages)
	}
	for i, s := range p.Stages {
		if s < 1 || i > 0 && p.Stages[i-1] >= s {
			return refuse("stages rise: %v do not", p.Stages)
		}
	}
	if p.Soak < 0 || p.Soak > int64(MostSoak/time.Second) {
		return refuse("a stage is watched for 0 s to %v", MostSoak)
	}
	if p.From <= 0 || p.Until <= p.From || p.Until-p.From > int64(MostLife/time.Second) {
		return refuse("a plan holds from its beginning for at most %d days", int(MostLife.Hours()/24))
	}
	l := p.Limits
	for _, v := range []int{l.Refused, l.Broken, l.Diverted, l.Alarms} {
		if v < 0 || v > 100 {
			return refuse("limits are percents: %d is none", v)
		}
	}
	if l.Slower < 0 || l.Slower > 1000 || l.Crossings < 0 || l.Crossings > 1_000_000 {
		return refuse("limits: slower by 0 to 1000 %%, 0 to 1,000,000 crossings")
	}
	return nil
}

// Order is the plan's lanes in the order in which they get the release: by a
// hash, so that nobody picks them, and a site that starts anew picks the same.
// digest is the plan's.
func (p Plan) Order(digest string) []string {
	type place struct {
		at   [sha256.Size]byte
		lane string
	}
	list := make([]place, len(p.Lanes))
	for i, l := range p.Lanes {
		list[i] = place{sha256.Sum256([]byte("passage rollout 1\n" + digest + "\n" + l)), l}
	}
	slices.SortFunc(list, func(a, b place) int { return bytes.Compare(a.at[:], b.at[:]) })
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.lane
	}
	return out
}

// Upto is how many lanes have been given the release when a stage has begun: the
// stage's share of them rounded down, and at least one.
func (p Plan) Upto(stage int) int {
	return max(1, len(p.Lanes)*p.Stages[stage]/100)
}

// Due is the earliest that a lane may take the release: a console that is in a
// hurry gains nothing. It fails if the plan is not for the lane.
func (p Plan) Due(digest, lane string) (time.Time, error) {
	at := slices.Index(p.Order(digest), lane)
	if at < 0 {
		return time.Time{}, refuse("the plan is not for lane %s", lane)
	}
	stage := 0
	for at >= p.Upto(stage) {
		stage++
	}
	return time.Unix(p.From+int64(stage)*p.Soak, 0), nil
}

// Proven is an offer that a lane has proven.
type Proven struct {
	Release
	Digest    string // of the release
	Plan      Plan
	Rollout   string // the plan's digest
	Proposer  string
	Activator string
	Why       string // the activator's reason
}

// Prove says whether a lane may take an offer at now. Two officers of the roster
// must stand behind it: one who proposed the release, and another one who
// activated the plan, each by a touch of the passkey for that very word. It wraps
// ErrRefused, or ErrLater for a lane whose turn has not come.
func (o Offer) Prove(r *officer.Roster, lane string, now time.Time) (Proven, error) {
	v, err := o.proven(r, now)
	if err != nil {
		return v, err
	}
	due, err := v.Plan.Due(v.Rollout, lane)
	switch {
	case err != nil:
		return v, err
	case now.Before(due):
		return v, fmt.Errorf("%w: this lane's turn is not before %s", ErrLater, due.UTC().Format(time.DateTime))
	case now.After(time.Unix(v.Plan.Until, 0)):
		return v, refuse("the plan has run out")
	}
	return v, nil
}

// proven is Prove but for when and where.
func (o Offer) proven(r *officer.Roster, now time.Time) (Proven, error) {
	v := Proven{Digest: Digest(o.Release), Rollout: Digest(o.Plan)}
	var err error
	if v.Release, err = ParseRelease(o.Release); err != nil {
		return v, err
	}
	if v.Plan, err = ParsePlan(o.Plan); err != nil {
		return v, err
	}
	if r == nil || now.After(r.Until) {
		return v, fmt.Errorf("%w: the lane has no roster of officers that holds", ErrLater)
	}
	if v.Site != r.Site {
		return v, refuse("it is for site %.40q", v.Site)
	}
	if v.Plan.Release != v.Digest {
		return v, refuse("the plan is for another release")
	}
	proposal, err := proven(r, o.Proposal, officer.Propose, v.Digest, officer.Prepare, now)
	if err != nil {
		return v, err
	}
	activation, err := proven(r, o.Activation, officer.Activate, v.Rollout, officer.Configure, now)
	if err != nil {
		return v, err
	}
	v.Proposer, v.Activator, v.Why = proposal.Officer.ID, activation.Officer.ID, activation.Text
	if v.Proposer == v.Activator {
		return v, refuse("%s proposed it and cannot activate it", v.Proposer)
	}
	return v, nil
}

// proven is one of the two words.
func proven(r *officer.Roster, envelope []byte, kind officer.Kind, digest string, right officer.Right, now time.Time) (officer.Said, error) {
	said, err := r.Proven(envelope, now)
	switch {
	case err != nil:
		return said, refuse("%s: %w", kind, err)
	case said.Lane != officer.Site || said.Kind != kind || said.Value != digest:
		return said, refuse("%s: the officer said something else", kind)
	case !said.Officer.Role.May(right):
		return said, refuse("%s: this is not a right of a %s", kind, said.Officer.Role)
	}
	return said, nil
}

// Status is what a lane says about its releases of one kind.
type Status struct {
	Kind   Kind   `json:"kind"`
	Number uint64 `json:"number,omitempty"` // of the release in effect; 0 for none
	Digest string `json:"digest,omitempty"` // of that release
	// Refused is the digest of a release that the lane does not take, and Why.
	Refused string `json:"refused,omitempty"`
	Why     string `json:"why,omitempty"`
	// Taking is the digest of one that is on its way, Got how many bytes are here,
	// Waits what it waits for.
	Taking string `json:"taking,omitempty"`
	Got    int64  `json:"got,omitempty"`
	Waits  string `json:"waits,omitempty"`
}

// MaxStatus is how large a lane's report may be, as JSON.
const MaxStatus = 4 << 10

const maxWhy = 600

// ParseStatus reads a lane's report. What a lane writes there reaches officers'
// pages.
func ParseStatus(b []byte) ([]Status, error) {
	var list []Status
	if err := strict(b, MaxStatus, &list); err != nil {
		return nil, err
	}
	seen := map[Kind]bool{}
	for _, s := range list {
		if s.Kind.Most() == 0 || seen[s.Kind] || s.Got < 0 {
			return nil, refuse("a report that no lane gives")
		}
		seen[s.Kind] = true
		for _, d := range []string{s.Digest, s.Refused, s.Taking} {
			if d != "" && !digestForm.MatchString(d) {
				return nil, refuse("a report that no lane gives")
			}
		}
		for _, text := range []string{s.Why, s.Waits} {
			if len(text) > maxWhy || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
				return nil, refuse("a report that no lane gives")
			}
		}
	}
	return list, nil
}

// line makes an error a line that ParseStatus takes: its last words are the most
// telling ones.
func line(err error) string {
	s := strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return ' '
		case !unicode.IsPrint(c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(err.Error(), ""))
	for _, p := range []string{ErrRefused.Error() + ": ", ErrLater.Error() + ": "} {
		s = strings.TrimPrefix(s, p)
	}
	if len(s) > maxWhy {
		s = strings.ToValidUTF8(s[:maxWhy-3], "") + "…"
	}
	return s
}

// Piece asks for a piece of a content, from an offset on.
type Piece struct {
	SHA256 string `json:"sha256"`
	Offset int64  `json:"offset"`
}

// PieceSize is how large a piece is, in bytes, but for the last one.
const PieceSize = 256 << 10

// Sound says whether a question for a piece has the form that a lane gives it.
func (p Piece) Sound() error {
	if !digestForm.MatchString(p.SHA256) || p.Offset < 0 || p.Offset%PieceSize != 0 {
		return errors.New("rollout: that is no question for a piece")
	}
	return nil
}
