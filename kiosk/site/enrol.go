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
			if _, err := tx.ExecContext(ctx, "INSERT INTO revoked VALUES (?,?,?) ON CONFLICT DO NOTHING", old, e.Lane, now.Unix()); err != nil {
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
		if err := s.shutOut(old, now); err != nil {
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

// Revoke shuts a lane's computer out at once.
func (s *Site) Revoke(ctx context.Context, lane string) error {
	var user string
	now := time.Now()
	err := atomically(ctx, s.db.Writer, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "DELETE FROM lane WHERE id=? RETURNING user", lane).Scan(&user); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO revoked VALUES (?,?,?) ON CONFLICT DO NOTHING", user, lane, now.Unix())
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("site: no lane %q is enrolled", lane)
	} else if err != nil {
		return fmt.Errorf("site: revoke %s: %w", lane, err)
	}
	return s.shutOut(user, now)
}

// shutOut adds a user to the account's revocations: its connections end now.
func (s *Site) shutOut(user string, at time.Time) error {
	s.accounts.Lock()
	defer s.accounts.Unlock()
	s.account.RevokeAt(user, at)
	if s.nats == nil {
		return s.publishAccount()
	}
	text, err := s.account.Encode(s.keys.operator)
	if err != nil {
		return fmt.Errorf("site: revoke: %w", err)
	}
	if err := s.resolver.Store(s.account.Subject, text); err != nil {
		return fmt.Errorf("site: revoke: %w", err)
	}
	a, err := s.nats.LookupAccount(s.account.Subject)
	if err != nil {
		return fmt.Errorf("site: revoke: %w", err)
	}
	s.nats.UpdateAccountClaims(a, s.account)
	return nil
}

// revoked lists who was shut out.
func (s *Site) revoked(ctx context.Context) (map[string]time.Time, error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT user, at FROM revoked")
	if err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var user string
		var at int64
		if err := rows.Scan(&user, &at); err != nil {
			return nil, fmt.Errorf("site: %w", err)
		}
		out[user] = time.Unix(at, 0)
	}
	return out, rows.Err()
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
