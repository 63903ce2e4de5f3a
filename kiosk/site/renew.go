package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"passage/kiosk/fleet"
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

// renewalsAtOnce is how many certificates a lane gets without waiting; then it is
// one an hour. It needs six a year.
const renewalsAtOnce = 5

// renew signs for a lane's new key, by the authority that enrolled it. The lane's
// user, which the store has, must have asked: one who was shut out gets nothing,
// nor does who had the lane before. The store remembers no certificate, neither
// the old one nor this one: both are worth nothing without that user.
func (s *Site) renew(ctx context.Context, lane string, body []byte) (fleet.Renewed, error) {
	var user string
	err := s.db.Reader.QueryRowContext(ctx, "SELECT user FROM lane WHERE id=?", lane).Scan(&user)
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Renewed{}, fmt.Errorf("%w: %q", ErrNoLane, lane)
	}
	if err != nil {
		return fleet.Renewed{}, fmt.Errorf("site: renew: %w", err)
	}
	if !s.renewals.Allow(lane) {
		s.conf.Book.Shed(fleetInlet, "a lane's renewals too fast")
		return fleet.Renewed{}, fmt.Errorf("site: renew: lane %s has had too many certificates", lane)
	}
	key, err := fleet.ProveRenewal(lane, user, body)
	if err != nil {
		return fleet.Renewed{}, err
	}
	der, err := s.keys.certify(lane, key, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return fleet.Renewed{}, err
	}
	s.conf.Log.Info("a lane's certificate is renewed", "lane", lane, "user", user)
	return fleet.Renewed{Cert: der}, nil
}
