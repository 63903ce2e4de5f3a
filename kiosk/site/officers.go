package site

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"passage/kiosk/fleet"
	"passage/kiosk/officer"
)

// Invited is who an invitation is for.
type Invited struct {
	Officer string       `json:"officer"`
	Name    string       `json:"name"`
	Role    officer.Role `json:"role"`
}

const invitedFor = 72 * time.Hour

// Invite makes a one-time code by which an officer registers a passkey.
func (s *Site) Invite(ctx context.Context, who Invited, by string) (string, error) {
	return Invite(ctx, s.db.Writer, who, by)
}

// Invite is Site.Invite on the site's database alone: for the first officer,
// from the console's own machine.
func Invite(ctx context.Context, db *sql.DB, who Invited, by string) (string, error) {
	draft := officer.Roster{RPID: "-", Origins: []string{"-"}, Officers: []officer.Officer{{ID: who.Officer, Name: who.Name, Role: who.Role}}}
	if err := draft.Validate(); err != nil {
		return "", err
	}
	b := make([]byte, 15)
	rand.Read(b)
	code := fleet.Letters.EncodeToString(b)
	digest := sha256.Sum256([]byte(code))
	if _, err := db.ExecContext(ctx, "INSERT INTO invitation VALUES (?,?,?,?,?,?)", digest[:], who.Officer, who.Name, who.Role, time.Now().Add(invitedFor).Unix(), by); err != nil {
		return "", fmt.Errorf("site: invite: %w", err)
	}
	return code, nil
}

func digestOf(code string) []byte {
	d := sha256.Sum256([]byte(strings.ToUpper(strings.TrimSpace(code))))
	return d[:]
}

// Invited is who a code is for; ErrCode if for nobody.
func (s *Site) Invited(ctx context.Context, code string) (Invited, error) {
	var who Invited
	err := s.db.Reader.QueryRowContext(ctx, "SELECT officer, name, role FROM invitation WHERE digest=? AND until >= ?", digestOf(code), time.Now().Unix()).Scan(&who.Officer, &who.Name, &who.Role)
	if errors.Is(err, sql.ErrNoRows) {
		return who, ErrCode
	} else if err != nil {
		return who, fmt.Errorf("site: invitation: %w", err)
	}
	return who, nil
}

// ErrTaken says that a person of the directory is another officer already.
var ErrTaken = errors.New("site: this person of the directory is another officer here")

// Apply uses a code up and keeps the passkey for the next roster, with the
// person of the directory who made it; nil where there is no directory.
func (s *Site) Apply(ctx context.Context, code string, p officer.Passkey, person *officer.Identity) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("site: apply: %w", err)
	}
	identity := ""
	if person != nil {
		identity = text(*person)
	}
	return atomically(ctx, s.db.Writer, func(tx *sql.Tx) error {
		var who Invited
		err := tx.QueryRowContext(ctx, "DELETE FROM invitation WHERE digest=? AND until >= ? RETURNING officer, name, role", digestOf(code), time.Now().Unix()).Scan(&who.Officer, &who.Name, &who.Role)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrCode
		} else if err != nil {
			return err
		}
		var others int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM applicant WHERE identity = ? AND identity <> '' AND officer <> ?", identity, who.Officer).Scan(&others); err != nil {
			return err
		}
		if others > 0 {
			return ErrTaken
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO applicant (officer, name, role, passkey, at, identity) VALUES (?,?,?,?,?,?)", who.Officer, who.Name, who.Role, b, time.Now().Unix(), identity)
		return err
	})
}

// text is how an identity is kept.
func text(who officer.Identity) string {
	b, _ := json.Marshal(who) // two strings
	return string(b)
}

// Confirm keeps what the directory said of an officer now.
func (s *Site) Confirm(ctx context.Context, id string, who officer.Identity, roles []officer.Role, at time.Time) error {
	b, err := json.Marshal(roles)
	if err == nil {
		_, err = s.db.Writer.ExecContext(ctx, "INSERT INTO confirmed VALUES (?,?,?,?) ON CONFLICT (officer) DO UPDATE SET person=excluded.person, roles=excluded.roles, at=excluded.at", id, text(who), string(b), at.Unix())
	}
	if err != nil {
		return fmt.Errorf("site: directory: %w", err)
	}
	return nil
}

// Unconfirm forgets it: the directory has said no.
func (s *Site) Unconfirm(ctx context.Context, id string) error {
	if _, err := s.db.Writer.ExecContext(ctx, "DELETE FROM confirmed WHERE officer = ?", id); err != nil {
		return fmt.Errorf("site: directory: %w", err)
	}
	return nil
}

// Confirmed is what the directory said last of an officer who is this person,
// and when; nothing at the zero time if it said nothing.
func (s *Site) Confirmed(ctx context.Context, id string, who officer.Identity) ([]officer.Role, time.Time, error) {
	var b []byte
	var at int64
	err := s.db.Reader.QueryRowContext(ctx, "SELECT roles, at FROM confirmed WHERE officer = ? AND person = ?", id, text(who)).Scan(&b, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, time.Time{}, nil
	}
	var roles []officer.Role
	if err == nil {
		err = json.Unmarshal(b, &roles)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("site: directory: %w", err)
	}
	return roles, time.Unix(at, 0), nil
}

// Draft is the next roster as the site proposes it: the officers of the last
// one and those who have registered since. Whoever holds the roster key reads
// it, changes it where it is wrong, and signs it.
func Draft(ctx context.Context, db *sql.DB, base officer.Roster) (officer.Roster, error) {
	rows, err := db.QueryContext(ctx, "SELECT officer, name, role, passkey, identity FROM applicant ORDER BY at")
	if err != nil {
		return base, fmt.Errorf("site: draft: %w", err)
	}
	defer rows.Close()
	base.Version++
	for rows.Next() {
		var o officer.Officer
		var b []byte
		var p officer.Passkey
		var identity string
		if err := rows.Scan(&o.ID, &o.Name, &o.Role, &b, &identity); err != nil {
			return base, fmt.Errorf("site: draft: %w", err)
		}
		if err := json.Unmarshal(b, &p); err != nil {
			return base, fmt.Errorf("site: draft: %w", err)
		}
		if identity != "" {
			o.Directory = &officer.Identity{}
			if err := json.Unmarshal([]byte(identity), o.Directory); err != nil {
				return base, fmt.Errorf("site: draft: %w", err)
			}
		}
		i := slices.IndexFunc(base.Officers, func(x officer.Officer) bool { return x.ID == o.ID })
		if i < 0 {
			i = len(base.Officers)
			base.Officers = append(base.Officers, o)
		}
		if base.Officers[i].Directory == nil { // once it is there it stays, unless the roster's holder changes it
			base.Officers[i].Directory = o.Directory
		}
		known := slices.ContainsFunc(base.Officers[i].Passkeys, func(x officer.Passkey) bool { return string(x.ID) == string(p.ID) })
		if !known {
			base.Officers[i].Name, base.Officers[i].Role = o.Name, o.Role
			base.Officers[i].Passkeys = append(base.Officers[i].Passkeys, p)
		}
	}
	return base, rows.Err()
}

// LastRoster is the newest roster in a site's database.
func LastRoster(ctx context.Context, db *sql.DB) (officer.Signed, error) {
	var signed officer.Signed
	var b []byte
	err := db.QueryRowContext(ctx, "SELECT body FROM roster ORDER BY version DESC LIMIT 1").Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return signed, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &signed)
	}
	if err != nil {
		return signed, fmt.Errorf("site: roster: %w", err)
	}
	return signed, nil
}

// Roster is the newest roster, an empty one before the first.
func (s *Site) Roster(ctx context.Context) (officer.Signed, error) {
	return LastRoster(ctx, s.db.Reader)
}

// PutRoster keeps a roster whose signature the caller has verified. A running
// site tells its lanes within seconds.
func PutRoster(ctx context.Context, db *sql.DB, r *officer.Roster, signed officer.Signed) error {
	b, err := json.Marshal(signed)
	if err != nil {
		return fmt.Errorf("site: roster: %w", err)
	}
	return atomically(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO roster VALUES (?,?,?)", r.Version, b, time.Now().Unix()); err != nil {
			return fmt.Errorf("site: roster %d: is there one of this version already? %w", r.Version, err)
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM applicant") // the roster has them now, or refused them
		return err
	})
}

// SignDraft signs the draft of the next roster and keeps it: for a site whose
// roster key lies on the console's machine, as in a demonstration. base says
// what the first roster is made from.
func (s *Site) SignDraft(ctx context.Context, base officer.Roster, key ed25519.PrivateKey) error {
	last, err := s.Roster(ctx)
	if err != nil {
		return err
	}
	if len(last.Roster) > 0 {
		r, err := last.Open(key.Public().(ed25519.PublicKey), time.Now())
		if err != nil {
			return err
		}
		r.Until = base.Until
		base = *r
	}
	draft, err := Draft(ctx, s.db.Reader, base)
	if err != nil {
		return err
	}
	signed, err := draft.Sign(key)
	if err != nil {
		return err
	}
	return PutRoster(ctx, s.db.Writer, &draft, signed)
}

// OpenDatabase opens a site's database beside a console that runs, or without
// one.
func OpenDatabase(ctx context.Context, dir string) (*sql.DB, func() error, error) {
	db, err := openStore(ctx, filepath.Join(dir, "site.db"))
	if err != nil {
		return nil, nil, err
	}
	return db.Writer, db.Close, nil
}

// announce tells the lanes when a new roster has come, until ctx ends.
func (s *Site) announce(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	last := int64(-1)
	for {
		var version int64
		err := s.db.Reader.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM roster").Scan(&version)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.conf.Log.Warn("site: roster", "error", err)
		case version != last:
			last = version
			if err := s.nc.Publish(fleet.Changed, nil); err != nil {
				s.conf.Log.Warn("site: roster", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
