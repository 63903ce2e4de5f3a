package kiosk

import "sync"

// queue hands values to the one goroutine that takes them, in order. Putting
// never blocks: the devices' callbacks must not wait for the lane. Its length
// is bounded by what the devices can report between two turns of the loop.
type queue struct {
	ready chan struct{}
	q     *pending
}

type pending struct {
	mu    sync.Mutex
	list  []any
	taken []any // what take returned last, to be used again
}

func newQueue() queue { return queue{ready: make(chan struct{}, 1), q: &pending{}} }

func (q queue) put(v any) {
	q.q.mu.Lock()
	q.q.list = append(q.q.list, v)
	q.q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns what has come in since the last call, good until the next one.
func (q queue) take() []any {
	q.q.mu.Lock()
	defer q.q.mu.Unlock()
	clear(q.q.taken)
	q.q.list, q.q.taken = q.q.taken[:0], q.q.list
	return q.q.taken
}
