package emrtd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/bac"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pace"
	"passage/drivers/emrtd/sm"
)

var (
	application = []byte{0xA0, 0, 0, 2, 0x47, 0x10, 0x01}
	masterFile  = []byte{0x3F, 0}
)

// errUnsupported says that the chip offers PACE with parameters that it
// refuses; the next ones are tried.
var errUnsupported = errors.New("emrtd: the chip refuses what it offers")

// errSession says that the session was lost too often.
var errSession = errors.New("emrtd: session lost")

func (r *reading) selectApplication(ctx context.Context) error {
	_, err := r.must(ctx, "SELECT", apdu.Command{INS: 0xA4, P1: 4, P2: 0x0C, Data: application})
	return err
}

// open opens the chip: PACE where it is offered, else BAC, else nothing. PACE
// gives way to BAC only for what it does not support, never after a wrong
// password; and a session has only one of them.
func (r *reading) open(ctx context.Context) error {
	defer r.step("access")()
	if err := r.offers(ctx); err != nil {
		return err
	}
	if !r.o.SkipPACE {
		if ok, err := r.tryPACE(ctx); ok || err != nil {
			return err
		}
	}
	if r.o.CAN != "" {
		return fmt.Errorf("%w: the chip offers no PACE that is supported, and only PACE takes a card access number", ErrPassword)
	}
	err := r.selectApplication(ctx)
	if apdu.HasStatus(err, apdu.NoFile, apdu.Conditions) {
		// Some chips begin in another application.
		if _, err = r.plain(ctx, apdu.Command{INS: 0xA4, P2: 0x0C, Data: masterFile}); err == nil {
			err = r.selectApplication(ctx)
		}
	}
	if err != nil {
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
	return r.tryZones(func() error { return r.bac(ctx) })
}

// offers reads what the chip says before access: EF.CardAccess, and
// EF.ATR/INFO where that tells how much the chip takes. Both stay as they are
// for all of a reading.
func (r *reading) offers(ctx context.Context) error {
	if r.family != (family{}) {
		return nil
	}
	// A chip that does not say whether it knows extended lengths is asked here,
	// where a refusal costs one command and no session.
	long := r.sizes.extended == unknown
	access, sw, err := r.free(ctx, lds.CardAccess, long)
	if err == nil && (sw == apdu.Conditions || sw == apdu.NoCurrent) {
		// Some chips begin in another application, and are no chips without PACE.
		if _, err = r.plain(ctx, apdu.Command{INS: 0xA4, P2: 0x0C, Data: masterFile}); err == nil {
			access, sw, err = r.free(ctx, lds.CardAccess, long)
		}
	}
	if long && (errors.Is(err, errLink) || err == nil && (sw == apdu.WrongLength || sw>>8 == 0x6C)) {
		why := err
		if err == nil {
			why = &apdu.StatusError{Command: "READ BINARY", SW: sw}
		}
		r.short(why)
		access, sw, err = r.free(ctx, lds.CardAccess, false)
	}
	if err != nil {
		return err
	}
	switch {
	case len(access) > 0:
		if long && r.sizes.extended == unknown {
			r.sizes.extended = yes
		}
		r.doc.Files[lds.CardAccess.Name] = access
		infos, err := lds.ParseSecurity(lds.CardAccess, access)
		if err != nil {
			r.instead("%v", err)
		}
		r.infos = pace.Parse(infos)
	case !r.o.SkipPACE:
		r.instead("no EF.CardAccess: %v", sw)
	}
	r.family = familyOf(r.card.ATR(), access)
	if s, ok := r.o.Memory.recall(r.family); ok {
		r.sizes = s
		return nil
	}
	if r.sizes.told {
		b, _, err := r.free(ctx, lds.ATRInfo, false)
		if err != nil {
			return err
		}
		r.sizes.attributes(b)
	}
	return nil
}

// free reads a file of the master file without a session; there is none if the
// status word is another than 9000.
func (r *reading) free(ctx context.Context, f lds.File, long bool) ([]byte, apdu.SW, error) {
	var b []byte
	c := apdu.Command{INS: 0xB0, P1: 0x80 | f.SFI, Ne: 256}
	if long {
		c.Ne = probe
	}
	for {
		resp, err := r.plain(ctx, c)
		if err != nil {
			return nil, 0, err
		}
		if resp.SW != apdu.OK && resp.SW != apdu.EndOfFile {
			return b, resp.SW, nil
		}
		if len(resp.Data) > apdu.MaxData || len(b)+len(resp.Data) > f.Most {
			return nil, 0, fmt.Errorf("%w: EF.%s is longer than %d bytes", ErrBound, f.Name, f.Most)
		}
		b = append(b, resp.Data...)
		// EF.ATR/INFO is a list of data objects, which ends where the file does.
		tag, n, head, err := lds.Header(b)
		if f.Tag != 0 && (err != nil || tag != f.Tag || head+n <= len(b)) || len(resp.Data) < c.Ne || resp.SW == apdu.EndOfFile {
			return b, apdu.OK, nil
		}
		c.P1, c.P2 = byte(len(b)>>8), byte(len(b))
	}
}

// tryZones tries the printed zone, and then what an optical reader may have
// meant by it. A zone that opens the chip is the printed one.
func (r *reading) tryZones(try func() error) error {
	err := try()
	if !errors.Is(err, ErrPassword) || r.o.CAN != "" || r.o.Candidates <= 0 {
		return err
	}
	printed := r.key
	tried := []string{printed.Information()}
	for _, z := range mrz.Alternatives(printed.Lines()...) {
		if len(tried) > min(r.o.Candidates, 8) {
			break
		}
		if slices.Contains(tried, z.Information()) {
			continue
		}
		tried = append(tried, z.Information())
		r.key = z
		if next := try(); !errors.Is(next, ErrPassword) {
			if next == nil {
				r.instead("the printed zone was misread: its %d. reading opens the chip", len(tried))
				r.o.Candidates = 0
			}
			return next
		}
	}
	r.key = printed
	return err
}

// tryPACE runs PACE by the first of the chip's offers that works: chip
// authentication mapping first, which proves the chip at no cost, then in the
// chip's order.
func (r *reading) tryPACE(ctx context.Context) (bool, error) {
	list := slices.Clone(r.infos)
	slices.SortStableFunc(list, func(a, b pace.Info) int {
		rank := func(i pace.Info) int {
			if i.Mapping == pace.CAM && !r.mapping.off {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	for _, i := range list {
		if !i.Supported() {
			r.instead("%v is not supported", i)
			continue
		}
		err := r.tryZones(func() error { return r.pace(ctx, i) })
		if errors.Is(err, errUnsupported) {
			r.instead("%v: %v", i, err)
			continue
		}
		if err != nil {
			return false, err
		}
		r.doc.Access = i.String()
		r.check("access", Successful, "%v", i)
		if err := r.checkMapping(ctx); err != nil {
			return false, err
		}
		if r.mapping.off && r.session == nil {
			return false, errSession
		}
		err = r.selectApplication(ctx)
		if apdu.HasStatus(err, apdu.NoFile, apdu.Conditions) {
			if _, err = r.send(ctx, apdu.Command{INS: 0xA4, P2: 0x0C, Data: masterFile}); err == nil {
				err = r.selectApplication(ctx)
			}
		}
		return true, err
	}
	return false, nil
}

// triesLeft of a CAN below which a chip is not asked: it may lock itself.
const triesLeft = 2

// setPACE chooses protocol, password and domain parameters. Some chips want the
// parameters named, others refuse the name: they are, and on 6A80 they are not.
func (r *reading) setPACE(ctx context.Context, i pace.Info, password byte) error {
	oid, err := encodeOID(i.OID)
	if err != nil {
		return err
	}
	set := append(lds.Make(0x80, oid), lds.Make(0x83, []byte{password})...)
	named := append(slices.Clone(set), lds.Make(0x84, []byte{byte(i.Parameter)})...)
	c := apdu.Command{INS: 0x22, P1: 0xC1, P2: 0xA4, Data: named}
	resp, err := r.plain(ctx, c)
	if err == nil && resp.SW == apdu.WrongData {
		c.Data = set
		resp, err = r.plain(ctx, c)
	}
	switch {
	case err != nil:
		return err
	case resp.SW == apdu.OK:
		return nil
	case resp.SW>>4 == 0x63C:
		if left := int(resp.SW & 0xF); r.o.CAN != "" && left <= triesLeft && !r.o.Force {
			return fmt.Errorf("%w: the chip has %d tries left", ErrPassword, left)
		}
		return nil
	}
	err = &apdu.StatusError{Command: "MSE:Set AT", SW: resp.SW}
	if apdu.HasStatus(err, refusals...) {
		return fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return err
}

// refusals of parameters, as chips word them.
var refusals = []apdu.SW{apdu.WrongData, apdu.NoReference, apdu.NotSupported, apdu.WrongP1P2, apdu.BadINS}

// pace runs the protocol (Doc 9303-11 §4.4.4).
func (r *reading) pace(ctx context.Context, i pace.Info) error {
	password, secret := byte(1), []byte(r.o.CAN)
	if r.o.CAN != "" {
		password = 2
	} else {
		secret = pace.PasswordMRZ(r.key.Information())
	}
	if err := r.setPACE(ctx, i, password); err != nil {
		return err
	}
	step := func(send, want uint32, data []byte) ([]byte, error) {
		var b []byte
		if send != 0 {
			b = lds.Make(send, data)
		}
		dyn, err := r.general(ctx, b, true)
		if err != nil {
			return nil, err
		}
		v, ok := lds.Find(dyn, want)
		if !ok && want != 0 {
			return nil, fmt.Errorf("%w: no data object %X", ErrProtocol, want)
		}
		return v, nil
	}
	nonce, err := step(0, 0x80, nil)
	if apdu.HasStatus(err, refusals...) {
		return fmt.Errorf("%w: %w", errUnsupported, err)
	}
	if err != nil {
		return err
	}
	run, err := pace.Start(i, secret, nonce, r.o.Random)
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
	chip, err := step(0x81, answer, own)
	if err != nil {
		return err
	}
	if err := run.MapWith(chip); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if own, err = run.Agree(); err != nil {
		return err
	}
	if chip, err = step(0x83, 0x84, own); err != nil {
		return err
	}
	if err := run.AgreeWith(chip); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return r.finishPACE(ctx, i, run)
}

// finishPACE exchanges the tokens. The last answer may also name the chip's
// trust points for Terminal Authentication (87, 88) and hold the proof of the
// chip authentication mapping (8A).
func (r *reading) finishPACE(ctx context.Context, i pace.Info, run *pace.Run) error {
	token, err := run.OwnToken()
	if err != nil {
		return err
	}
	dyn, err := r.general(ctx, lds.Make(0x85, token), false)
	if err != nil {
		return wrongPassword(err)
	}
	theirs, ok := lds.Find(dyn, 0x86)
	if !ok {
		return fmt.Errorf("%w: no token", ErrProtocol)
	}
	secret, err := run.Finish(theirs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPassword, err)
	}
	r.chipID, r.cars = run.ChipID(), nil
	for _, tag := range []uint32{0x87, 0x88} {
		if v, ok := lds.Find(dyn, tag); ok && len(v) <= 16 {
			r.cars = append(r.cars, string(v))
		}
	}
	r.mapping.run, r.mapping.data = nil, nil
	if i.Mapping == pace.CAM {
		r.mapping.run, r.mapping.info = run, i
		r.mapping.data, _ = lds.Find(dyn, 0x8A)
	}
	r.current = 0
	r.session, err = sm.New(i.Cipher, secret, make([]byte, i.Cipher.BlockLen()))
	return err
}

// general is GENERAL AUTHENTICATE; chained is for all but the last command. It
// returns the dynamic authentication data.
func (r *reading) general(ctx context.Context, data []byte, chained bool) ([]byte, error) {
	c := apdu.Command{INS: 0x86, Data: lds.Make(0x7C, data), Ne: 256}
	if chained {
		c.CLA = 0x10
	}
	if len(data) > 200 && r.sizes.extended == yes {
		c.Ne = 65536 // a key of 2,048 bits does not come back in a short answer
	}
	resp, err := r.must(ctx, "GENERAL AUTHENTICATE", c)
	if err != nil {
		return nil, err
	}
	dyn, ok := lds.Find(resp, 0x7C)
	if !ok {
		return nil, fmt.Errorf("%w: no dynamic authentication data", ErrProtocol)
	}
	return dyn, nil
}

// wrongPassword tells the status words that mean that the password was wrong.
func wrongPassword(err error) error {
	var e *apdu.StatusError
	if errors.As(err, &e) && (e.SW == apdu.WrongPassword || e.SW>>4 == 0x63C || e.SW == apdu.SecurityStatus || e.SW == apdu.WrongSM || e.SW == apdu.Conditions) {
		return fmt.Errorf("%w: %w", ErrPassword, err)
	}
	return err
}

// bac is Basic Access Control (§4.3).
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
	r.current, r.chipID = 0, nil
	r.doc.Access = "BAC"
	r.check("access", Successful, "BAC")
	return nil
}

// again opens a new session after one that cannot be trusted any more. Three
// are allowed to a document.
func (r *reading) again(ctx context.Context, why error) error {
	if r.reauth--; r.reauth < 0 {
		return fmt.Errorf("%w: %w: %w", ErrProtocol, errSession, why)
	}
	r.doc.Again++
	r.check("session", Undetermined, "authenticated again: %v", why)
	had := r.session != nil
	r.session, r.current, r.pending, r.mapping.run = nil, 0, nil, nil
	// Back to the master file: PACE runs before the application is selected. A
	// chip without access control has no session to end.
	if _, err := r.plain(ctx, apdu.Command{INS: 0xA4, P2: 0x0C, Data: masterFile}); err != nil {
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	if had && r.session == nil {
		return fmt.Errorf("%w: the chip has no access control any more", ErrProtocol)
	}
	return nil
}
