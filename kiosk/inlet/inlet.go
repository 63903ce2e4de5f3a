// Package inlet is how a program stays itself when more comes in than it can
// take: what is too much is turned away at the door, counted, and told in the
// log now and then, so that the log does not become the flood.
package inlet

import (
	"container/list"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sayEvery is how often one line about an inlet and a reason is logged.
const sayEvery = 10 * time.Second

// Line is what was turned away where, and why. Both are constants of the
// program, never words from outside.
type Line struct{ Inlet, Why string }

// Book counts what a program turns away. A nil Book counts nothing.
type Book struct {
	Log *slog.Logger // nil: it only counts

	mu    sync.Mutex
	lines map[Line]*tally
}

type tally struct {
	n, told uint64
	at      time.Time // when it was told last
}

// Shed counts one thing that an inlet turned away.
func (b *Book) Shed(inlet, why string) {
	if b == nil {
		return
	}
	now := time.Now()
	b.mu.Lock()
	if b.lines == nil {
		b.lines = map[Line]*tally{}
	}
	t := b.lines[Line{inlet, why}]
	if t == nil {
		t = &tally{}
		b.lines[Line{inlet, why}] = t
	}
	t.n++
	n := uint64(0)
	if t.told == 0 || now.Sub(t.at) >= sayEvery {
		n, t.told, t.at = t.n-t.told, t.n, now
	}
	b.mu.Unlock()
	if n > 0 && b.Log != nil {
		b.Log.Warn("turned away", "inlet", inlet, "why", why, "count", n)
	}
}

// Counts is what was turned away since the start.
func (b *Book) Counts() map[Line]uint64 {
	out := map[Line]uint64{}
	if b == nil {
		return out
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for l, t := range b.lines {
		out[l] = t.n
	}
	return out
}

// Paces says who comes too fast: each name has a bucket of Burst tokens that
// fills at Rate a second. It remembers at most Most names: whoever has been
// quiet the longest is forgotten, once the bucket is full again, which changes
// nothing for them; until then a new name beyond it waits.
type Paces struct {
	Rate  rate.Limit
	Burst int
	Most  int

	mu    sync.Mutex
	by    map[string]*list.Element
	order list.List // of *bucket: whose last token was taken longest ago comes first
}

type bucket struct {
	name string
	*rate.Limiter
}

// Allow takes a token of a name, if there is one. What it costs does not grow with
// the names that are remembered.
func (p *Paces) Allow(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.by[name]
	if e == nil {
		if e = p.add(name); e == nil {
			return false
		}
	}
	if !e.Value.(*bucket).Allow() {
		return false
	}
	p.order.MoveToBack(e)
	return true
}

// Owe takes n tokens of a name, at most Burst, whether they are there or not. It
// returns how long it takes until none is owed any more, 0 for at once.
func (p *Paces) Owe(name string, n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.by[name]
	if e == nil {
		if e = p.add(name); e == nil {
			return time.Duration(float64(n) / float64(p.Rate) * float64(time.Second))
		}
	}
	p.order.MoveToBack(e)
	return e.Value.(*bucket).ReserveN(time.Now(), min(n, p.Burst)).Delay()
}

// add remembers a name, unless there are too many. Two make room where they can,
// so that a flood's names are gone some time after it.
func (p *Paces) add(name string) *list.Element {
	for range 2 {
		e := p.order.Front()
		if e == nil || e.Value.(*bucket).Tokens() < float64(p.Burst) {
			break
		}
		delete(p.by, p.order.Remove(e).(*bucket).name)
	}
	if len(p.by) >= p.Most {
		return nil
	}
	if p.by == nil {
		p.by = map[string]*list.Element{}
	}
	e := p.order.PushBack(&bucket{name, rate.NewLimiter(p.Rate, p.Burst)})
	p.by[name] = e
	return e
}
