// Package emrtd reads electronic machine readable travel documents and judges
// whether they are genuine. ICAO Doc 9303 parts 10 to 12.
//
// Read follows a plan that needs few exchanges: access by PACE or BAC, the
// security object, then each data group in reads as large as the chip takes,
// every hash checked as its file arrives. What a reading found is an answer,
// not an error: a clone or a forgery comes back as a Document with a Verdict.
package emrtd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/aa"
	"passage/drivers/emrtd/bac"
	"passage/drivers/emrtd/face"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pace"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/sm"
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
	RevokedSoft   Verdict = "signer_undecided"   // revoked, but with status 1, 5 or ≥ 32
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
	Fallback []string          // why a better access was not used
	Verdict  Verdict
	Because  string   // the decision table's reason
	Evidence Evidence // what the verdict rests on
	Passive  Passive
	Checks   []Check
	Steps    []Step
	APDUs    int
	Bytes    int // both ways
}

// Options change how Read works. Trust is required.
type Options struct {
	Trust *pki.Store
	Now   time.Time
	// Early is called with the zone of DG1 before the portrait is read.
	Early func(mrz.MRZ)
	// Random is crypto/rand unless set.
	Random io.Reader
	// SkipPACE reads by BAC alone.
	SkipPACE bool
}

// Errors that mean that nothing could be found out.
var (
	ErrPassword = errors.New("emrtd: the chip does not accept the printed data")
	ErrProtocol = errors.New("emrtd: the chip does not follow the protocol")
	ErrBound    = errors.New("emrtd: the chip exceeds a limit")
)

const (
	maxAPDUs   = 1024
	firstRead  = 0x0DF // 223: the largest plain read whose AES-protected answer fits 256 bytes
	largeRead  = 60000
	reauthLeft = 3
)

// reading is one Read under way.
type reading struct {
	card    apdu.Card
	key     mrz.MRZ
	o       Options
	doc     *Document
	session *sm.Session
	began   time.Time
	block   int // plain bytes a READ BINARY asks for
	reauth  int
	app     bool // the eMRTD application is selected
}

// Read reads the document whose printed zone is key.
func Read(ctx context.Context, card apdu.Card, key mrz.MRZ, o Options) (*Document, error) {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r := &reading{card: card, key: key, o: o, doc: &Document{Files: map[string][]byte{}, Access: "none"}, began: time.Now(), block: largeRead, reauth: reauthLeft}
	if err := r.access(ctx); err != nil {
		return r.doc, err
	}
	if err := r.inspect(ctx); err != nil {
		return r.doc, err
	}
	return r.doc, nil
}

// step notes how long part of the reading took.
func (r *reading) step(name string) func() {
	start := time.Since(r.began)
	return func() { r.doc.Steps = append(r.doc.Steps, Step{name, start, time.Since(r.began)}) }
}

func (r *reading) check(name string, code Code, format string, args ...any) {
	r.doc.Checks = append(r.doc.Checks, Check{name, code, fmt.Sprintf(format, args...)})
}

// plain sends a command outside secure messaging.
func (r *reading) plain(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	b, err := c.Bytes()
	if err != nil {
		return apdu.Response{}, err
	}
	if r.doc.APDUs++; r.doc.APDUs > maxAPDUs {
		return apdu.Response{}, fmt.Errorf("%w: more than %d commands", ErrBound, maxAPDUs)
	}
	raw, err := r.card.Transmit(ctx, b)
	if err != nil {
		return apdu.Response{}, fmt.Errorf("emrtd: %02X: %w", c.INS, err)
	}
	r.doc.Bytes += len(b) + len(raw)
	return apdu.ParseResponse(raw)
}

// send sends a command, protected once a session runs.
func (r *reading) send(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	if r.session == nil {
		return r.plain(ctx, c)
	}
	w, err := r.session.Wrap(c)
	if err != nil {
		return apdu.Response{}, err
	}
	resp, err := r.plain(ctx, w)
	if err != nil {
		return resp, err
	}
	return r.session.Unwrap(resp)
}

// must sends a command whose only good answer is 9000.
func (r *reading) must(ctx context.Context, name string, c apdu.Command) ([]byte, error) {
	resp, err := r.send(ctx, c)
	if err != nil {
		return nil, err
	}
	if resp.SW != apdu.OK {
		return nil, &apdu.StatusError{Command: name, SW: resp.SW}
	}
	return resp.Data, nil
}

var application = []byte{0xA0, 0, 0, 2, 0x47, 0x10, 0x01}

func (r *reading) selectApplication(ctx context.Context) error {
	_, err := r.must(ctx, "SELECT", apdu.Command{INS: 0xA4, P1: 4, P2: 0x0C, Data: application})
	r.app = err == nil
	return err
}

// access opens the chip: PACE where it is offered, else BAC, else nothing.
// PACE gives way to BAC only for what it does not support, never after a wrong
// password.
func (r *reading) access(ctx context.Context) error {
	defer r.step("access")()
	if !r.o.SkipPACE {
		ok, err := r.tryPACE(ctx)
		if ok || err != nil {
			return err
		}
	}
	if err := r.selectApplication(ctx); err != nil {
		return err
	}
	// A chip without access control answers a read at once.
	resp, err := r.plain(ctx, apdu.Command{INS: 0xB0, P1: 0x80 | lds.COM.SFI, Ne: 8})
	if err != nil {
		return err
	}
	if resp.SW == apdu.OK || resp.SW == apdu.EndOfFile {
		r.check("access", NotSupported, "the chip has no access control")
		return nil
	}
	return r.bac(ctx)
}

func (r *reading) tryPACE(ctx context.Context) (bool, error) {
	resp, err := r.plain(ctx, apdu.Command{INS: 0xB0, P1: 0x80 | lds.CardAccess.SFI, Ne: 256})
	if err != nil {
		return false, err
	}
	if resp.SW != apdu.OK && resp.SW != apdu.EndOfFile {
		r.doc.Fallback = append(r.doc.Fallback, fmt.Sprintf("no EF.CardAccess: %v", resp.SW))
		return false, nil
	}
	r.doc.Files[lds.CardAccess.Name] = resp.Data
	infos, err := lds.ParseSecurity(lds.CardAccess, resp.Data)
	if err != nil {
		r.doc.Fallback = append(r.doc.Fallback, err.Error())
		return false, nil
	}
	list := pace.Parse(infos)
	for _, i := range list {
		if !i.Supported() {
			r.doc.Fallback = append(r.doc.Fallback, i.String()+" is not supported yet")
			continue
		}
		err := r.pace(ctx, i, shares(list, i))
		if apdu.HasStatus(err, apdu.WrongData, apdu.NoReference) {
			r.doc.Fallback = append(r.doc.Fallback, fmt.Sprintf("%v: %v", i, err))
			continue
		}
		if err != nil {
			return false, err
		}
		r.doc.Access = i.String()
		r.check("access", Successful, "%v", i)
		return true, r.selectApplication(ctx)
	}
	return false, nil
}

// shares says whether another PACEInfo has the same OID, so that the domain
// parameters must be named.
func shares(list []pace.Info, i pace.Info) bool {
	n := 0
	for _, o := range list {
		if o.OID.Equal(i.OID) {
			n++
		}
	}
	return n > 1
}

// pace runs the protocol with the MRZ as password (§4.4.4).
func (r *reading) pace(ctx context.Context, i pace.Info, name bool) error {
	set := append(lds.Make(0x80, mustOID(i)), lds.Make(0x83, []byte{1})...)
	if name || i.Parameter > 0 {
		set = append(set, lds.Make(0x84, []byte{byte(i.Parameter)})...)
	}
	if _, err := r.must(ctx, "MSE:Set AT", apdu.Command{INS: 0x22, P1: 0xC1, P2: 0xA4, Data: set}); err != nil {
		return err
	}
	nonce, err := r.general(ctx, nil, 0x80, true)
	if err != nil {
		return err
	}
	run, err := pace.Start(i, pace.PasswordMRZ(r.key.Information()), nonce, r.o.Random)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	own, err := run.Map()
	if err != nil {
		return err
	}
	answer := uint32(0x82)
	if i.Mapping == pace.IM {
		answer = 0 // the chip adds nothing
	}
	chip, err := r.general(ctx, lds.Make(0x81, own), answer, true)
	if err != nil {
		return err
	}
	if err := run.MapWith(chip); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if own, err = run.Agree(); err != nil {
		return err
	}
	if chip, err = r.general(ctx, lds.Make(0x83, own), 0x84, true); err != nil {
		return err
	}
	if err := run.AgreeWith(chip); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	token, err := run.OwnToken()
	if err != nil {
		return err
	}
	theirs, err := r.general(ctx, lds.Make(0x85, token), 0x86, false)
	if err != nil {
		return wrongPassword(err)
	}
	secret, err := run.Finish(theirs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPassword, err)
	}
	r.session, err = sm.New(i.Cipher, secret, make([]byte, i.Cipher.BlockLen()))
	return err
}

func mustOID(i pace.Info) []byte {
	var b []byte
	for k, arc := range i.OID {
		switch {
		case k == 0:
		case k == 1:
			b = append(b, byte(40*i.OID[0]+arc))
		default:
			b = append(b, base128(arc)...)
		}
	}
	return b
}

func base128(n int) []byte {
	out := []byte{byte(n & 0x7F)}
	for n >>= 7; n > 0; n >>= 7 {
		out = append([]byte{byte(n&0x7F) | 0x80}, out...)
	}
	return out
}

// general is GENERAL AUTHENTICATE; chained is for all but the last command. It
// returns the data object that is wanted, 0 for none.
func (r *reading) general(ctx context.Context, data []byte, want uint32, chained bool) ([]byte, error) {
	c := apdu.Command{INS: 0x86, Data: lds.Make(0x7C, data), Ne: 256}
	if chained {
		c.CLA = 0x10
	}
	resp, err := r.must(ctx, "GENERAL AUTHENTICATE", c)
	if err != nil {
		return nil, err
	}
	dyn, ok := lds.Find(resp, 0x7C)
	if !ok {
		return nil, fmt.Errorf("%w: no dynamic authentication data", ErrProtocol)
	}
	v, ok := lds.Find(dyn, want)
	if !ok && want != 0 {
		return nil, fmt.Errorf("%w: no data object %X", ErrProtocol, want)
	}
	return v, nil
}

func wrongPassword(err error) error {
	var e *apdu.StatusError
	if errors.As(err, &e) && (e.SW == apdu.WrongPassword || e.SW>>4 == 0x63C || e.SW == apdu.SecurityStatus || e.SW == apdu.WrongSM || e.SW == apdu.Conditions) {
		return fmt.Errorf("%w: %w", ErrPassword, err)
	}
	return err
}

func (r *reading) bac(ctx context.Context) error {
	challenge, err := r.must(ctx, "GET CHALLENGE", apdu.Command{INS: 0x84, Ne: 8})
	if err != nil {
		return err
	}
	random := make([]byte, 24)
	if _, err := io.ReadFull(r.o.Random, random); err != nil {
		return fmt.Errorf("emrtd: random: %w", err)
	}
	b, data, err := bac.Start(r.key.Information(), challenge, random[:8], random[8:])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	reply, err := r.must(ctx, "EXTERNAL AUTHENTICATE", apdu.Command{INS: 0x82, Data: data, Ne: 40})
	if err != nil {
		return wrongPassword(err)
	}
	seed, ssc, err := b.Finish(reply)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPassword, err)
	}
	if r.session, err = sm.New(kdf.TDES, seed, ssc); err != nil {
		return err
	}
	r.doc.Access = "BAC"
	r.check("access", Successful, "BAC")
	return nil
}

// again opens a new session after one that cannot be trusted any more.
func (r *reading) again(ctx context.Context, why error) error {
	if r.reauth--; r.reauth < 0 {
		return fmt.Errorf("%w: session lost: %w", ErrProtocol, why)
	}
	r.check("session", Undetermined, "authenticated again: %v", why)
	r.session = nil
	// Back to the master file: PACE runs before the application is selected.
	if _, err := r.plain(ctx, apdu.Command{INS: 0xA4, P2: 0x0C, Data: []byte{0x3F, 0}}); err != nil {
		return err
	}
	return r.access(ctx)
}

// file reads a whole elementary file by its short identifier: the first read
// is large, and the length in it says how much remains. errAbsent stands for a
// file that the chip does not have.
func (r *reading) file(ctx context.Context, f lds.File) ([]byte, error) {
	defer r.step(f.Name)()
	var b []byte
	want := 0 // unknown
	for want == 0 || len(b) < want {
		ask := r.block
		if want > 0 {
			ask = min(ask, want-len(b))
		}
		chunk, err := r.chunk(ctx, f, len(b), ask)
		switch {
		case errors.Is(err, sm.ErrNaked), errors.Is(err, sm.ErrMAC), apdu.HasStatus(err, apdu.WrongSM, apdu.NoSM):
			if r.block > firstRead {
				r.block = firstRead // perhaps only the long answer was too much
			}
			if err := r.again(ctx, err); err != nil {
				return nil, err
			}
			continue
		case apdu.HasStatus(err, apdu.WrongLength) && r.block > 128:
			r.block = shorter(r.block)
			continue
		case err != nil:
			return nil, err
		case len(chunk) == 0:
			return nil, fmt.Errorf("%w: %s ends after %d of %d bytes", ErrProtocol, f.Name, len(b), want)
		}
		b = append(b, chunk...)
		if want == 0 {
			_, n, head, err := lds.Header(b)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrProtocol, f.Name, err)
			}
			if want = head + n; want > f.Most {
				return nil, fmt.Errorf("%w: %s wants %d bytes", ErrBound, f.Name, want)
			}
		}
	}
	if len(b) > want {
		b = b[:want]
	}
	r.doc.Files[f.Name] = b
	return b, nil
}

// shorter steps the block size down for a chip that takes less.
func shorter(n int) int {
	for _, s := range []int{firstRead, 192, 160, 128} {
		if s < n {
			return s
		}
	}
	return 128
}

// chunk reads at most n bytes at an offset.
func (r *reading) chunk(ctx context.Context, f lds.File, offset, n int) ([]byte, error) {
	c := apdu.Command{INS: 0xB0, Ne: n}
	switch {
	case offset == 0:
		c.P1 = 0x80 | f.SFI
	case offset <= 0x7FFF:
		c.P1, c.P2 = byte(offset>>8), byte(offset)
	default: // odd instruction with the offset in DO54
		c.INS, c.P2 = 0xB1, f.SFI
		c.Data = lds.Make(0x54, []byte{byte(offset >> 16), byte(offset >> 8), byte(offset)})
		c.Ne = n + 6
	}
	resp, err := r.send(ctx, c)
	if err != nil {
		return nil, err
	}
	if resp.SW != apdu.OK && resp.SW != apdu.EndOfFile || len(resp.Data) > n+6 {
		return nil, &apdu.StatusError{Command: "READ BINARY " + f.Name, SW: resp.SW}
	}
	if c.INS == 0xB1 {
		v, ok := lds.Find(resp.Data, 0x53)
		if !ok {
			return nil, fmt.Errorf("%w: %s: no data object 53", ErrProtocol, f.Name)
		}
		return v, nil
	}
	return resp.Data, nil
}

// absent says whether an error means that the chip lacks a file.
func absent(err error) bool { return apdu.HasStatus(err, apdu.NoFile, apdu.WrongP1P2) }

// inspect reads the files in the order of the plan and judges them.
func (r *reading) inspect(ctx context.Context) error {
	raw, err := r.file(ctx, lds.SOD)
	if err != nil {
		return err
	}
	p := r.passive(raw)
	dg1, err := r.file(ctx, lds.Group(1))
	if err != nil {
		return err
	}
	p.group(1, dg1)
	if r.doc.MRZ, err = lds.ParseDG1(dg1); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if r.o.Early != nil {
		r.o.Early(r.doc.MRZ)
	}
	chip := r.activeAuthentication(ctx, p)
	dg2, err := r.file(ctx, lds.Group(2))
	switch {
	case err != nil && absent(err):
		p.missing = append(p.missing, 2)
	case err != nil:
		return err
	default:
		p.group(2, dg2)
		if err := r.portrait(dg2); err != nil {
			p.missing = append(p.missing, 2)
			r.check("portrait", Failed, "%v", err)
		}
	}
	r.doc.Verdict = p.verdict(proof{AA: chip})
	return nil
}

func (r *reading) portrait(dg2 []byte) error {
	record, err := lds.ParseDG2(dg2)
	if err != nil {
		return err
	}
	r.doc.Portrait, err = face.Parse(record)
	return err
}

// activeAuthentication asks the chip to sign, if the signed list has a key for
// it. The answer counts only when DG15 is the signed one.
func (r *reading) activeAuthentication(ctx context.Context, p *passive) Code {
	const name = "chip authentication"
	if p.object == nil || p.object.Hashes[15] == nil {
		r.check(name, NotSupported, "the security object lists no DG15")
		return NotSupported
	}
	dg15, err := r.file(ctx, lds.Group(15))
	if err != nil {
		r.check(name, Failed, "DG15 is signed, but cannot be read: %v", err)
		return Failed
	}
	if p.group(15, dg15); p.altered != 0 {
		r.check(name, Undetermined, "DG15 is not the signed one")
		return Undetermined
	}
	defer r.step("active authentication")()
	spki, err := lds.ParseDG15(dg15)
	if err != nil {
		r.check(name, Undetermined, "%v", err)
		return Undetermined
	}
	key, err := pki.ParsePublicKey(spki)
	if err != nil {
		r.check(name, Undetermined, "%v", err)
		return Undetermined
	}
	var infos [][]byte
	if p.object.Hashes[14] != nil && key.RSA == nil {
		if dg14, err := r.file(ctx, lds.Group(14)); err == nil {
			if p.group(14, dg14); p.altered == 0 {
				infos, _ = lds.ParseSecurity(lds.Group(14), dg14)
			}
		}
	}
	challenge := make([]byte, 8)
	if _, err := io.ReadFull(r.o.Random, challenge); err != nil {
		r.check(name, Aborted, "%v", err)
		return Aborted
	}
	ne := 256
	if key.RSA != nil && key.RSA.N.BitLen() > 1784 {
		ne = 65536 // the protected signature does not fit a short answer
	}
	signature, err := r.must(ctx, "INTERNAL AUTHENTICATE", apdu.Command{INS: 0x88, Data: challenge, Ne: ne})
	if err == nil {
		err = aa.Verify(key, aa.Hash(infos, key), challenge, signature)
	}
	if err != nil {
		r.check(name, Failed, "active authentication: %v", err)
		return Failed
	}
	r.check(name, Successful, "active authentication, %v", key)
	return Successful
}
