package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"passage/eesclient/stay"
	"passage/kiosk"
	"passage/kiosk/intercom"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// scene is what a lane plays. The zero scene is a lane that is open and empty.
type scene struct {
	Phase      lane.Phase          `json:"phase"`
	Class      lane.TravellerClass `json:"class"`
	Reason     lane.Reason         `json:"reason"`
	Issuer     string              `json:"issuer"`
	Given      string              `json:"given"`
	Surname    string              `json:"surname"`
	Sex        string              `json:"sex"`
	Number     string              `json:"number"` // of the document
	Hint       kiosk.Hint          `json:"hint"`
	Light      kiosk.Light         `json:"light"`
	Left       float64             `json:"left"` // s until the phase gives up
	Unhurried  bool                `json:"unhurried"`
	BothWays   bool                `json:"both_ways"`
	Turned     bool                `json:"turned"` // it serves the other direction than it began with
	Reminded   bool                `json:"reminded"`
	Signatures int8                `json:"signatures"` // that a release needs: 0 for the usual one, -1 where none is allowed
	Alerts     []lane.AlertKind    `json:"alerts"`
	AlertAge   float64             `json:"alert_age"` // s that they have stood
	Again      int                 `json:"again"`     // people for whom they came meanwhile
	Cases      []string            `json:"cases"`     // reasons of open reconciliation cases
	Bag        bool                `json:"bag"`
	Persons    int                 `json:"persons"`
	Closed     bool                `json:"closed"`
	Days       int                 `json:"days"` // of stay; -1 for undetermined
	LastDay    string              `json:"last_day"`
	Overstay   int                 `json:"overstay"`
	Shown      int                 `json:"shown"` // of 100, how alike the faces are
	PAD        string              `json:"pad"`
}

// player is a played lane. What officers say to it, it does, and notes.
type player struct {
	id       string
	booth    *intercom.Booth // nil without an intercom
	watchers watchers

	mu     sync.Mutex
	scene  scene
	view   kiosk.View
	start  time.Time
	number int
	signed []string
	duty   map[string]time.Time
	said   []string
	cases  []kiosk.Case
}

func newPlayer(id string) *player {
	p := &player{id: id, start: time.Now(), duty: map[string]time.Time{}}
	p.play(scene{})
	return p
}

// inside are the phases with somebody between the leaves.
var inside = []lane.Phase{
	lane.Sealing, lane.Inside, lane.Decide, lane.WaitDB, lane.Review, lane.Intend, lane.Release, lane.Multi, lane.Hold, lane.Fallback,
}

// empty are the phases without a crossing under way.
var empty = []lane.Phase{lane.OutOfService, lane.Idle, lane.Luggage, lane.Fault, lane.Evacuate}

func (p *player) play(c scene) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.watchers.wake()
	if c.Phase == lane.OutOfService && !c.Closed {
		c.Phase = lane.Idle
	}
	p.scene, p.signed = c, nil
	p.number++
	p.setting()
	p.cases = nil
	for i, why := range c.Cases {
		p.cases = append(p.cases, kiosk.Case{Transaction: fmt.Sprintf("0191d3c4-cafe-7000-8000-%012d", i), At: time.Now().Add(-time.Duration(7+i) * time.Minute), Why: why})
	}
}

// setting makes the view of the scene. The lock is held.
func (p *player) setting() {
	c, now := p.scene, time.Now()
	direction := policy.Entry
	if (p.id[0] == 'X') != c.Turned {
		direction = policy.Exit
	}
	v := kiosk.View{
		Config: kiosk.Config{Lane: p.id, Site: "Port of Nowhere", Policy: policy.Policy{Direction: direction}},
		Since:  now, Registers: true, Signatures: 1, Counts: map[string]int{},
	}
	v.State.Phase, v.State.Reason, v.State.Closed = c.Phase, c.Reason, c.Closed
	v.Unhurried, v.Config.BothWays = c.Unhurried, c.BothWays
	v.State.Gate.Link, v.State.Gate.State = true, lane.GateReady
	if slices.Contains(inside, c.Phase) {
		v.State.Gate.State, v.State.Gate.Occupied, v.Gate.Persons = lane.GateOccupied, true, max(1, c.Persons)
	}
	switch c.Phase {
	case lane.Enter, lane.DivertIn:
		v.State.Gate.State, v.Gate.EntryPercent = lane.GateEntryOpen, 100
	case lane.Release:
		v.State.Gate.State, v.Gate.ExitPercent = lane.GateExitOpen, 100
	case lane.Fault:
		v.State.Gate.State = lane.GateFault
		v.Gate.Faults = []string{"EXIT_DRIVE"}
	}
	v.State.Gate.Bag = c.Bag
	if c.Signatures != 0 {
		v.Signatures = uint8(max(0, c.Signatures))
	}
	for i, k := range c.Alerts {
		v.Alerts = append(v.Alerts, kiosk.Alert{ID: p.number*10 + i, At: now.Add(-time.Duration(c.AlertAge * float64(time.Second))), Kind: k, Priority: lane.Urgent, Again: c.Again, Last: now})
	}
	if !slices.Contains(empty, c.Phase) {
		v.Crossing = p.crossing(now)
	}
	p.view = v
}

func (p *player) crossing(now time.Time) *kiosk.Crossing {
	c := p.scene
	k := &kiosk.Crossing{
		UUID: fmt.Sprintf("0191d3c4-0000-7000-8000-%c%c%010d", p.id[0]%10+'0', p.id[1], p.number), Began: now.Add(-9 * time.Second), Class: c.Class,
		Document: policy.Document{Code: "P", Issuer: c.Issuer, Nationality: c.Issuer, Birth: now.AddDate(-34, -2, -9), Expiry: now.AddDate(4, 7, 3), Verdict: policy.ChipGenuine},
		Identity: kiosk.Identity{Surname: c.Surname, GivenNames: c.Given, Sex: c.Sex, Number: c.Number},
		Access:   "PACE",
		Checks: []kiosk.CheckResult{
			{Name: "MRZ check digits", Code: policy.Successful},
			{Name: "passive authentication", Code: policy.Successful},
			{Name: "chip authentication", Code: policy.Successful},
			{Name: "DG1 and MRZ", Code: policy.Successful},
			{Name: "optical check", Code: policy.NotSupported, Reason: "no optical reader"},
		},
		Prompt: kiosk.Prompt{Hint: c.Hint, Light: c.Light}, Reminded: c.Reminded,
	}
	for n := range lane.Checks {
		k.Answers[n].Answer = lane.NotApplicable
	}
	for _, n := range []lane.Check{lane.CheckSIS, lane.CheckSLTD, lane.CheckFPR, lane.CheckLost} {
		k.Answers[n].Answer = lane.Clear
	}
	switch c.Reason {
	case lane.ALERT:
		k.Answers[lane.CheckSLTD].Answer = lane.HitAction
	case lane.DB_OFF:
		k.Answers[lane.CheckSIS].Answer = lane.NotConsulted
	}
	if c.Class == lane.TCN_LISTED {
		k.Answers[lane.CheckFile].Answer = lane.Clear
	}
	if c.Days != 0 || c.Overstay != 0 {
		k.Stay, k.Answers[lane.CheckStay].Answer = p.days(now), lane.Clear
	}
	if slices.Contains(inside, c.Phase) && c.Phase != lane.Sealing {
		shown := c.Shown
		if shown == 0 {
			shown = 87
		}
		k.Face = kiosk.FaceResult{Face: lane.FaceMatch, Score: float64(shown) / 100, Threshold: .6, Shown: shown, Attempts: 1, PAD: c.PAD, JPEG: portrait(1)}
		if shown < 60 {
			k.Face.Face, k.Face.Attempts = lane.FaceNonMatch, 3
		}
	}
	return k
}

// days is a stay with earlier ones behind it.
func (p *player) days(now time.Time) kiosk.Stay {
	c := p.scene
	out := kiosk.Stay{Status: "ok", Days: c.Days, LastDay: c.LastDay, Overstay: c.Overstay}
	if c.Days < 0 {
		out.Status, out.Days = "undetermined", 0
		return out
	}
	out.Bilateral = stay.Result{Status: stay.Status(out.Status), Overstay: out.Overstay}.Bilateral()
	on := stay.On(now)
	stays := []stay.Stay{{First: on - 170, Last: on - 126}, {First: on - 80, Last: on - 51}}
	r := stay.Entry(stays, on, stay.Visa{})
	out.Calendar = stay.Calendar(stay.Explain(r, stays, on, stay.Visa{}, false), on)
	return out
}

func (p *player) View() kiosk.View {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.view
	v.Now = lane.Instant(time.Since(p.start))
	if p.scene.Left > 0 {
		v.State.Deadline = v.Now + lane.Instant(p.scene.Left*float64(time.Second))
	}
	v.Signed = slices.Clone(p.signed)
	v.Alerts = slices.Clone(p.view.Alerts)
	v.Officers = map[string]time.Time{}
	for id, at := range p.duty {
		if time.Since(at) < 30*time.Second {
			v.Officers[id] = at
		}
	}
	return v
}

func (p *player) Watch(ctx context.Context) <-chan struct{} { return p.watchers.add(ctx) }

// Decide takes the first decision on a case that waits, and no other. What
// follows is the next scene.
func (p *player) Decide(_ context.Context, o kiosk.Officer, transaction string, d lane.Decision, reason, text, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.watchers.wake()
	waits := p.scene.Phase == lane.Review || p.scene.Phase == lane.Hold || p.scene.Phase == lane.Multi
	if p.view.Crossing == nil || p.view.Crossing.UUID != transaction || !waits {
		return kiosk.ErrStale
	}
	if reason == "" {
		return kiosk.ErrReason
	}
	if d == lane.DecideRelease && p.view.Signatures == 0 {
		return kiosk.ErrNotAllowed
	}
	if d == lane.DecideRelease && p.view.Signatures > 1 && text == "" {
		return fmt.Errorf("%w: in writing", kiosk.ErrReason)
	}
	if d == lane.DecideRelease && p.view.Signatures > 1 {
		if !slices.Contains(p.signed, o.ID) {
			p.signed = append(p.signed, o.ID)
		}
		if len(p.signed) < int(p.view.Signatures) {
			return kiosk.ErrSecond
		}
	}
	p.said = append(p.said, fmt.Sprintf("%s %s %s %s", o.ID, d, reason, text))
	p.view.State.Phase = map[lane.Decision]lane.Phase{
		lane.DecideRelease: lane.Release, lane.DecideDivert: lane.DivertIn, lane.DecideHold: lane.Hold, lane.DecideRetryFace: lane.Inside,
	}[d]
	if d == lane.DecideReferSecondLine {
		p.view.State.Phase = lane.DivertIn
	}
	p.scene.Phase, p.view.Since = p.view.State.Phase, time.Now()
	return nil
}

func (p *player) Order(_ context.Context, o kiosk.Officer, order lane.OfficerOrder) error {
	p.note(o.ID + " " + order.String())
	switch order {
	case lane.OrderClose:
		p.play(scene{Phase: lane.OutOfService, Closed: true})
	case lane.OrderOpen:
		p.play(scene{})
	case lane.OrderMoreTime:
		p.MoreTime()
	case lane.OrderDirectionEntry, lane.OrderDirectionExit:
		p.play(scene{BothWays: true, Turned: (order == lane.OrderDirectionExit) != (p.id[0] == 'X')})
	}
	return nil
}

func (p *player) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, s)
}

func (p *player) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.said...)
}

func (p *player) Renew(context.Context) error { p.note("renewed"); return nil }

func (p *player) Present(id string, here bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.watchers.wake()
	if here {
		p.duty[id] = time.Now()
	} else {
		delete(p.duty, id)
	}
}

func (p *player) Acknowledge(id int, by string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.watchers.wake()
	for i := range p.view.Alerts {
		if p.view.Alerts[i].ID == id && p.view.Alerts[i].By == "" {
			p.view.Alerts = slices.Clone(p.view.Alerts)
			p.view.Alerts[i].By = by
			p.said = append(p.said, by+" sees to it")
			return nil
		}
	}
	return kiosk.ErrStale
}

func (p *player) Cases(context.Context) ([]kiosk.Case, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.cases), nil
}

func (p *player) SettleCase(_ context.Context, by, transaction, finding string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.watchers.wake()
	before := len(p.cases)
	p.cases = slices.DeleteFunc(p.cases, func(c kiosk.Case) bool { return c.Transaction == transaction })
	if len(p.cases) == before {
		return kiosk.ErrStale
	}
	p.said = append(p.said, by+" "+finding)
	return nil
}

func (p *player) Face(transaction, which string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.view.Crossing
	if k == nil || k.UUID != transaction {
		return nil, false
	}
	if which == "live" {
		return k.Face.JPEG, k.Face.JPEG != nil
	}
	return portrait(0), true
}

func (p *player) Preview(ctx context.Context, show func([]byte) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := show(portrait(1)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *player) Help() { p.note("help") }

// MoreTime doubles what is left, once.
func (p *player) MoreTime() {
	p.note("more time")
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.watchers.wake()
	if !p.view.Unhurried {
		p.view.Unhurried = true
		p.scene.Left *= 2
	}
}
