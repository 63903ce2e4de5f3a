package devices

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"passage/eesclient/watchlist"
	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// Lists answers for the watch lists from the lane's copy while the register is
// away: only those lists of which the law permits a copy, and only from a copy
// of at most 24 hours. Every other question goes to the register.
type Lists struct {
	*Register
	copy *watchlist.Store
	may  []string
	from func(ctx context.Context, since int64) (io.ReadCloser, error)
}

// NewLists puts a copy beside r. from fetches the register's copy: a delta to
// the version since if it has one, the whole for 0.
func NewLists(r *Register, local *watchlist.Store, may []string, from func(ctx context.Context, since int64) (io.ReadCloser, error)) *Lists {
	return &Lists{r, local, may, from}
}

// localFinds are a copy's finds in the lane's words.
var localFinds = map[watchlist.Find]lane.Answer{
	watchlist.None: lane.LocalCopy, watchlist.Possible: lane.Possible, watchlist.Inquiry: lane.HitInquiry, watchlist.Action: lane.HitAction,
}

// Consult asks the register, and the copy if that gives no answer or gave none
// at the last look: a traveller does not wait for what is known to be away.
func (l *Lists) Consult(ctx context.Context, c lane.Check, id kiosk.Identity, d policy.Document) kiosk.DBAnswer {
	away := !l.Register.Known(ctx)
	if away {
		if a, ok := l.locally(ctx, c, id, d); ok {
			return a
		}
	}
	a := l.Register.Consult(ctx, c, id, d)
	if a.Answer != lane.NotConsulted || away || ctx.Err() != nil {
		return a
	}
	if local, ok := l.locally(ctx, c, id, d); ok {
		return local
	}
	return a
}

func (l *Lists) locally(ctx context.Context, c lane.Check, id kiosk.Identity, d policy.Document) (kiosk.DBAnswer, bool) {
	if !slices.Contains(l.may, c.String()) {
		return kiosk.DBAnswer{}, false
	}
	find, age, err := l.copy.Find(ctx, c.String(), watchlist.Subject{
		Issuer: d.Issuer, Number: id.Number, Surname: id.Surname, GivenNames: id.GivenNames, Nationality: d.Nationality, Birth: d.Birth,
	}, time.Now())
	if err != nil {
		return kiosk.DBAnswer{}, false
	}
	return kiosk.DBAnswer{Answer: localFinds[find], Age: max(age, 1)}, true // an age of 0 is a register's own
}

// Known says whether every mandatory list has somebody who answers: the
// register, or a copy that may.
func (l *Lists) Known(ctx context.Context) bool {
	if l.Register.Known(ctx) {
		return true
	}
	for _, c := range []lane.Check{lane.CheckSIS, lane.CheckSLTD, lane.CheckFPR, lane.CheckLost} {
		if !slices.Contains(l.may, c.String()) {
			return false
		}
	}
	_, at, err := l.copy.Version(ctx)
	return err == nil && time.Since(at) < watchlist.MostAge
}

// Refresh takes over what has changed, now and every quarter of an hour, and
// erases a copy that has become too old, until ctx ends.
func (l *Lists) Refresh(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		wait := 15*time.Minute + rand.N(5*time.Minute) // a country's lanes do not come all at once
		rows, err := l.fetch(ctx)
		switch {
		case err == nil:
			log.Info("watch lists taken over", "rows", rows)
		case ctx.Err() == nil && !errors.Is(err, watchlist.ErrOld):
			log.Warn("watch lists", "error", err)
			wait = time.Minute + rand.N(time.Minute)
		}
		if err := l.copy.Expire(ctx, time.Now()); err != nil && ctx.Err() == nil {
			log.Warn("watch lists", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// fetch takes a delta over, or the whole if there is none to what is held.
func (l *Lists) fetch(ctx context.Context) (rows int, err error) {
	version, _, err := l.copy.Version(ctx)
	if err != nil && !errors.Is(err, watchlist.ErrNone) {
		return 0, err
	}
	rows, err = l.take(ctx, version)
	if errors.Is(err, watchlist.ErrBase) && version != 0 {
		return l.take(ctx, 0)
	}
	return rows, err
}

func (l *Lists) take(ctx context.Context, since int64) (int, error) {
	in, err := l.from(ctx, since)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return l.copy.Import(ctx, in, time.Now())
}
