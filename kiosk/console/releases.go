package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"passage/kiosk/config"
	"passage/kiosk/officer"
	"passage/kiosk/pages"
	"passage/kiosk/rollout"
	"passage/kiosk/site"
)

// releases tells what there is to roll out, what is being rolled out, and what
// the lanes have.
func (c *server) releases(w http.ResponseWriter, r *http.Request, _ *session) {
	list, err := c.site.Releases(r.Context())
	roster, err2 := c.roster(r.Context())
	if err := errors.Join(err, err2); err != nil {
		c.conf.Log.Error("releases", "error", err)
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	pages.Reply(w, http.StatusOK, map[string]any{
		"site": roster.Site, "releases": list, "rollouts": c.site.Rollouts(), "lanes": c.site.Reported(),
		"limits": rollout.DefaultLimits, "at": time.Now().Unix(),
	})
}

// stopped are the rollouts that stopped by themselves and that nobody has seen.
func (c *server) stopped(w http.ResponseWriter, _ *http.Request, _ *session) {
	type alarm struct {
		Rollout string       `json:"rollout"`
		Kind    rollout.Kind `json:"kind"`
		Number  uint64       `json:"number"`
		Why     string       `json:"why"`
		At      int64        `json:"at"` // Unix ms
	}
	list := []alarm{}
	for _, x := range c.site.Rollouts() {
		if n := len(x.State.Events); x.State.Alarm && x.State.Seen == "" && n > 0 {
			list = append(list, alarm{x.Digest, x.Release.Kind, x.Release.Number, x.State.Why, x.State.Events[n-1].At * 1000})
		}
	}
	pages.Reply(w, http.StatusOK, list)
}

// content is what a configuration's release holds.
func (c *server) content(w http.ResponseWriter, r *http.Request, _ *session) {
	b, err := c.site.Content(r.Context(), r.PathValue("sha"))
	if err != nil || int64(len(b)) > rollout.Configuration.Most() {
		pages.Problem(w, http.StatusNotFound, "there is no such text")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(b) // the client has gone otherwise
}

// draft makes the next configuration of values that a site may set: unsigned, it
// goes nowhere.
func (c *server) draft(w http.ResponseWriter, r *http.Request, x *session) {
	var q struct{ Name, Content string }
	if !pages.Read(w, r, &q) {
		return
	}
	if err := config.CheckCentral([]byte(q.Content)); err != nil {
		pages.Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	roster, err := c.roster(r.Context())
	if err != nil {
		pages.Problem(w, http.StatusServiceUnavailable, "there is no roster of officers")
		return
	}
	d, err := c.site.DraftConfiguration(r.Context(), roster.Site, q.Name, []byte(q.Content))
	if err != nil {
		c.answer(w, err)
		return
	}
	c.conf.Log.Info("release drafted", "kind", d.Kind, "number", d.Number, "officer", x.officer.ID)
	pages.Reply(w, http.StatusOK, d)
}

// steered is a signed word for the site, and the plan that it activates.
type steered struct {
	Envelope officer.Envelope `json:"envelope"`
	Plan     []byte           `json:"plan,omitempty"`
}

// steer carries out an officer's word for the site: proven here as a lane proves
// one, so that a stolen cookie steers nothing, and kept for the audit. Lanes prove
// proposals and activations again.
func (c *server) steer(w http.ResponseWriter, r *http.Request, x *session) {
	var q steered
	if !c.words.Admits(w, x.officer.ID) {
		return
	}
	if !pages.Read(w, r, &q) {
		return
	}
	b, err := json.Marshal(q.Envelope)
	if err != nil {
		pages.Problem(w, http.StatusBadRequest, "the request cannot be read")
		return
	}
	said, err := c.hear(r.Context(), b)
	if err == nil && said.Officer.ID != x.officer.ID {
		pages.Problem(w, http.StatusForbidden, "this word is of another session")
		return
	}
	kept := "unproven" // as a lane would say; such a word names nobody for certain
	if err == nil {
		kept = "accepted"
		if err = c.act(r.Context(), x, said, q.Plan, b); err != nil {
			kept = "not_now"
		}
		row := site.Word{
			At: time.Now().UnixMilli(), Officer: said.Officer.ID, Lane: officer.Site, Kind: string(said.Kind), Value: said.Value, Txn: said.Transaction, Reason: said.Reason, Answer: kept,
		}
		if keep := c.site.Keep(context.WithoutCancel(r.Context()), row, b); keep != nil {
			c.conf.Log.Error("a word was not kept", "error", keep)
		}
	}
	c.conf.Log.Info("a word for the site", "officer", x.officer.ID, "word", said.Kind, "value", said.Value, "answer", kept, "error", err)
	if err != nil {
		c.answer(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// hear proves a word that is for the site.
func (c *server) hear(ctx context.Context, envelope []byte) (officer.Said, error) {
	roster, err := c.roster(ctx)
	if err != nil {
		return officer.Said{}, err
	}
	if old := c.ear.Roster(); old == nil || old.Version != roster.Version {
		if err := c.ear.Take(roster); err != nil {
			return officer.Said{}, err
		}
	}
	return c.ear.Hear(envelope, time.Now())
}

var (
	errRight = errors.New("this is not a right of your role")
	errFresh = errors.New("this needs your passkey once more")
)

// act does what a proven word says. What puts something onto a lane, or goes on
// with it, needs the passkey; what holds it back must be quick.
func (c *server) act(ctx context.Context, x *session, said officer.Said, plan, envelope []byte) error {
	// The roster's right, if the directory leaves it.
	may := func(right officer.Right) bool { return said.Officer.Role.May(right) && x.may(right) }
	switch said.Kind {
	case officer.Propose:
		if !may(officer.Prepare) {
			return errRight
		}
		if !said.Again {
			return errFresh
		}
		return c.site.Propose(ctx, said, envelope)
	case officer.Activate:
		if !may(officer.Configure) {
			return errRight
		}
		if !said.Again {
			return errFresh
		}
		if err := c.enrolled(ctx, plan); err != nil {
			return err
		}
		return c.site.Activate(ctx, said, plan, envelope)
	case officer.Rollout:
		resume := rollout.Order(said.Value) == rollout.Resume
		if resume && !may(officer.Configure) || !may(officer.Prepare) {
			return errRight
		}
		if resume && !said.Again {
			return errFresh
		}
		return c.site.Say(ctx, said)
	case officer.ShutOut:
		if !may(officer.Enrol) {
			return errRight
		}
		if !said.Again {
			return errFresh
		}
		return c.site.Revoke(ctx, said.Value)
	}
	return errRight
}

// enrolled says whether all lanes of a plan are the site's: one that is not would
// never take the release, and hold up the others.
func (c *server) enrolled(ctx context.Context, plan []byte) error {
	p, err := rollout.ParsePlan(plan)
	if err != nil {
		return err
	}
	known, err := c.site.Lanes(ctx)
	if err != nil {
		return err
	}
	for _, id := range p.Lanes {
		if _, ok := slices.BinarySearch(known, id); !ok {
			return fmt.Errorf("%w: no lane %s is enrolled here", rollout.ErrRefused, id)
		}
	}
	return nil
}

// answer turns an error into a problem that a page can show.
func (c *server) answer(w http.ResponseWriter, err error) {
	status := http.StatusConflict
	switch {
	case errors.Is(err, errRight), errors.Is(err, errFresh), errors.Is(err, site.ErrSelf), errors.Is(err, officer.ErrWord):
		status = http.StatusForbidden
	case errors.Is(err, site.ErrNoRelease), errors.Is(err, site.ErrNoLane):
		status = http.StatusNotFound
	case errors.Is(err, rollout.ErrRefused):
		status = http.StatusBadRequest
	case errors.Is(err, rollout.ErrLater), errors.Is(err, site.ErrBusy), errors.Is(err, site.ErrStillIn):
	default:
		c.conf.Log.Error("a word for the site", "error", err)
		pages.Problem(w, http.StatusInternalServerError, "the store does not answer")
		return
	}
	pages.Problem(w, status, err.Error())
}
