package site

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"passage/kiosk/fleet"
)

// ErrCode says that an enrolment code is wrong, used or too old.
var ErrCode = errors.New("site: this enrolment code is wrong, used or too old: ask for a new one")

const codeFor = 15 * time.Minute

// Code makes a one-time code for the computer of a lane, new or replaced. It
// also holds the fingerprint of the site's authority, so that the lane knows
// whom it speaks to: nobody compares certificates by eye.
func (s *Site) Code(ctx context.Context, lane, by string) (string, error) {
	return makeCode(ctx, s.db.Writer, s.keys.ca.Raw, lane, by)
}

// Code is Site.Code from the console's own machine, on the folder of the site.
func Code(ctx context.Context, dir, lane, by string) (string, error) {
	k, err := loadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return "", err
	}
	db, closing, err := OpenDatabase(ctx, dir)
	if err != nil {
		return "", err
	}
	code, err := makeCode(ctx, db, k.ca.Raw, lane, by)
	return code, errors.Join(err, closing())
}

func makeCode(ctx context.Context, db *sql.DB, authority []byte, lane, by string) (string, error) {
	if err := fleet.Valid(lane); err != nil {
		return "", err
	}
	b := make([]byte, 10)
	rand.Read(b)
	secret := fleet.Letters.EncodeToString(b)
	digest := sha256.Sum256([]byte(secret))
	_, err := db.ExecContext(ctx, "INSERT INTO code VALUES (?,?,?,?)", digest[:], lane, time.Now().Add(codeFor).Unix(), by)
	if err != nil {
		return "", fmt.Errorf("site: code: %w", err)
	}
	return secret + "-" + fleet.Fingerprint(authority), nil
}

// Authority is the site's certificate authority, DER. A lane compares its hash
// with the code's before it believes anything.
func (s *Site) Authority() []byte { return s.keys.ca.Raw }

// Enrol exchanges a code for credentials. The computer that had the lane before
// is shut out in the same step.
func (s *Site) Enrol(ctx context.Context, r fleet.Request) (fleet.Enrolment, error) {
	var e fleet.Enrolment
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return e, fmt.Errorf("site: enrol: certificate request: %w", err)
	}
	if !nkeys.IsValidPublicUserKey(r.User) {
		return e, errors.New("site: enrol: that is no NATS user key")
	}
	digest := sha256.Sum256([]byte(strings.ToUpper(strings.TrimSpace(r.Secret))))
	var old string
	now := time.Now()
	err = atomically(ctx, s.db.Writer, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "DELETE FROM code WHERE digest=? AND until >= ? RETURNING lane", digest[:], now.Unix()).Scan(&e.Lane)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrCode
		} else if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, "SELECT user FROM lane WHERE id=?", e.Lane).Scan(&old)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if old != "" {
			if err := (Revoked{e.Lane, old, now}).keep(ctx, tx); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO lane VALUES (?,?,?) ON CONFLICT DO UPDATE SET user=excluded.user, enrolled=excluded.enrolled", e.Lane, r.User, now.Unix())
		return err
	})
	if err != nil {
		return fleet.Enrolment{}, err
	}
	if old != "" {
		if err := s.shutOut(ctx); err != nil {
			return fleet.Enrolment{}, err
		}
	}
	der, err := s.keys.certify(e.Lane, csr.PublicKey, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return fleet.Enrolment{}, err
	}
	if e.JWT, err = s.keys.user(e.Lane, r.User); err != nil {
		return fleet.Enrolment{}, fmt.Errorf("site: enrol: %w", err)
	}
	e.Fleet, e.CA, e.Cert = s.Address(), certPEM(s.keys.ca.Raw), certPEM(der)
	s.hub.expect(e.Lane)
	return e, nil
}

// Revoked is a lane's computer that was shut out.
type Revoked struct {
	Lane string    `json:"lane"`
	User string    `json:"user"` // its public NATS key
	At   time.Time `json:"at"`
}

// keep puts it among those who were shut out.
func (r Revoked) keep(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO revoked VALUES (?,?,?) ON CONFLICT DO NOTHING", r.User, r.Lane, r.At.Unix())
	return err
}

// ErrNoLane says that no computer is enrolled for a lane.
var ErrNoLane = errors.New("site: no such lane is enrolled")

// ErrStillIn says that the servers have not heard of a revocation yet.
var ErrStillIn = errors.New("site: revoked, but it may still be connected: this is tried again until it is not")

// Revoke shuts a lane's computer out for good, in the site's database alone: a
// console at work looks there every few seconds, and one that is not lets the
// computer in no more when it starts. Another computer may take the lane's
// place, with a code of its own.
func Revoke(ctx context.Context, db *sql.DB, lane string) (Revoked, error) {
	out := Revoked{Lane: lane, At: time.Now().UTC().Truncate(time.Second)}
	err := atomically(ctx, db, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "DELETE FROM lane WHERE id=? RETURNING user", lane).Scan(&out.User); err != nil {
			return err
		}
		return out.keep(ctx, tx)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Revoked{}, fmt.Errorf("%w: %q", ErrNoLane, lane)
	case err != nil:
		return Revoked{}, fmt.Errorf("site: revoke %s: %w", lane, err)
	}
	return out, nil
}

// Revoke shuts a lane's computer out at once. It fails with ErrStillIn while the
// site's servers do not answer.
func (s *Site) Revoke(ctx context.Context, lane string) error {
	if _, err := Revoke(ctx, s.db.Writer, lane); err != nil {
		return err
	}
	if err := s.shutOut(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrStillIn, err)
	}
	return nil
}

// shutOut adds to the account's revocations whom the store has as revoked since
// it was last done: their connections end now.
func (s *Site) shutOut(ctx context.Context) error {
	s.accounts.Lock()
	defer s.accounts.Unlock()
	list, last, err := s.revoked(ctx, s.out)
	if err != nil || len(list) == 0 {
		return err
	}
	for _, r := range list {
		s.account.RevokeAt(r.User, r.At)
	}
	if err := s.enforce(); err != nil {
		return err
	}
	for _, r := range list {
		s.conf.Log.Info("a lane's computer is shut out", "lane", r.Lane, "user", r.User, "revoked", r.At)
	}
	s.out = last
	return nil
}

// enforce has the servers take the account as it is now.
func (s *Site) enforce() error {
	if s.nats == nil {
		return s.publishAccount()
	}
	text, err := s.account.Encode(s.keys.operator)
	if err != nil {
		return fmt.Errorf("site: account: %w", err)
	}
	if err := s.resolver.Store(s.account.Subject, text); err != nil {
		return fmt.Errorf("site: account: %w", err)
	}
	a, err := s.nats.LookupAccount(s.account.Subject)
	if err != nil {
		return fmt.Errorf("site: account: %w", err)
	}
	s.nats.UpdateAccountClaims(a, s.account)
	return nil
}

// keepOut looks for whom somebody else has revoked, until ctx ends: consoled
// revoke on this machine, or a page while the cluster did not answer.
func (s *Site) keepOut(ctx context.Context) error {
	failed := false
	return every(ctx, outEvery, func(time.Time) {
		err := s.shutOut(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			s.conf.Log.Error("site: a revoked computer may still be connected: this is tried again", "error", err)
		}
		failed = err != nil
	})
}

const outEvery = 2 * time.Second

// revoked lists who was shut out after the row of that number, and the last
// one's.
func (s *Site) revoked(ctx context.Context, after int64) (list []Revoked, last int64, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT rowid, lane, user, at FROM revoked WHERE rowid > ? ORDER BY rowid", after)
	if err != nil {
		return nil, after, fmt.Errorf("site: revoked: %w", err)
	}
	defer rows.Close()
	for last = after; rows.Next(); {
		var r Revoked
		var at int64
		if err := rows.Scan(&last, &r.Lane, &r.User, &at); err != nil {
			return nil, after, fmt.Errorf("site: revoked: %w", err)
		}
		r.At = time.Unix(at, 0).UTC()
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, after, fmt.Errorf("site: revoked: %w", err)
	}
	return list, last, nil
}

// Lanes lists the enrolled lanes' ids.
func (s *Site) Lanes(ctx context.Context) ([]string, error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT id FROM lane ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("site: %w", err)
		}
		list = append(list, id)
	}
	return list, rows.Err()
}

// user is a fresh NATS key pair.
type user struct {
	pair   nkeys.KeyPair
	public string
}

func createUser() (user, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return user{}, fmt.Errorf("site: user: %w", err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		return user{}, fmt.Errorf("site: user: %w", err)
	}
	return user{kp, public}, nil
}
