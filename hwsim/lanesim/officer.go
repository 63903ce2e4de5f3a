package lanesim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/people"
)

// thought is how long an officer looks at a case.
const thought = 1200 * time.Millisecond

// fit is the decision that a state allows: nobody is released but from REVIEW.
func fit(decision, state string) string {
	if decision == "" || decision == "release" && state != "REVIEW" {
		return "divert"
	}
	return decision
}

// attend calls decide once for each state of each case in which the lane asks
// an officer, a human moment after it did, and acknowledges alarms. say is
// told what is done.
func (o *Officer) attend(ctx context.Context, view *feed[LaneView], say func(string, ...any), decide func(context.Context, LaneView) error) error {
	last := ""
	heard := map[int]bool{}
	for {
		v, change := view.get()
		key := v.State
		if v.Case != nil {
			key += v.Case.Transaction
		}
		if (v.State == "REVIEW" || v.State == "HOLD" || v.State == "MULTI") && key != last {
			last = key
			if !people.Pause(ctx, thought) {
				return nil
			}
			if err := decide(ctx, v); err != nil && ctx.Err() == nil {
				return err
			}
		}
		for _, a := range v.Alerts {
			if a.By != "" {
				continue
			}
			_, _ = o.Post(ctx, "order", map[string]string{"order": "acknowledge", "id": fmt.Sprint(a.ID)}) // the next view tells
			if !heard[a.ID] {
				heard[a.ID] = true
				say("acknowledges alert %d: %s", a.ID, a.Kind)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-change:
		}
	}
}

// ErrSignedOut says that the lane no longer knows the officer.
var ErrSignedOut = errors.New("lanesim: the officer is signed out")

// Work stays at the lane page until ctx ends: present, acknowledging alarms,
// with one decision and reason for every review. A release that the lane does
// not allow becomes a diversion. say is told everything. It ends with
// ErrSignedOut when the lane was started again.
func (o *Officer) Work(ctx context.Context, decision, reason string, say func(format string, args ...any)) error {
	view := newFeed[LaneView]()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return o.Stay(ctx) })
	group.Go(func() error { return view.follow(ctx, o.client, o.base+"/lane/events") })
	group.Go(func() error {
		was := ""
		for {
			v, change := view.get()
			if v.State != was && v.State != "" {
				was = v.State
				say("sees %s, gate %s", v.State, v.Gate.State)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-change:
			}
		}
	})
	group.Go(func() error {
		return o.attend(ctx, view, say, func(ctx context.Context, v LaneView) error { return o.settle(ctx, v, decision, reason, say) })
	})
	return group.Wait()
}

// settle decides one case and says what the lane answered.
func (o *Officer) settle(ctx context.Context, v LaneView, decision, reason string, say func(string, ...any)) error {
	transaction, why := "", ""
	if v.Case != nil {
		transaction, why = v.Case.Transaction, v.Case.Reason
	}
	decide := func(d string) (int, error) {
		code, err := o.Decide(ctx, transaction, d, reason)
		if err == nil {
			say("%s, reason %q, on %s %s: %s", d, reason, v.State, why, outcome(code))
		}
		return code, err
	}
	d := fit(decision, v.State)
	code, err := decide(d)
	if err == nil && code == http.StatusForbidden && d == "release" {
		_, err = decide("divert")
	}
	return err
}

// outcome is a status of the lane's in words.
func outcome(code int) string {
	switch code {
	case http.StatusOK:
		return "accepted"
	case http.StatusAccepted:
		return "waiting for a second officer"
	case http.StatusBadRequest:
		return "refused: the lane wants another reason"
	case http.StatusForbidden:
		return "refused: the override table does not allow it"
	case http.StatusConflict:
		return "too late: the case is over or has moved on"
	}
	return fmt.Sprintf("status %d", code)
}
