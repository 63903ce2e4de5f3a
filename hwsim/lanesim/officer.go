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

// Shift is what an officer does at a lane page: stays present, acknowledges
// alarms, decides every review alike. A release that the lane does not allow
// becomes a diversion.
type Shift struct {
	ID, PIN          string
	Decision, Reason string
	// Tidy makes the officer put the lane back in service after an alarm.
	Tidy bool
	// Say is told everything.
	Say func(format string, args ...any)
}

// Serve signs in at the lane page at base and works until ctx ends; again and
// again, because a lane that was started again has forgotten its officers. It
// ends with ErrSignIn if the lane does not want the officer.
func (d Shift) Serve(ctx context.Context, base string) error {
	was := ""
	for ctx.Err() == nil {
		o, err := SignIn(ctx, base, d.ID, d.PIN)
		if errors.Is(err, ErrSignIn) {
			return err
		}
		if err == nil {
			was = ""
			d.Say("is signed in at %s, decides %s", base, d.Decision)
			err = d.work(ctx, o)
		}
		if ctx.Err() != nil {
			return nil
		}
		if why := err.Error(); why != was {
			was = why
			d.Say("signs in again: %v", err)
		}
		people.Pause(ctx, time.Second)
	}
	return nil
}

// work ends with ErrSignedOut when the lane was started again.
func (d Shift) work(ctx context.Context, o *Officer) error {
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
				d.Say("sees %s, gate %s", v.State, v.Gate.State)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-change:
			}
		}
	})
	group.Go(func() error {
		return o.attend(ctx, view, d.Say, func(ctx context.Context, v LaneView) error { return d.settle(ctx, o, v) })
	})
	if d.Tidy {
		group.Go(func() error { return d.tidy(ctx, o, view) })
	}
	return group.Wait()
}

// tidy gives the orders that bring a lane back, one at a time.
func (d Shift) tidy(ctx context.Context, o *Officer, view *feed[LaneView]) error {
	for people.Pause(ctx, 700*time.Millisecond) {
		v, _ := view.get()
		order, _ := people.Tidy(people.Seen{State: v.State, GateState: v.Gate.State, Alarms: len(v.Gate.Alarms), Bag: v.Gate.Bag})
		if order == "" {
			continue
		}
		code, err := o.Order(ctx, order)
		if err != nil {
			return err
		}
		d.Say("orders %s in %s, gate %s: %s", order, v.State, v.Gate.State, outcome(code))
	}
	return nil
}

// settle decides one case and says what the lane answered.
func (d Shift) settle(ctx context.Context, o *Officer, v LaneView) error {
	transaction, why := "", ""
	if v.Case != nil {
		transaction, why = v.Case.Transaction, v.Case.Reason
	}
	decide := func(decision string) (int, error) {
		code, err := o.Decide(ctx, transaction, decision, d.Reason)
		if err == nil {
			d.Say("%s, reason %q, on %s %s: %s", decision, d.Reason, v.State, why, outcome(code))
		}
		return code, err
	}
	decision := fit(d.Decision, v.State)
	code, err := decide(decision)
	if err == nil && code == http.StatusForbidden && decision == "release" {
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
