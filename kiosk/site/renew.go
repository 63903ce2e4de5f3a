package site

import (
	"crypto/tls"
	"sync"
	"time"
)

// renewing is a certificate that is made anew every half of its life.
type renewing struct {
	make func() (*tls.Certificate, error)

	mu    sync.Mutex
	since time.Time
	now   *tls.Certificate
}

func (r *renewing) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil && time.Since(r.since) < laneDays*12*time.Hour {
		return r.now, nil
	}
	c, err := r.make()
	if err != nil {
		return r.now, err
	}
	r.now, r.since = c, time.Now()
	return c, nil
}
