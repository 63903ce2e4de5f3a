// Package officer proves at the lane who gave a word: which officer, by which
// passkey, over exactly which decision.
//
// Three signatures stand behind every word that comes from afar. The roster,
// signed by the site's roster key, says who the officers are and which passkeys
// are theirs. At sign-in the browser makes a session key that it cannot export,
// and the officer's passkey certifies it (WebAuthn Level 3 §7.2). The session
// key signs each word. A console only carries them: one that is forged opens
// nothing, because it holds none of the three keys.
//
// The package reads no clock and does no I/O.
package officer

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Role is what an officer is at a site.
type Role string

const (
	Guard      Role = "guard"      // decides cases
	ShiftLead  Role = "shift_lead" // opens and closes lanes; sees no face
	Supervisor Role = "supervisor" // a guard who may also steer lanes
	Technician Role = "technician" // maintenance; sees no traveller
	DPO        Role = "dpo"        // data protection officer: figures and the audit
)

// Right is something that a role may do.
type Right string

const (
	SeeCase   Right = "see_case"    // faces, names, checks of a crossing under way
	Decide    Right = "decide"      // release, divert, hold, retry_face, refer
	Attend    Right = "attend"      // renew, acknowledge, be present
	Steer     Right = "steer"       // open and close lanes, clear alarms
	Evacuate  Right = "evacuate"    // with a second role, or on site
	Maintain  Right = "maintain"    // maintenance, faults
	Settle    Right = "settle_case" // reconciliation cases
	Figures   Right = "figures"     // statistics
	Audit     Right = "audit"       // who did what
	Enrol     Right = "enrol"       // lanes and officers
	Prepare   Right = "prepare"     // propose a release; pause and stop a rollout
	Configure Right = "configure"   // activate a release; resume a rollout
)

// Rights is the table of roles. What is not in it is refused.
var Rights = map[Role][]Right{
	Guard:      {SeeCase, Decide, Attend, Settle},
	ShiftLead:  {Attend, Steer, Evacuate, Figures, Audit, Enrol},
	Supervisor: {SeeCase, Decide, Attend, Steer, Evacuate, Settle, Figures, Audit, Prepare, Configure},
	Technician: {Maintain, Attend, Prepare},
	DPO:        {Figures, Audit},
}

// May says whether the role has the right.
func (r Role) May(x Right) bool { return slices.Contains(Rights[r], x) }

// Officer is one row of the roster.
type Officer struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Passkeys []Passkey `json:"passkeys"`
	// Directory is who they are in the organisation's directory, for good; nil
	// where there is none. Lanes do not ask for it.
	Directory *Identity `json:"directory,omitempty"`
}

// Identity is a person at an OpenID provider: a subject is never given to
// anybody else (OpenID Connect Core 1.0 §2).
type Identity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

const maxSubject = 255 // §2, ASCII characters

// Validate says whether an identity has a provider's form.
func (i Identity) Validate() error {
	if i.Issuer == "" || i.Subject == "" || len(i.Issuer) > maxSubject || len(i.Subject) > maxSubject ||
		strings.ContainsFunc(i.Issuer+i.Subject, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("a subject of a directory is 1 to %d ASCII characters, with its issuer", maxSubject)
	}
	return nil
}

// Passkey is a WebAuthn credential: its id, and its public key in PKIX form,
// P-256 or Ed25519. The console turns the authenticator's COSE key into it, so
// that a lane parses no CBOR.
type Passkey struct {
	ID  []byte `json:"id"`
	Key []byte `json:"key"`
}

// Roster is who may speak to the lanes of a site, and from which page.
type Roster struct {
	Site     string    `json:"site"`
	Version  uint64    `json:"version"` // a lane takes no older one
	Until    time.Time `json:"until"`   // after it nobody speaks
	RPID     string    `json:"rp_id"`   // the console's host name
	Origins  []string  `json:"origins"` // the console's addresses, scheme and port included
	Officers []Officer `json:"officers"`
}

// Signed is a roster with its signature over the exact bytes.
type Signed struct {
	Roster    []byte `json:"roster"`
	Signature []byte `json:"signature"`
}

// Limits of what a lane takes.
const (
	maxRoster   = 4 << 20
	maxOfficers = 5_000
	maxPasskeys = 10
)

// Errors of this package. ErrRoster is the site's trouble, ErrWord one word's.
var (
	ErrRoster = errors.New("officer: roster")
	ErrWord   = errors.New("officer: word refused")
)

// rosterPrefix keeps a roster's signature from being one of anything else.
const rosterPrefix = "passage roster 1\n"

var identifier = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// Sign makes a roster that lanes with the key's public half take.
func (r Roster) Sign(key ed25519.PrivateKey) (Signed, error) {
	if err := r.Validate(); err != nil {
		return Signed{}, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	return Signed{b, ed25519.Sign(key, append([]byte(rosterPrefix), b...))}, nil
}

// Open verifies a roster. It wraps ErrRoster for a wrong signature, one that
// has run out at now, and one that no lane could use.
func (s Signed) Open(key ed25519.PublicKey, now time.Time) (*Roster, error) {
	if len(s.Roster) > maxRoster {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrRoster, maxRoster)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(rosterPrefix), s.Roster...), s.Signature) {
		return nil, fmt.Errorf("%w: not signed by the site's roster key", ErrRoster)
	}
	r := &Roster{}
	if err := json.Unmarshal(s.Roster, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if now.After(r.Until) {
		return nil, fmt.Errorf("%w: ran out on %s", ErrRoster, r.Until.Format(time.DateOnly))
	}
	return r, nil
}

// Validate says what is wrong with a roster, all at once.
func (r Roster) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.RPID == "" || len(r.Origins) == 0 {
		bad("the console's rp_id and origins are missing")
	}
	if len(r.Officers) > maxOfficers {
		bad("more than %d officers", maxOfficers)
	}
	seen, people := map[string]bool{}, map[Identity]string{}
	owner := map[string]string{} // of a passkey's id and of its key
	for _, o := range r.Officers {
		if !identifier.MatchString(o.ID) || seen[o.ID] {
			bad("officer %q: an id is 1 to 64 of a-z, 0-9, '_', '.', '-', once each", o.ID)
		}
		seen[o.ID] = true
		if _, ok := Rights[o.Role]; !ok {
			bad("officer %q: no role %q", o.ID, o.Role)
		}
		if len(o.Passkeys) > maxPasskeys {
			bad("officer %q: more than %d passkeys", o.ID, maxPasskeys)
		}
		// Whoever holds one passkey is one person: where two must sign, they
		// are not to be both.
		for _, p := range o.Passkeys {
			for _, x := range []string{"id " + string(p.ID), "key " + string(p.Key)} {
				if other, taken := owner[x]; taken && other != o.ID {
					bad("officers %q and %q have the same passkey", other, o.ID)
					break
				}
				owner[x] = o.ID
			}
		}
		if o.Directory != nil {
			if err := o.Directory.Validate(); err != nil {
				bad("officer %q: %w", o.ID, err)
			}
			if other, taken := people[*o.Directory]; taken {
				bad("officers %q and %q are the same person of the directory", other, o.ID)
			}
			people[*o.Directory] = o.ID
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", ErrRoster, err)
	}
	return nil
}

// Find returns the officer with this id.
func (r *Roster) Find(id string) (Officer, bool) {
	i := slices.IndexFunc(r.Officers, func(o Officer) bool { return o.ID == id })
	if i < 0 {
		return Officer{}, false
	}
	return r.Officers[i], true
}

// Known returns the officer who is this person of the directory.
func (r *Roster) Known(who Identity) (Officer, bool) {
	i := slices.IndexFunc(r.Officers, func(o Officer) bool { return o.Directory != nil && *o.Directory == who })
	if i < 0 {
		return Officer{}, false
	}
	return r.Officers[i], true
}

// Within lists the rights of the role that at least one of the others has, too:
// a directory narrows what a roster gives, and never widens it.
func (r Role) Within(others []Role) []Right {
	list := []Right{}
	for _, x := range Rights[r] {
		if slices.ContainsFunc(others, func(o Role) bool { return o.May(x) }) {
			list = append(list, x)
		}
	}
	return list
}

// keyPrefix tells what a roster key's text is.
const keyPrefix = "roster-"

// FormatKey writes a roster key's public half as text for configurations.
func FormatKey(k ed25519.PublicKey) string {
	return keyPrefix + base64.RawURLEncoding.EncodeToString(k)
}

// ParseKey reads what FormatKey wrote.
func ParseKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(s, keyPrefix))
	if err != nil || len(b) != ed25519.PublicKeySize || !strings.HasPrefix(s, keyPrefix) {
		return nil, fmt.Errorf("%q is no public roster key such as %s…", s, keyPrefix)
	}
	return b, nil
}
