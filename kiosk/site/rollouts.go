package site

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/officer"
	"passage/kiosk/rollout"
)

// Rollout is a plan under way, or one that has ended.
type Rollout struct {
	Digest  string        `json:"digest"` // of the plan
	Plan    rollout.Plan  `json:"plan"`
	Release Release       `json:"release"`
	State   rollout.State `json:"state"`

	body, activation []byte
	health           rollout.Health
	judged           time.Time
}

// report is what a lane said about its releases, and when.
type report struct {
	list []rollout.Status
	at   time.Time
}

const (
	paceOf      = 2 * time.Second
	judgeEvery  = 30 * time.Second
	judgeFor    = 6 * time.Hour  // how far back lanes with a release are compared with the others
	judgeBefore = 24 * time.Hour // and with themselves
)

// Rollouts reads all rollouts, newest first.
func Rollouts(ctx context.Context, db *sql.DB) ([]*Rollout, error) {
	rows, err := db.QueryContext(ctx, "SELECT plan, release, body, activation, state FROM rollout ORDER BY at DESC, rowid DESC")
	if err != nil {
		return nil, fmt.Errorf("site: rollouts: %w", err)
	}
	defer rows.Close()
	var list []*Rollout
	for rows.Next() {
		r := &Rollout{}
		var state []byte
		if err := rows.Scan(&r.Digest, &r.Release.Digest, &r.body, &r.activation, &state); err != nil {
			return nil, fmt.Errorf("site: rollouts: %w", err)
		}
		if err := errors.Join(json.Unmarshal(r.body, &r.Plan), json.Unmarshal(state, &r.State)); err != nil {
			return nil, fmt.Errorf("site: rollout %.12s: %w", r.Digest, err)
		}
		list = append(list, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil { // the connection may be the only one
		return nil, fmt.Errorf("site: rollouts: %w", err)
	}
	for _, r := range list {
		if r.Release, err = findRelease(ctx, db, r.Release.Digest); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *Site) loadRollouts(ctx context.Context) (err error) {
	s.rollouts, err = Rollouts(ctx, s.db.Reader)
	return err
}

// Rollouts are the rollouts now, newest first.
func (s *Site) Rollouts() []Rollout {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	list := make([]Rollout, len(s.rollouts))
	for i, r := range s.rollouts {
		list[i] = *r // Step makes new slices: what is here is never written to
	}
	return list
}

// Reported is what the lanes said last about their releases, by lane.
func (s *Site) Reported() map[string][]rollout.Status {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	out := make(map[string][]rollout.Status, len(s.said))
	for id, r := range s.said {
		out[id] = r.list
	}
	return out
}

// Errors of what officers say of releases.
var (
	ErrBusy = errors.New("site: another rollout of this kind is under way: it must be stopped, or done, first")
	ErrSelf = errors.New("site: whoever proposed a release cannot activate it: somebody else must look at it")
)

// Propose keeps the word by which an officer proposed a draft.
func (s *Site) Propose(ctx context.Context, said officer.Said, envelope []byte) error {
	n, err := s.db.Writer.ExecContext(ctx, "UPDATE release SET proposal=?, proposer=?, why=? WHERE digest=? AND proposal IS NULL", envelope, said.Officer.ID, said.Text, said.Value)
	if err != nil {
		return fmt.Errorf("site: propose: %w", err)
	}
	if rows, err := n.RowsAffected(); err != nil || rows == 0 {
		return errors.Join(ErrNoRelease, err)
	}
	return nil
}

// Activate begins the plan that an officer has signed.
func (s *Site) Activate(ctx context.Context, said officer.Said, plan, envelope []byte) error {
	p, err := rollout.ParsePlan(plan)
	if err != nil {
		return err
	}
	r := &Rollout{Digest: rollout.Digest(plan), Plan: p, body: plan, activation: envelope, State: rollout.Start(said.Officer.ID, time.Now())}
	if r.Digest != said.Value {
		return fmt.Errorf("%w: the officer activated another plan", rollout.ErrRefused)
	}
	s.rolling.Lock()
	defer s.rolling.Unlock()
	if r.Release, err = findRelease(ctx, s.db.Reader, p.Release); err != nil {
		return err
	}
	switch {
	case r.Release.Proposer == "":
		return fmt.Errorf("%w: nobody has proposed it", rollout.ErrRefused)
	case r.Release.Proposer == said.Officer.ID:
		return ErrSelf
	}
	for _, o := range s.rollouts {
		if o.Release.Kind != r.Release.Kind {
			continue
		}
		if o.State.Phase == rollout.Running || o.State.Phase == rollout.Paused {
			return ErrBusy
		}
		if o.Release.Number > r.Release.Number {
			return fmt.Errorf("%w: release %d was rolled out after it: make a new one", rollout.ErrRefused, o.Release.Number)
		}
	}
	state, err := json.Marshal(r.State)
	if err != nil {
		return fmt.Errorf("site: activate: %w", err)
	}
	if _, err := s.db.Writer.ExecContext(ctx, "INSERT INTO rollout VALUES (?,?,?,?,?,?)", r.Digest, r.Release.Digest, plan, envelope, time.Now().Unix(), state); err != nil {
		return fmt.Errorf("site: activate: %w", err)
	}
	s.rollouts = append([]*Rollout{r}, s.rollouts...)
	return nil
}

// Say carries out an officer's order to a rollout.
func (s *Site) Say(ctx context.Context, said officer.Said) error {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	i := slices.IndexFunc(s.rollouts, func(r *Rollout) bool { return r.Digest == said.Transaction })
	if i < 0 {
		return ErrNoRelease
	}
	r := s.rollouts[i]
	for _, o := range s.rollouts[:i] {
		if rollout.Order(said.Value) == rollout.Resume && o.Release.Kind == r.Release.Kind {
			return fmt.Errorf("%w: another one of this kind came after it", rollout.ErrLater)
		}
	}
	next, err := r.State.Say(rollout.Order(said.Value), said.Officer.ID, said.Text, time.Now())
	if err != nil {
		return err
	}
	return s.write(ctx, r, next)
}

// write makes a state the rollout's, on disk first. The lock is held.
func (s *Site) write(ctx context.Context, r *Rollout, next rollout.State) error {
	old, err := json.Marshal(r.State)
	if err != nil {
		return fmt.Errorf("site: rollout: %w", err)
	}
	b, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("site: rollout: %w", err)
	}
	if bytes.Equal(old, b) {
		return nil
	}
	if _, err := s.db.Writer.ExecContext(ctx, "UPDATE rollout SET state=? WHERE plan=?", b, r.Digest); err != nil {
		return fmt.Errorf("site: rollout: %w", err)
	}
	r.State = next
	return nil
}

// roll goes on with the rollouts until ctx ends.
func (s *Site) roll(ctx context.Context) error {
	pace := s.conf.Pace
	if pace == 0 {
		pace = paceOf
	}
	return every(ctx, pace, func(now time.Time) {
		if err := s.rollOn(ctx, now); err != nil && ctx.Err() == nil {
			s.conf.Log.Error("site: rollout", "error", err)
		}
	})
}

// rollOn has the newest rollout of each kind take its next step: the ones before
// it have ended.
func (s *Site) rollOn(ctx context.Context, now time.Time) error {
	if err := s.compare(ctx, now); err != nil {
		return err // nothing goes on blindly
	}
	s.rolling.Lock()
	defer s.rolling.Unlock()
	var errs []error
	for _, r := range s.newest() {
		was := r.State
		next := r.Plan.Step(r.Digest, was, s.see(r), r.health, now)
		if err := s.write(ctx, r, next); err != nil {
			errs = append(errs, err)
			continue
		}
		if next.Phase != was.Phase {
			s.conf.Log.Warn("rollout", "kind", r.Release.Kind, "number", r.Release.Number, "phase", next.Phase, "why", next.Why)
		}
		for _, l := range next.Lanes[len(was.Lanes):] {
			s.conf.Log.Info("rollout: a lane may take the release", "kind", r.Release.Kind, "number", r.Release.Number, "lane", l.ID, "stage", next.Stage+1)
			if err := s.nudge(l.ID); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// newest is the newest rollout of each kind. The lock is held.
func (s *Site) newest() []*Rollout {
	var list []*Rollout
	for _, kind := range rollout.Kinds {
		if i := slices.IndexFunc(s.rollouts, func(r *Rollout) bool { return r.Release.Kind == kind }); i >= 0 {
			list = append(list, s.rollouts[i])
		}
	}
	return list
}

// compare judges the rollouts under way, where that is due. The lock is not held
// while the store is read: lanes ask meanwhile.
func (s *Site) compare(ctx context.Context, now time.Time) error {
	s.rolling.Lock()
	var due []Rollout
	for _, r := range s.newest() {
		if r.State.Phase == rollout.Running && now.Sub(r.judged) >= judgeEvery {
			due = append(due, *r)
		}
	}
	s.rolling.Unlock()
	for _, r := range due {
		h, err := s.judge(ctx, r, now)
		if err != nil {
			return err
		}
		s.rolling.Lock()
		for _, x := range s.newest() {
			if x.Digest == r.Digest {
				x.health, x.judged = h, now
			}
		}
		s.rolling.Unlock()
	}
	return nil
}

// nudge has a lane ask for its releases now and not within half a minute.
func (s *Site) nudge(lane string) error {
	b, err := json.Marshal(fleet.Ask{What: fleet.AskRelease})
	if err == nil {
		err = s.nc.Publish(fleet.Subject(lane, "ask"), b)
	}
	if err != nil {
		return fmt.Errorf("site: rollout: %w", err)
	}
	return nil
}

// brief is what is read of a lane's view.
type brief struct {
	State     string   `json:"state"`
	Direction string   `json:"direction"`
	Closed    bool     `json:"closed"`
	Officers  []string `json:"officers"`
}

// see is what the plan's lanes look like now. The lock is held.
func (s *Site) see(r *Rollout) map[string]rollout.Seen {
	out := make(map[string]rollout.Seen, len(r.Plan.Lanes))
	lanes := s.hub.some(r.Plan.Lanes)
	for _, id := range r.Plan.Lanes {
		l, known := lanes[id]
		if !known {
			out[id] = rollout.Seen{Away: true}
			continue
		}
		var v brief
		_ = json.Unmarshal(l.View, &v) // a lane that was never heard has none
		x := rollout.Seen{Away: l.Away || l.View == nil, Untold: true}
		switch v.State {
		case "FAULT", "FALLBACK":
			x.Broken = true
		case "OUT_OF_SERVICE": // a lane that nobody watches, or that was closed, is as it should be
			x.Broken = !v.Closed && len(v.Officers) > 0
		}
		for _, st := range s.said[id].list {
			if st.Kind != r.Release.Kind {
				continue
			}
			x.Untold = false
			x.Has = st.Digest == r.Release.Digest
			if st.Refused == r.Release.Digest {
				x.Refused = st.Why
			}
			if st.Taking == r.Release.Digest {
				x.Waits = st.Waits
				if x.Waits == "" {
					x.Waits = fmt.Sprintf("%d of %d bytes", st.Got, r.Release.Size)
				}
			}
		}
		out[id] = x
	}
	return out
}

// gave says whether a lane may have a content now.
func (s *Site) gave(lane, sha string) bool {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	return slices.ContainsFunc(s.rollouts, func(r *Rollout) bool { return r.Release.SHA256 == sha && r.State.Has(lane) })
}

// offersFor is what a lane that has these releases may take now: of each kind the
// newest one that it was given.
func (s *Site) offersFor(lane string, has []rollout.Status) fleet.Offers {
	var out fleet.Offers
	s.rolling.Lock()
	defer s.rolling.Unlock()
	for _, kind := range rollout.Kinds {
		var st rollout.Status
		for _, x := range has {
			if x.Kind == kind {
				st = x
			}
		}
		for _, r := range s.rollouts {
			if r.Release.Kind != kind || !r.State.Has(lane) {
				continue
			}
			if st.Number < r.Release.Number && st.Refused != r.Release.Digest {
				out.Offers = append(out.Offers, rollout.Offer{Release: r.Release.Body, Proposal: r.Release.proposal, Plan: r.body, Activation: r.activation})
			}
			break
		}
	}
	return out
}

// judge compares the crossings of the lanes that have a release with those of the
// plan's others that lead the same way, since the first lane took it, and with
// their own before.
func (s *Site) judge(ctx context.Context, r Rollout, now time.Time) (rollout.Health, error) {
	var h rollout.Health
	from := map[string]int64{} // lane → Unix s from which its crossings are the release's
	given := map[string]int64{}
	first := now.Unix()
	for _, l := range r.State.Lanes {
		given[l.ID] = l.Given
		if l.Taken > 0 {
			from[l.ID] = max(l.Taken, r.State.Forgiven)
			first = min(first, from[l.ID])
		}
	}
	if len(from) == 0 {
		return h, nil
	}
	way, ways := map[string]string{}, map[string]bool{}
	for id, l := range s.hub.some(r.Plan.Lanes) {
		var v brief
		_ = json.Unmarshal(l.View, &v) // a lane that was never heard has none
		way[id] = v.Direction
		if from[id] > 0 {
			ways[v.Direction] = true
		}
	}
	first = max(first, now.Add(-judgeFor).Unix())
	err := s.tally(ctx, first, now.Unix()+1, func(x tallied) {
		since, has := from[x.lane]
		_, gave := given[x.lane]
		switch {
		case has && x.at >= since:
			x.add(&h.With)
		case !gave && ways[way[x.lane]] && way[x.lane] != "":
			x.add(&h.Without)
		}
	})
	if err != nil || h.Without.Crossings >= rollout.Enough {
		return h, err
	}
	least, most := now.Unix(), int64(0)
	for id := range from {
		least, most = min(least, given[id]), max(most, given[id])
	}
	err = s.tally(ctx, least-int64(judgeBefore/time.Second), most, func(x tallied) {
		if _, has := from[x.lane]; has && x.at < given[x.lane] {
			x.add(&h.Before)
		}
	})
	return h, err
}

// tallied is what a crossing counts for.
type tallied struct {
	lane, outcome string
	at            int64 // Unix s
	took          int64 // ms
	alarm         bool
}

func (x tallied) add(t *rollout.Tally) {
	t.Crossings++
	switch x.outcome {
	case "released":
		t.Took = append(t.Took, time.Duration(x.took)*time.Millisecond)
	case "diverted_out", "diverted_in":
		t.Diverted++
	}
	if x.alarm {
		t.Alarms++
	}
}

// tally calls see with the crossings that ended in [from, to), Unix s.
func (s *Site) tally(ctx context.Context, from, to int64, see func(tallied)) error {
	rows, err := s.db.Reader.QueryContext(ctx, `SELECT lane, outcome, at/1000, took, reason = 'PAD' OR instr(timeline, CAST('"officer.PAD"' AS BLOB)) > 0
		FROM crossing WHERE at >= ? AND at < ?`, from*1000, to*1000)
	if err != nil {
		return fmt.Errorf("site: crossings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var x tallied
		if err := rows.Scan(&x.lane, &x.outcome, &x.at, &x.took, &x.alarm); err != nil {
			return fmt.Errorf("site: crossings: %w", err)
		}
		see(x)
	}
	return rows.Err()
}
