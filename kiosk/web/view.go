package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"passage/kiosk"
	"passage/kiosk/lane"
)

// View is what the lane page is told. Case and Recent's reasons are for
// signed-in officers.
type View struct {
	Lane      string         `json:"lane"`
	Site      string         `json:"site"`
	Direction string         `json:"direction"`
	BothWays  bool           `json:"both_ways,omitempty"` // the direction may be changed
	Unhurried bool           `json:"unhurried,omitempty"` // the traveller has asked for more time
	State     string         `json:"state"`
	Since     int64          `json:"since"` // Unix ms
	Gate      GateView       `json:"gate"`
	Unfit     []string       `json:"unfit"`
	Devices   []DeviceView   `json:"devices"`
	Officers  []string       `json:"officers"`
	Banners   []string       `json:"banners"`
	Counts    map[string]int `json:"counts"`
	Closed    bool           `json:"closed,omitempty"` // by an officer
	Me        string         `json:"me,omitempty"`
	IdleMS    int64          `json:"idle_ms,omitempty"` // after which the page of whoever is signed in locks
	Under     *Summary       `json:"under,omitempty"`   // for the site's console
	Case      *Case          `json:"case,omitempty"`
	Alerts    []AlertView    `json:"alerts,omitempty"`
	Recent    []RecentView   `json:"recent,omitempty"`
}

// Summary is what a console's list shows of the crossing under way: nothing
// that names the traveller.
type Summary struct {
	Transaction string   `json:"transaction"`
	Began       int64    `json:"began"` // Unix ms
	Class       string   `json:"class"`
	Reason      string   `json:"reason,omitempty"`
	Review      bool     `json:"review,omitempty"`
	Deadline    int64    `json:"deadline,omitempty"` // Unix ms: when the state gives up
	Release     int      `json:"release"`            // officers needed; 0 if not allowed
	Signed      []string `json:"signed,omitempty"`
}

// DeviceView is something that the lane depends on.
type DeviceView struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Why  string `json:"why,omitempty"`
}

func devices(v kiosk.View) []DeviceView {
	g := v.State.Gate
	gate := DeviceView{Name: "gate", OK: g.Link && g.State != lane.GateFault}
	if !g.Link {
		gate.Why = "not heard"
	} else if !gate.OK {
		gate.Why = "fault"
	}
	list := []DeviceView{gate}
	for _, d := range []struct {
		name string
		h    lane.Health
	}{{"camera", lane.UnfitCamera}, {"face matcher", lane.UnfitMatcher}, {"storage", lane.UnfitStorage}, {"clock", lane.UnfitClock}} {
		why, bad := v.Unfit[d.h]
		list = append(list, DeviceView{d.name, !bad, why})
	}
	registers := DeviceView{Name: "registers", OK: v.Registers}
	if !v.Registers {
		registers.Why = "away: travellers are sent to the desk"
	}
	return append(list, registers)
}

// GateView is the gate as last polled.
type GateView struct {
	Link     bool     `json:"link"`
	State    string   `json:"state"`
	Entry    int      `json:"entry"` // percent open
	Exit     int      `json:"exit"`
	Occupied bool     `json:"occupied"`
	Bag      bool     `json:"bag"`
	Persons  int      `json:"persons"`
	Alarms   []string `json:"alarms"`
	Faults   []string `json:"faults"`
}

// Case is the crossing under way.
type Case struct {
	Transaction string      `json:"transaction"`
	Class       string      `json:"class"`
	Issuer      string      `json:"issuer"`
	Name        string      `json:"name"`
	Verdict     string      `json:"verdict"`
	Document    *Papers     `json:"document,omitempty"`
	Access      string      `json:"access"`
	Reason      string      `json:"reason"`
	Checks      []CheckView `json:"checks"`
	Answers     []CheckView `json:"answers"`
	Face        *FaceView   `json:"face,omitempty"`
	Stay        *kiosk.Stay `json:"stay,omitempty"`
	Calendar    bool        `json:"calendar,omitempty"` // there is a picture of the stay
	Review      bool        `json:"review"`
	Release     int         `json:"release"` // officers needed; 0 if not allowed
	Signed      []string    `json:"signed,omitempty"`
	Chip        bool        `json:"chip"`
	Live        bool        `json:"live"`
}

// Papers is what the document says of its holder. Dates are YYYY-MM-DD.
type Papers struct {
	Type        string `json:"type"` // of the machine readable zone: P, ID
	Number      string `json:"number"`
	Nationality string `json:"nationality"`
	Birth       string `json:"birth,omitempty"`
	Sex         string `json:"sex,omitempty"`
	Expiry      string `json:"expiry,omitempty"`
}

func papers(c *kiosk.Crossing) *Papers {
	d := c.Document
	if d.Code == "" {
		return nil
	}
	p := &Papers{Type: d.Code, Number: c.Identity.Number, Nationality: d.Nationality, Sex: c.Identity.Sex}
	if !d.Birth.IsZero() {
		p.Birth = d.Birth.Format(time.DateOnly)
	}
	if !d.Expiry.IsZero() {
		p.Expiry = d.Expiry.Format(time.DateOnly)
	}
	return p
}

// CheckView is one check or answer.
type CheckView struct {
	Name   string `json:"name"`
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
}

// FaceView is a comparison's result.
type FaceView struct {
	Result   string  `json:"result"`
	Shown    int     `json:"shown"`
	Score    float64 `json:"score"`
	Limit    float64 `json:"threshold"`
	Attempts int     `json:"attempts"`
	PAD      string  `json:"pad"`
}

// AlertView is a call for an officer.
type AlertView struct {
	ID       int    `json:"id"`
	At       int64  `json:"at"`
	Kind     string `json:"kind"`
	Priority string `json:"priority"`
	By       string `json:"by,omitempty"`
	Again    int    `json:"again,omitempty"` // people after the first for whom it came, and when it last did
	Last     int64  `json:"last"`
}

// RecentView is an ended crossing.
type RecentView struct {
	UUID    string  `json:"uuid"`
	At      int64   `json:"at"`
	Class   string  `json:"class"`
	Outcome string  `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	Seconds float64 `json:"seconds"`
	Spans   []Span  `json:"spans,omitempty"`
}

// Span is a step of a crossing in ms since the document was placed.
type Span struct {
	Name  string `json:"name"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
}

func spans(list []kiosk.Span) []Span {
	out := make([]Span, len(list))
	for i, s := range list {
		out[i] = Span{s.Name, s.Start.Milliseconds(), s.End.Milliseconds()}
	}
	return out
}

func (s *server) laneEvents(w http.ResponseWriter, r *http.Request) {
	who := ""
	if x := s.current(r); x != nil {
		who = x.officer.ID
	}
	s.stream(w, r, who, func() any { return view(s.lane.View(), s.current(r)) })
}

func view(v kiosk.View, x *session) View {
	out := open(v)
	if x == nil {
		return out
	}
	out.Me, out.IdleMS, out.Alerts = x.name, idle.Milliseconds(), alerts(v)
	for _, c := range v.Recent {
		out.Recent = append(out.Recent, RecentView{c.UUID, c.At.UnixMilli(), c.Class.String(), c.Outcome.String(), c.Reason.String(), c.Took.Seconds(), spans(c.Timeline)})
	}
	slices.Reverse(out.Recent)
	out.Case = CaseUnderWay(v)
	return out
}

// Overview is what the site's console is told of a lane all the time: no name,
// no face, no check.
func Overview(v kiosk.View) View {
	out := open(v)
	out.Alerts = alerts(v)
	if c := v.Crossing; c != nil {
		out.Under = &Summary{
			Transaction: c.UUID, Began: c.Began.UnixMilli(), Class: c.Class.String(), Reason: v.State.Reason.String(),
			Review: v.State.Phase == lane.Review, Release: int(v.Signatures), Signed: v.Signed,
		}
		if v.State.Deadline > 0 {
			out.Under.Deadline = time.Now().Add(time.Duration(v.State.Deadline - v.Now)).UnixMilli()
		}
	}
	return out
}

// CaseUnderWay is what an officer decides on, nil when nobody crosses.
func CaseUnderWay(v kiosk.View) *Case {
	if v.Crossing == nil {
		return nil
	}
	return officersCase(v, v.Crossing)
}

// open is the part of a lane's view that needs no officer.
func open(v kiosk.View) View {
	g := v.State.Gate
	out := View{
		Lane: v.Config.Lane, Site: v.Config.Site, Direction: string(v.Config.Policy.Direction), State: v.State.Phase.String(),
		BothWays: v.Config.BothWays, Unhurried: v.Unhurried,
		Since: v.Since.UnixMilli(), Unfit: reasons(v), Devices: devices(v), Closed: v.State.Closed, Counts: v.Counts, Officers: slices.Sorted(maps.Keys(v.Officers)),
		Gate: GateView{
			g.Link, g.State.String(), v.Gate.EntryPercent, v.Gate.ExitPercent, g.Occupied, g.Bag, v.Gate.Persons, v.Gate.Alarms, v.Gate.Faults,
		},
	}
	slices.Sort(out.Unfit)
	if v.Config.ExitOnFailure {
		out.Banners = append(out.Banners, "exit_on_failure is on: a cut cable opens the border")
	}
	out.Banners = append(out.Banners, v.Notices...)
	if v.State.Closed {
		out.Banners = append(out.Banners, "closed by an officer, or until one has looked: order open")
	}
	return out
}

func alerts(v kiosk.View) []AlertView {
	var list []AlertView
	for _, a := range v.Alerts {
		list = append(list, AlertView{a.ID, a.At.UnixMilli(), a.Kind.String(), a.Priority.String(), a.By, a.Again, a.Last.UnixMilli()})
	}
	return list
}

func officersCase(v kiosk.View, c *kiosk.Crossing) *Case {
	k := &Case{
		Transaction: c.UUID, Class: c.Class.String(), Issuer: c.Document.Issuer, Name: name(c.Identity), Verdict: string(c.Document.Verdict), Document: papers(c), Access: c.Access,
		Reason: v.State.Reason.String(), Review: v.State.Phase == lane.Review, Release: int(v.Signatures), Signed: v.Signed,
		Live: c.Face.JPEG != nil, Chip: c.Document.Verdict != "",
	}
	for _, x := range c.Checks {
		k.Checks = append(k.Checks, CheckView{x.Name, string(x.Code), x.Reason})
	}
	for n := range lane.Checks {
		if a := c.Answers[n]; a.Answer != lane.Pending {
			reason := ""
			if a.Age > 0 {
				reason = fmt.Sprintf("local copy, %v old", a.Age.Round(time.Minute))
			}
			k.Answers = append(k.Answers, CheckView{n.String(), a.Answer.String(), reason})
		}
	}
	if c.Face.Attempts > 0 || c.Face.Face != lane.FaceUnknown {
		k.Face = &FaceView{c.Face.Face.String(), c.Face.Shown, c.Face.Score, c.Face.Threshold, c.Face.Attempts, cmp.Or(c.Face.PAD, "not evaluated")}
	}
	if c.Stay.Status != "" {
		stay := c.Stay
		k.Stay, k.Calendar = &stay, stay.Calendar != ""
	}
	return k
}

func name(i kiosk.Identity) string {
	if i.GivenNames == "" {
		return i.Surname
	}
	return i.GivenNames + " " + i.Surname
}
