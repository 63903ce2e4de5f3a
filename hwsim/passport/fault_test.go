package passport_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

// faultRow is a fault and what the reader must say of it: a verdict and a
// check with its word, or the class of an error.
type faultRow struct {
	fault   string
	at      int
	profile string // icao-ext unless set
	want    emrtd.Verdict
	check   string // "word in the name: code"; "" for none
	err     error  // instead of a verdict
}

// errAny stands for whichever error: the reading ends, and nothing is believed.
var errAny = errors.New("an error")

// patience is how long a lane waits for a document.
const patience = 20 * time.Second

// laid is a card of a profile with faults, and the trust store that goes with
// it.
func laid(t *testing.T, name string, faults map[string]int, change func(*passport.Profile)) (*passport.Card, *pki.Store) {
	t.Helper()
	p, err := passport.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	usual := profile()
	p.MRZ, p.Portrait, p.Width, p.Height, p.Random = usual.MRZ, usual.Portrait, usual.Width, usual.Height, testpki.Seed(7)
	chip, signer := passport.Split(faults)
	p.Faults = chip
	if change != nil {
		change(&p)
	}
	card, store, err := passport.Issue(p, "DE", now, signer)
	if err != nil {
		t.Fatal(err)
	}
	return card, store
}

// reading reads a card that is laid on a reader in this process.
func reading(t *testing.T, name string, faults map[string]int, change func(*passport.Profile)) (*emrtd.Document, *passport.Card, error) {
	t.Helper()
	card, store := laid(t, name, faults, change)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	doc, err := emrtd.Read(ctx, card, key(t, card), emrtd.Options{Trust: store, Now: now})
	return doc, card, err
}

// TestFaults is the table of faults: what a reader says of each.
func TestFaults(t *testing.T) {
	rows := []faultRow{
		{fault: "clone", profile: "pace", want: emrtd.Clone, check: "active authentication: failed"},
		{fault: "swapped_dg15", profile: "pace", want: emrtd.Altered, check: "active authentication: undetermined"},
		{fault: "no_aa_key", profile: "pace", want: emrtd.Clone, check: "active authentication: failed"},
		{fault: "wrong_ca_key", want: emrtd.Clone, check: "chip authentication: failed"},
		{fault: "wrong_ca_key", profile: "cam", want: emrtd.Clone, check: "chip authentication: failed"},
		{fault: "ca_replay", want: emrtd.Clone, check: "chip authentication: failed"},
		{fault: "no_dg14", want: emrtd.Incomplete},

		{fault: "revoked", want: emrtd.Revoked, check: "revocation: failed"},
		{fault: "revoked_soft", want: emrtd.RevokedSoft, check: "revocation: undetermined"},
		{fault: "expired_signer", want: emrtd.Expired, check: "validity: failed"},
		{fault: "late_signer", want: emrtd.Suspicious, check: "validity: failed"},
		{fault: "future_signer", want: emrtd.Expired, check: "validity: failed"},
		{fault: "list_signer", want: emrtd.Forged, check: "issuer: failed"},
		{fault: "old_csca", want: emrtd.Expired, check: "issuer validity: failed"},
		{fault: "unknown_csca", want: emrtd.IssuerUnknown, check: "issuer: undetermined"},
		{fault: "rogue_csca", want: emrtd.Forged, check: "issuer: failed"},
		{fault: "wrong_country", want: emrtd.Forged, check: "state: failed"},
		{fault: "no_link", want: emrtd.IssuerUnknown, check: "issuer: undetermined"},

		{fault: "tampered_dg1", want: emrtd.Altered, check: "DG1 hash: failed"},
		{fault: "broken_dg1", want: emrtd.Altered, check: "DG1 hash: failed"},
		{fault: "tampered_dg2", want: emrtd.Altered, check: "DG2 hash: failed"},
		{fault: "truncated_dg2", want: emrtd.Incomplete},
		{fault: "dg2_length", want: emrtd.Incomplete},
		{fault: "dg2_announces", want: emrtd.Incomplete},
		{fault: "dg2_huge", want: emrtd.Incomplete, check: "portrait: failed"},
		{fault: "nested", want: emrtd.Incomplete, check: "portrait: failed"},
		{fault: "bomb", want: emrtd.ChipGenuine}, // its decoder is bounded, elsewhere
		{fault: "faces", want: emrtd.Incomplete, check: "portrait: failed"},
		{fault: "com_differs", want: emrtd.ChipGenuine}, // EF.COM is not read: nothing signs it
		{fault: "duplicate_hash", want: emrtd.Forged, check: "security object: failed"},

		// The 13th is the first under the keys of Chip Authentication.
		{fault: "bad_mac_at", at: 13, want: emrtd.ChipGenuine},
		{fault: "wrong_sw_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "naked_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "naked_kept_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "naked_counted_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "refused_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "bad_mac_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "replay_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "late_at", at: 14, want: emrtd.Incomplete},
		{fault: "plain_at", at: 14, err: errAny},
		{fault: "garbage_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "leading_zero", want: emrtd.ChipGenuine},

		{fault: "select_first", profile: "pace-only", want: emrtd.ChipGenuine},
		{fault: "app_after_mf", profile: "bac", want: emrtd.ChipGenuine},
		{fault: "pace_unnamed", profile: "pace-only", want: emrtd.ChipGenuine},
		{fault: "le_hint", at: 150, profile: "icao-short", want: emrtd.ChipGenuine},
		{fault: "le_at_end", want: emrtd.ChipGenuine},
		{fault: "aa_exact_le", profile: "pace", want: emrtd.ChipGenuine, check: "active authentication: successful"},
		{fault: "aa_exact_le", profile: "aa-rsa", want: emrtd.ChipGenuine, check: "active authentication: successful"},

		{fault: "pace_unsupported", want: emrtd.ChipGenuine},
		{fault: "pace_withheld", want: emrtd.ChipGenuine, check: "CardAccess: failed"}, // Chip Authentication proves it
		{fault: "pace_off_curve", at: 1, err: emrtd.ErrProtocol},
		{fault: "pace_off_curve", at: 2, err: emrtd.ErrProtocol},
		{fault: "pace_infinity", at: 1, err: emrtd.ErrProtocol},
		{fault: "pace_infinity", at: 2, err: emrtd.ErrProtocol},
		{fault: "pace_echo", at: 1, err: emrtd.ErrProtocol},
		{fault: "pace_echo", at: 2, err: emrtd.ErrProtocol},
		{fault: "pace_token", err: emrtd.ErrPassword},
		{fault: "pace_zero_nonce", want: emrtd.ChipGenuine}, // the key agreement is as strong without it

		{fault: "slow", want: emrtd.ChipGenuine},
		{fault: "torn_at", at: 5000, err: apdu.ErrRemoved},
		{fault: "removed_at", at: 14, err: apdu.ErrRemoved},
		{fault: "returned_at", at: 14, want: emrtd.ChipGenuine},
		{fault: "silent_at", at: 14, err: errAny},

		{fault: "endless_61", at: 14, err: emrtd.ErrBound},
		{fault: "ignore_le", want: emrtd.ChipGenuine},
		{fault: "excess", profile: "icao-short", want: emrtd.ChipGenuine},
	}
	tested := map[string]bool{}
	for _, r := range rows {
		tested[r.fault] = true
		name := r.profile
		if name == "" {
			name = "icao-ext"
		}
		at := max(r.at, 1)
		t.Run(fmt.Sprintf("%s/%d/%s", r.fault, at, name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a reader's limits of time cost none
				doc, card, err := reading(t, name, map[string]int{r.fault: at}, nil)
				switch {
				case r.err != nil && (err == nil || r.err != errAny && !errors.Is(err, r.err)):
					t.Fatalf("%v, %s; want %v", err, doc.Verdict, r.err)
				case r.err != nil:
					return
				case err != nil || doc.Verdict != r.want:
					t.Fatalf("%v, %q, want %q\n%+v", err, doc.Verdict, r.want, doc.Checks)
				}
				if word, code, ok := strings.Cut(r.check, ": "); ok && !slices.ContainsFunc(doc.Checks, func(c emrtd.Check) bool {
					return strings.Contains(c.Name, word) && string(c.Code) == code
				}) {
					t.Errorf("no check with %q is %s: %+v", word, code, doc.Checks)
				}
				if s := card.Stats(); s.WrongPasswords > 0 || s.APDUs > 200 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
	for _, f := range passport.Faults {
		if !tested[f.Name] {
			t.Errorf("%s is in no row", f.Name)
		}
	}
	for _, f := range testpki.Faults {
		if !tested[f.Name] {
			t.Errorf("%s is in no row", f.Name)
		}
	}
}

// A run is repeated by its seed: the same answers to the same commands.
func TestSeedRepeats(t *testing.T) {
	transcript := func() (list []string) {
		p, err := passport.ByName("icao-ext")
		if err != nil {
			t.Fatal(err)
		}
		p.MRZ, p.Portrait, p.Random = profile().MRZ, picture(900), testpki.Seed(3)
		o, err := testpki.NewOffice("DE", now, "", p.Random)
		if err != nil {
			t.Fatal(err)
		}
		card, err := passport.New(p, o.Signer)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []string{"00B09C0000", "00A4040C07A0000002471001", "0084000008"} {
			var b []byte
			if _, err := fmt.Sscanf(c, "%X", &b); err != nil {
				t.Fatal(err)
			}
			reply, err := card.Transmit(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%X", reply))
		}
		return append(list, fmt.Sprintf("%X", o.Signer.Cert))
	}
	if a, b := transcript(), transcript(); !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}

// The standard's ways of PACE: three mappings, curves and groups, four ciphers.
func TestVariants(t *testing.T) {
	seen := map[passport.Mapping]map[kdf.Cipher]int{}
	for _, v := range passport.Variants() {
		if seen[v.Mapping] == nil {
			seen[v.Mapping] = map[kdf.Cipher]int{}
		}
		seen[v.Mapping][v.Cipher]++
	}
	want := map[passport.Mapping]map[kdf.Cipher]int{
		passport.GM:  {kdf.TDES: 14, kdf.AES128: 14, kdf.AES192: 14, kdf.AES256: 14},
		passport.IM:  {kdf.TDES: 13, kdf.AES128: 13, kdf.AES192: 13, kdf.AES256: 13},
		passport.CAM: {kdf.AES128: 11, kdf.AES192: 11, kdf.AES256: 11},
	}
	for m, ciphers := range want {
		if !maps.Equal(seen[m], ciphers) {
			t.Errorf("%v: %v, want %v", m, seen[m], ciphers)
		}
	}
}
