package lanesim

import (
	"context"
	"fmt"
	"image"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/hwsim/passport"
)

// Endure follows the traveller's page and has officers on duty until ctx
// ends, whatever ends at the lane meanwhile. It is Follow for a lane whose
// programs are killed.
func (l *Lane) Endure(ctx context.Context, on ...Shift) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.screen.follow(ctx, http.DefaultClient, l.base+"/traveller/events") })
	group.Go(func() error { return l.shine(ctx, l.Eye) })
	for _, d := range on {
		group.Go(func() error { return d.Serve(ctx, l.base) })
	}
	return group.Wait()
}

// Open waits until the lane takes a traveller, and fails when it does not
// within that time.
func (l *Lane) Open(ctx context.Context, within time.Duration) error {
	if s, ok := l.screen.wait(ctx, within, func(s Screen) bool { return s.Screen == "S1" }); !ok && ctx.Err() == nil {
		state, _ := l.Gate.State()
		return fmt.Errorf("lanesim: lane %s has not been open for %v: screen %s, gate %s", l.Name, within, s.Screen, state)
	}
	return ctx.Err()
}

// Visit sends a person through the open lane and returns when they have left it
// on either side. What the lane says of it nobody asks. It fails when the
// person is still inside after minutes.
func (l *Lane) Visit(ctx context.Context, id, script string, card *passport.Card, live, other image.Image) error {
	defer l.nobody()
	through, err := l.traveller(ctx, id, script, card, live, other).Walk(ctx)
	if err == nil && !through {
		s, _ := l.screen.get()
		state, _ := l.Gate.State()
		err = fmt.Errorf("lanesim: %s is still in the lane after minutes: screen %s, gate %s", id, s.Screen, state)
	}
	return err
}
