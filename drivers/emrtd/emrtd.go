// Package emrtd reads electronic machine readable travel documents and judges
// whether they are genuine. ICAO Doc 9303 parts 10 to 12.
//
// Read follows a plan that needs few exchanges: access by PACE or BAC, the
// security object, the chip's proof, then each data group in reads as large as
// the chip takes, every hash checked as its file arrives. After any doubt about
// a session it authenticates again. What a reading found is an answer, not an
// error: a clone or a forgery comes back as a Document with a Verdict.
package emrtd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/face"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pace"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/sm"
	"passage/drivers/emrtd/ta"
)

// Verdict is the outcome table's last column.
type Verdict string

const (
	ChipGenuine   Verdict = "chip_genuine"       // data and chip are genuine
	CopyPossible  Verdict = "copy_not_excluded"  // data genuine, nothing proves the chip
	Clone         Verdict = "possible_clone"     // chip authentication failed
	Altered       Verdict = "altered"            // a data group is not what was signed
	Incomplete    Verdict = "incomplete"         // a listed group could not be read
	IssuerUnknown Verdict = "issuer_unverified"  // no trusted issuer
	Revoked       Verdict = "revoked_signer"     // for a reason that voids it
	RevokedSoft   Verdict = "signer_undecided"   // revoked, but not for good
	Suspicious    Verdict = "suspicious"         // signer not valid when it signed
	Expired       Verdict = "signer_expired"     // not valid now, unknown then
	Forged        Verdict = "forged_or_damaged"  // the signature is wrong
	Mismatch      Verdict = "dg1_differs"        // chip and printed zone differ
	KnownDefect   Verdict = "known_defect"       // wrong in a way that its state has announced
	StaleTrust    Verdict = "trust_list_too_old" // the signer's revocation list is out of date
)

// Code is one of the five result words of BSI TR-03135 §3.5.2.
type Code string

const (
	Successful   Code = "successful"
	Failed       Code = "failed"
	Undetermined Code = "undetermined"
	NotSupported Code = "not_supported"
	Aborted      Code = "aborted"
)

// Check is one check and why it came out so.
type Check struct {
	Name   string
	Code   Code
	Reason string
}

// Step is one step of the reading, in time since it began.
type Step struct {
	Name       string
	Start, End time.Duration
}

// Document is what a reading found.
type Document struct {
	MRZ      mrz.MRZ
	Portrait face.Portrait
	Files    map[string][]byte // raw, by name
	Access   string            // "PACE-ECDH-GM-AES-128/13", "BAC", "none"
	Fallback []string          // why a better way was not used, and what was tried again
	Verdict  Verdict
	Because  string   // the decision table's reason
	Evidence Evidence // what the verdict rests on
	Passive  Passive
	Checks   []Check
	Steps    []Step
	APDUs    int
	Bytes    int // both ways
	Again    int // sessions that were lost and opened again
}

// Progress is how far the reading of a file is, in bytes. Total is 0 until the
// file's length is known.
type Progress struct {
	File        string
	Done, Total int
}

// Exchange is one command and its answer as they are without secure messaging:
// they hold the document's data. Sent and Received are the bytes on the wire.
type Exchange struct {
	At, Took       time.Duration // since the reading began
	Command        apdu.Command
	Response       apdu.Response // zero with an error
	Protected      bool
	Sent, Received int
	Err            error
}

// Options change how Read works. Trust is required.
type Options struct {
	Trust *pki.Store
	Now   time.Time
	// Early is called with the zone of DG1 before the portrait is read.
	Early func(mrz.MRZ)
	// Progress is called as files arrive.
	Progress func(Progress)
	// Trace is called after each exchange.
	Trace func(Exchange)
	// Random is crypto/rand unless set.
	Random io.Reader
	// SkipPACE reads by BAC alone, SkipChip asks the chip for no proof by Chip
	// Authentication.
	SkipPACE, SkipChip bool
	// CAN is the card access number, the password for PACE instead of the zone.
	// A chip that has few tries left is asked only if Force is set.
	CAN   string
	Force bool
	// Candidates is how many other readings of the printed zone are tried on a
	// chip that refuses the first: 0 for none, at most 8.
	Candidates int
	// COM reads EF.COM and compares its list with the security object's.
	COM bool
	// Groups are data groups to read besides DG1 and DG2, if they are signed.
	// DG14 and DG15 are read where they prove the chip. DG3 and DG4 need a
	// Terminal that may.
	Groups   []int
	Terminal *ta.Terminal
	// Back waits for a card that was lost to lie there again: a reading goes on
	// where it was torn. Without it a lost card ends the reading.
	Back func(context.Context) (apdu.Card, error)
	// Memory knows from earlier readings what families of chips can do.
	Memory *Memory
}

// Errors that mean that nothing could be found out.
var (
	ErrPassword = errors.New("emrtd: the chip does not accept the printed data")
	ErrProtocol = errors.New("emrtd: the chip does not follow the protocol")
	ErrBound    = errors.New("emrtd: the chip exceeds a limit")
)

// Limits of one reading.
const (
	maxAPDUs   = 1024
	maxHeld    = 4 << 20 // bytes of all files
	maxParts   = 64      // GET RESPONSE for one answer
	reauthLeft = 3
)

// reading is one Read under way.
type reading struct {
	card           apdu.Card
	key            mrz.MRZ
	o              Options
	doc            *Document
	session        *sm.Session
	began          time.Time
	sizes          sizes
	family         family // of chips, as far as it is known before access
	state          family // the same, closer: with who issued the document
	reauth         int
	held           int  // bytes of files
	sent, received int  // bytes on the wire
	current        byte // short identifier of the file that is selected; 0 for none
	offset         int  // of the read that was interrupted last, and how often
	torn           int

	infos    []pace.Info // EF.CardAccess
	chipID   []byte      // as Terminal Authentication signs it
	cars     []string    // trust points that PACE's last answer named
	mapping  mapping     // PACE's chip authentication mapping
	pending  *pending    // Chip Authentication that no answer has borne out yet
	proof    proof       // what the chip has proved
	terminal []byte      // short form of the reader's Chip Authentication key
	chances  int         // times that Chip Authentication cost the session
}

// Read reads the document whose printed zone is key. With a CAN key may be
// empty; DG1 is then compared with nothing.
func Read(ctx context.Context, card apdu.Card, key mrz.MRZ, o Options) (*Document, error) {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r := &reading{card: card, key: key, o: o, doc: &Document{Files: map[string][]byte{}, Access: "none"}, began: time.Now(), reauth: reauthLeft, offset: -1}
	r.sizes = stated(card.ATR())
	err := r.open(ctx)
	switch {
	case gone(err):
		err = r.back(ctx, 0, err)
	case sessionLost(err) || statusClass(err) == 0x6F:
		err = r.again(ctx, err) // an execution error need not come again
	}
	if err == nil {
		err = r.inspect(ctx)
	}
	r.remember(err)
	return r.doc, err
}

// step notes how long part of the reading took.
func (r *reading) step(name string) func() {
	start := time.Since(r.began)
	return func() { r.doc.Steps = append(r.doc.Steps, Step{name, start, time.Since(r.began)}) }
}

func (r *reading) check(name string, code Code, format string, args ...any) {
	r.doc.Checks = append(r.doc.Checks, Check{name, code, fmt.Sprintf(format, args...)})
}

// instead notes why a better way was not taken.
func (r *reading) instead(format string, args ...any) {
	r.doc.Fallback = append(r.doc.Fallback, fmt.Sprintf(format, args...))
}

// inspect reads the files in the order of the plan and judges them. The
// security object comes first: what it does not list is not tried.
func (r *reading) inspect(ctx context.Context) error {
	raw, err := r.file(ctx, lds.SOD)
	if err != nil {
		return err
	}
	p := r.passive(raw)
	if p.signer != nil {
		r.refine(p.signer.Issuer.String())
	}
	r.sameIssuer(p)
	if err := r.authenticateChip(ctx, p); err != nil {
		return err
	}
	dg1, err := r.group(ctx, p, 1)
	if err != nil {
		return err
	}
	if dg1 != nil {
		r.zone(p, dg1)
	}
	if err := r.activeAuthentication(ctx, p); err != nil {
		return err
	}
	dg2, err := r.group(ctx, p, 2)
	if err != nil {
		return err
	}
	if dg2 != nil {
		if err := r.portrait(dg2); err != nil {
			p.missing = append(p.missing, 2)
			r.check("portrait", Failed, "%v", err)
		}
	}
	if err := r.more(ctx, p); err != nil {
		return err
	}
	r.doc.Verdict = p.verdict(r.proof)
	return nil
}

// more reads what was asked for besides.
func (r *reading) more(ctx context.Context, p *passive) error {
	sensitive := false
	for _, n := range r.o.Groups {
		switch {
		case p.object == nil || p.object.Hashes[n] == nil || r.doc.Files[lds.Group(n).Name] != nil:
			continue
		case n == 3 || n == 4:
			sensitive = true
			continue
		}
		if _, err := r.group(ctx, p, n); err != nil {
			return err
		}
	}
	if sensitive {
		if err := r.sensitive(ctx, p); err != nil {
			return err
		}
	}
	if !r.o.COM {
		return nil
	}
	raw, err := r.file(ctx, lds.COM)
	if lost(err) {
		return err
	}
	r.compareCOM(p, raw, err)
	return nil
}

// compareCOM tells whether EF.COM, which is not signed, lists what is signed.
func (r *reading) compareCOM(p *passive, raw []byte, err error) {
	const name = "COM and security object"
	if err != nil {
		r.check(name, Undetermined, "%v", err)
		return
	}
	com, err := lds.ParseCOM(raw)
	if err != nil || p.object == nil {
		r.check(name, Undetermined, "EF.COM or the security object cannot be read: %v", err)
		return
	}
	listed := map[int]bool{}
	for _, n := range com.Groups {
		if listed[n] = true; p.object.Hashes[n] == nil {
			r.check(name, Failed, "EF.COM lists DG%d, which is not signed", n)
			return
		}
	}
	for n := 1; n <= 16; n++ {
		if p.object.Hashes[n] != nil && !listed[n] {
			r.check(name, Failed, "DG%d is signed, and EF.COM does not list it", n)
			return
		}
	}
	r.check(name, Successful, "the same groups")
}

// group reads a data group and compares it with its hash. A group that cannot
// be read is noted as missing, and nil; an error means that the reading is
// over.
func (r *reading) group(ctx context.Context, p *passive, n int) ([]byte, error) {
	b, err := r.file(ctx, lds.Group(n))
	if lost(err) {
		return nil, err
	}
	if err != nil {
		p.missing = append(p.missing, n)
		r.check(lds.Group(n).Name, Failed, "%v", err)
		return nil, nil
	}
	p.group(n, b)
	return b, nil
}

// zone takes over DG1. What cannot be read is a finding: whoever altered a zone
// need not have left one.
func (r *reading) zone(p *passive, dg1 []byte) {
	m, err := lds.ParseDG1(dg1)
	if err != nil {
		p.missing = append(p.missing, 1)
		r.check("DG1", Failed, "%v", err)
		return
	}
	r.doc.MRZ = m
	if r.o.Early != nil {
		r.o.Early(m)
	}
}

func (r *reading) portrait(dg2 []byte) error {
	record, err := lds.ParseDG2(dg2)
	if err != nil {
		return err
	}
	r.doc.Portrait, err = face.Parse(record)
	return err
}
