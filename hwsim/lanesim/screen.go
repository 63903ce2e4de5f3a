package lanesim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"time"
)

// Screen is what the traveller's page shows, as a person sees it.
type Screen struct {
	Screen string `json:"screen"`
	Light  string `json:"light"`
	Left   bool   `json:"document_left"`
}

// LaneView is as much of the lane page as officers and the demonstration look
// at.
type LaneView struct {
	State string `json:"state"`
	Gate  struct {
		State    string   `json:"state"`
		Occupied bool     `json:"occupied"`
		Bag      bool     `json:"bag"`
		Alarms   []string `json:"alarms"`
		Faults   []string `json:"faults"`
	} `json:"gate"`
	Case *struct {
		Transaction string `json:"transaction"`
		Reason      string `json:"reason"`
		Release     int    `json:"release"`
		Checks      []struct {
			Name string `json:"name"`
			Code string `json:"code"`
		} `json:"checks"`
	} `json:"case"`
	Alerts []struct {
		ID   int    `json:"id"`
		Kind string `json:"kind"`
		By   string `json:"by"`
	} `json:"alerts"`
	Recent []struct {
		UUID    string  `json:"uuid"`
		Outcome string  `json:"outcome"`
		Reason  string  `json:"reason"`
		Seconds float64 `json:"seconds"`
		Spans   []Span  `json:"spans"`
	} `json:"recent"`
	Unfit []string `json:"unfit"`
}

// Span is a step of a crossing in ms since the document was placed.
type Span struct {
	Name  string `json:"name"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
}

// feed keeps the newest value of an event stream.
type feed[T any] struct {
	mu     sync.Mutex
	value  T
	change chan struct{}
	lost   *T // what is shown while nobody sends; nil for the last value
}

func newFeed[T any]() *feed[T] { return &feed[T]{change: make(chan struct{})} }

// newScreen is the traveller's page, which shows that the lane is closed when
// it hears nothing.
func newScreen() *feed[Screen] {
	f := newFeed[Screen]()
	f.lost = &Screen{Screen: "S12"}
	return f
}

func (f *feed[T]) set(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.value = v
	close(f.change)
	f.change = make(chan struct{})
}

func (f *feed[T]) get() (T, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.change
}

// wait blocks until ok likes the value, or for a while; it reports whether it
// did.
func (f *feed[T]) wait(ctx context.Context, within time.Duration, ok func(T) bool) (T, bool) {
	end := time.After(within)
	for {
		v, change := f.get()
		if ok(v) {
			return v, true
		}
		select {
		case <-change:
		case <-end:
			return v, false
		case <-ctx.Done():
			return v, false
		}
	}
}

// follow reads an event stream until ctx ends, and again when it breaks. It
// ends with ErrSignedOut where nobody may read it without signing in.
func (f *feed[T]) follow(ctx context.Context, client *http.Client, url string) error {
	for ctx.Err() == nil {
		err := f.once(ctx, client, url)
		if errors.Is(err, ErrSignedOut) {
			return err
		}
		if f.lost != nil {
			f.set(*f.lost)
		}
		if err != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}
	return nil
}

func (f *feed[T]) once(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return ErrSignedOut
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var v T
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			return err
		}
		f.set(v)
	}
	return lines.Err()
}

// Officer is somebody signed in on the lane page.
type Officer struct {
	base   string
	client *http.Client
}

// ErrSignIn says that the lane does not let an officer in.
var ErrSignIn = errors.New("officer and PIN do not fit")

// ErrSignedOut says that the lane no longer knows the officer.
var ErrSignedOut = errors.New("lanesim: the officer is signed out")

// SignIn signs an officer in.
func SignIn(ctx context.Context, base, id, pin string) (*Officer, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	o := &Officer{base, &http.Client{Jar: jar}}
	code, err := o.Post(ctx, "sign-in", map[string]string{"officer": id, "pin": pin})
	if err != nil {
		return nil, fmt.Errorf("lanesim: officer %s: %w", id, err)
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("lanesim: officer %s: status %d: %w", id, code, ErrSignIn)
	}
	return o, nil
}

// Post sends one request and returns its status.
func (o *Officer) Post(ctx context.Context, path string, body any) (int, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.base+"/lane/api/"+path, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// Order gives an order to the lane.
func (o *Officer) Order(ctx context.Context, order string) (int, error) {
	return o.Post(ctx, "order", map[string]string{"order": order})
}

// Decide decides on a case.
func (o *Officer) Decide(ctx context.Context, transaction, decision, reason string) (int, error) {
	return o.Post(ctx, "decide", map[string]string{"transaction": transaction, "decision": decision, "reason": reason, "text": "by script"})
}

// Stay renews the officer's presence until ctx ends, with a hand on the mouse:
// an empty chair is signed out.
func (o *Officer) Stay(ctx context.Context) error {
	tick := time.NewTicker(8 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			code, err := o.Post(ctx, "here", struct{}{})
			if err == nil && code < 300 {
				code, err = o.Post(ctx, "presence", struct{}{})
			}
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				return err
			case code == http.StatusUnauthorized:
				return ErrSignedOut
			}
		}
	}
}
