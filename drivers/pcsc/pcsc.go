// Package pcsc reaches card readers through the PC/SC service.
//
// One context watches, another one talks: a blocked GetStatusChange holds its
// context. A service that was restarted needs new contexts; hot-plug events are
// missed, so that the readers are listed again every second.
package pcsc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ebfe/scard"

	"passage/drivers/apdu"
)

const (
	relist  = time.Second
	again   = time.Second // after the service has gone
	atLeast = 2           // bytes of a response; fewer mean that the card is gone
)

// Reader is the first reader whose name contains Name.
type Reader struct {
	Name string

	mu   sync.Mutex
	ctx  *scard.Context
	full string // its whole name, once seen
}

// Watch reports a card's coming and going until ctx ends. It waits for a
// service or a reader that is not there yet, and for one that comes back.
func (r *Reader) Watch(ctx context.Context, present func(bool)) error {
	was := false
	tell := func(now bool) {
		if now != was {
			was = now
			present(now)
		}
	}
	for ctx.Err() == nil {
		if err := r.watch(ctx, tell); err != nil && ctx.Err() == nil {
			tell(false)
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx != nil {
		_ = r.ctx.Release()
		r.ctx = nil
	}
	return nil
}

// watch works with one context until the service fails.
func (r *Reader) watch(ctx context.Context, tell func(bool)) error {
	c, err := scard.EstablishContext()
	if err != nil {
		return fmt.Errorf("pcsc: %w", err)
	}
	defer c.Release()
	stop := context.AfterFunc(ctx, func() { _ = c.Cancel() })
	defer stop()
	for ctx.Err() == nil {
		name, err := r.find(c)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.full = name
		r.mu.Unlock()
		if name == "" {
			tell(false)
			select {
			case <-ctx.Done():
			case <-time.After(relist):
			}
			continue
		}
		if err := r.follow(ctx, c, name, tell); err != nil {
			return err
		}
	}
	return nil
}

// List returns the names of the readers that the service knows now.
func List() ([]string, error) {
	c, err := scard.EstablishContext()
	if err != nil {
		return nil, fmt.Errorf("pcsc: %w", err)
	}
	defer c.Release()
	return list(c)
}

func list(c *scard.Context) ([]string, error) {
	names, err := c.ListReaders()
	if errors.Is(err, scard.ErrNoReadersAvailable) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pcsc: list readers: %w", err)
	}
	return names, nil
}

func (r *Reader) find(c *scard.Context) (string, error) {
	list, err := list(c)
	if err != nil {
		return "", err
	}
	for _, n := range list {
		if strings.Contains(n, r.Name) {
			return n, nil
		}
	}
	return "", nil
}

// follow reports one reader's changes; it returns nil every second so that
// the readers are listed again.
func (r *Reader) follow(ctx context.Context, c *scard.Context, name string, tell func(bool)) error {
	state := []scard.ReaderState{{Reader: name, CurrentState: scard.StateUnaware}}
	for end := time.Now().Add(10 * relist); ctx.Err() == nil && time.Now().Before(end); {
		err := c.GetStatusChange(state, relist)
		switch {
		case errors.Is(err, scard.ErrTimeout):
			return nil
		case errors.Is(err, scard.ErrCancelled):
			return nil
		case err != nil:
			return fmt.Errorf("pcsc: watch %s: %w", name, err)
		}
		event := state[0].EventState
		if event&(scard.StateUnknown|scard.StateUnavailable) != 0 {
			tell(false)
			return nil
		}
		tell(event&scard.StatePresent != 0 && event&scard.StateMute == 0)
		state[0].CurrentState = event &^ scard.StateChanged
	}
	return nil
}

// Connect opens the card that is there, for this program alone.
func (r *Reader) Connect(ctx context.Context) (apdu.Card, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full == "" {
		return nil, fmt.Errorf("pcsc: connect: no reader whose name contains %q", r.Name)
	}
	h, err := r.connect()
	if err != nil {
		return nil, fmt.Errorf("pcsc: connect: %w", gone(err))
	}
	s, err := h.Status()
	if err != nil {
		return nil, fmt.Errorf("pcsc: connect: %w", errors.Join(gone(err), h.Disconnect(scard.ResetCard)))
	}
	return &card{h: h, atr: s.Atr}, nil
}

// connect asks the service, and asks it once more with a new context: one of a
// service that has been started again since looks valid, and serves nothing.
// The lock is held.
func (r *Reader) connect() (*scard.Card, error) {
	if r.ctx != nil {
		h, err := r.ctx.Connect(r.full, scard.ShareExclusive, scard.ProtocolAny)
		if err == nil || errors.Is(gone(err), apdu.ErrRemoved) {
			return h, err
		}
		_ = r.ctx.Release() // its service may be gone
		r.ctx = nil
	}
	c, err := scard.EstablishContext()
	if err != nil {
		return nil, err
	}
	r.ctx = c
	return c.Connect(r.full, scard.ShareExclusive, scard.ProtocolAny)
}

// gone turns the service's words for an absent card into ours.
func gone(err error) error {
	for _, e := range []error{scard.ErrRemovedCard, scard.ErrNoSmartcard, scard.ErrResetCard, scard.ErrUnpoweredCard, scard.ErrUnresponsiveCard, scard.ErrReaderUnavailable} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", apdu.ErrRemoved, err)
		}
	}
	return err
}

type card struct {
	mu  sync.Mutex
	h   *scard.Card
	atr []byte
}

func (c *card) ATR() []byte { return c.atr }

// Close resets the card, so that the next reading begins anew.
func (c *card) Close() error { return c.h.Disconnect(scard.ResetCard) }

// Transmit sends one command. The service cannot be interrupted: a reading
// that is cancelled owns the card until the reader answers.
func (c *card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(command) < 4 {
		return nil, errors.New("pcsc: transmit: a command has at least 4 bytes")
	}
	b, err := c.h.Transmit(command)
	if err != nil {
		return nil, fmt.Errorf("pcsc: transmit: %w", gone(err))
	}
	if len(b) < atLeast {
		return nil, fmt.Errorf("pcsc: transmit: %w", apdu.ErrRemoved)
	}
	return b, nil
}
