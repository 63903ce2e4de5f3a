package emrtd

import (
	"context"
	"errors"
	"fmt"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/sm"
)

// errEnd says that a file ends before its own length.
var errEnd = errors.New("the file ends early")

// file reads a whole elementary file of the application by its short
// identifier: the first read is large, and the length in it says how much
// remains. A reading that is torn goes on where it was.
func (r *reading) file(ctx context.Context, f lds.File) ([]byte, error) {
	defer r.step(f.Name)()
	var b []byte
	want := 0 // unknown
	for want == 0 || len(b) < want {
		ask := r.block()
		if want > 0 {
			ask = min(ask, want-len(b))
		}
		chunk, err := r.chunk(ctx, f, len(b), ask)
		if err != nil {
			if err = r.recover(ctx, f, len(b), ask, err); err != nil {
				return nil, err
			}
			continue
		}
		if len(chunk) == 0 {
			return nil, fmt.Errorf("%w: %s: %w after %d of %d bytes", ErrProtocol, f.Name, errEnd, len(b), want)
		}
		r.torn = 0
		b = append(b, chunk...)
		if want == 0 {
			if want, err = r.length(f, b); err != nil {
				return nil, err
			}
		}
		if r.o.Progress != nil {
			r.o.Progress(Progress{f.Name, min(len(b), want), want})
		}
	}
	b = b[:want:want]
	if old := r.doc.Files[f.Name]; old != nil {
		r.held -= len(old)
	}
	r.held += len(b)
	r.doc.Files[f.Name] = b
	return b, nil
}

// length is how long a file says that it is. What is too long is not read.
func (r *reading) length(f lds.File, b []byte) (int, error) {
	_, n, head, err := lds.Header(b)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrProtocol, f.Name, err)
	}
	if n > f.Most-head {
		return 0, fmt.Errorf("%w: %s wants %d bytes", ErrBound, f.Name, n)
	}
	if r.held+head+n > maxHeld {
		return 0, fmt.Errorf("%w: %s wants %d bytes, and %d are held", ErrBound, f.Name, n, r.held)
	}
	return head + n, nil
}

// recover finds a way on after a read of n bytes at offset failed, or returns
// why there is none.
func (r *reading) recover(ctx context.Context, f lds.File, offset, n int, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if at := int(f.FID)<<24 | offset; r.offset != at {
		r.offset, r.torn = at, 0
	}
	r.torn++
	switch {
	case gone(err) && r.pending != nil:
		// The keys that were to prove the chip have gone with its session.
		v := r.pending.variant
		if err = r.back(ctx, n, err); err != nil {
			return err
		}
		return r.chipAuthentication(ctx, v)
	case gone(err):
		return r.back(ctx, n, err)
	case errors.Is(err, errLink) && n > r.shortBlock() && r.session != nil:
		// The reader does not know extended lengths: the chip heard nothing.
		r.session.Back()
		r.short(err)
		return nil
	case r.pending != nil && sessionLost(err):
		// The first answer under the new keys is the chip's proof.
		return r.chipAgain(ctx, r.pending.variant, err)
	case errors.Is(err, sm.ErrNaked):
		return r.naked(ctx, n, err)
	case sessionLost(err):
		return r.again(ctx, err)
	case apdu.HasStatus(err, apdu.WrongLength), statusClass(err) == 0x6C:
		return r.shorter(n, err)
	case statusClass(err) == 0x6F && r.torn < 2:
		return nil // an execution error that the session outlived: once more
	}
	return err
}

// statusClass is the first byte of the status word that err carries.
func statusClass(err error) byte {
	var e *apdu.StatusError
	if !errors.As(err, &e) {
		return 0
	}
	return byte(e.SW >> 8)
}

// naked treats a status word without secure messaging. The chip may not have
// counted the command, and may still have the session: a short read at the
// counter of before finds out, and if it is answered naked again the session
// has gone. The counter never moves for an answer that is not authentic.
func (r *reading) naked(ctx context.Context, n int, err error) error {
	if n > r.shortBlock() && (apdu.HasStatus(err, apdu.WrongLength) || statusClass(err) == 0x6C) {
		r.short(err)
	}
	if r.torn > 1 || apdu.HasStatus(err, apdu.WrongSM, apdu.NoSM) {
		return r.again(ctx, err)
	}
	r.session.Back()
	r.sizes.once = shortest
	return nil
}

// shorter steps down after a length that the chip refused under a session that
// is still good. 6Cxx tells the length that it would have liked: what is left of
// this file, or, where it says the same again, the most that it gives.
func (r *reading) shorter(n int, err error) error {
	var e *apdu.StatusError
	if errors.As(err, &e) && e.SW>>8 == 0x6C && e.SW&0xFF > 0 && int(e.SW&0xFF) < n {
		want := int(e.SW & 0xFF)
		if want == r.sizes.hint && want >= shortest {
			r.sizes.limit = want
		}
		r.sizes.once, r.sizes.hint = want, want
		return nil
	}
	if n > r.shortBlock() && !r.sizes.proven && r.sizes.response == 0 {
		r.short(err)
		return nil
	}
	if n <= shortest || !r.less(n) {
		return err
	}
	return nil
}

// gone says whether err means that the card is no longer in the field.
func gone(err error) bool { return errors.Is(err, apdu.ErrRemoved) || errors.Is(err, errSilent) }

// back waits for a card that was lost in a read of n bytes, 0 for none, to lie
// there again. One that fell silent is asked for half as much: it may have been
// the long answer that was too much for the field. What another card shows from
// here on is held against the security object of the first: it can only be the
// same data.
func (r *reading) back(ctx context.Context, n int, why error) error {
	for r.o.Back != nil && r.reauth > 0 {
		card, err := r.o.Back(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", why, err)
		}
		r.card = card
		if errors.Is(why, errSilent) && n/2 > shortest {
			r.sizes.limit = n / 2
		}
		if err = r.again(ctx, why); !gone(err) {
			return err
		}
		why = err
	}
	return why
}

// oddOffset is the first offset that READ BINARY cannot name.
const oddOffset = 0x8000

// chunk reads at most n bytes at an offset.
func (r *reading) chunk(ctx context.Context, f lds.File, offset, n int) ([]byte, error) {
	if r.sizes.once > 0 {
		n, r.sizes.once = min(n, r.sizes.once), 0
	}
	c := apdu.Command{INS: 0xB0, Ne: n}
	switch {
	case offset <= 0xFF && r.current != f.SFI || offset == 0:
		c.P1, c.P2 = 0x80|f.SFI, byte(offset)
	case offset < oddOffset:
		if r.current != f.SFI { // after a new session
			if _, err := r.must(ctx, "SELECT "+f.Name, apdu.Command{INS: 0xA4, P1: 2, P2: 0x0C, Data: []byte{byte(f.FID >> 8), byte(f.FID)}}); err != nil {
				return nil, err
			}
			r.current = f.SFI
		}
		c.P1, c.P2 = byte(offset>>8), byte(offset)
	default: // odd instruction with the offset in DO54, the data in DO53
		c.INS, c.P2 = 0xB1, f.SFI
		c.Data = lds.Make(0x54, []byte{byte(offset >> 16), byte(offset >> 8), byte(offset)})
		n = min(n, max(r.block()-6, 1))
		c.Ne = n + 6 // the longest header of DO53
	}
	resp, err := r.send(ctx, c)
	if err != nil {
		return nil, err
	}
	end := resp.SW == apdu.EndOfFile || resp.SW == apdu.WrongOffset && offset > 0
	if resp.SW != apdu.OK && !end {
		return nil, &apdu.StatusError{Command: "READ BINARY " + f.Name, SW: resp.SW}
	}
	r.current = f.SFI
	r.sizes.proven = r.sizes.proven || n > r.shortBlock()
	data := resp.Data
	if c.INS == 0xB1 && len(data) > 0 {
		v, ok := lds.Find(data, 0x53)
		if !ok {
			return nil, fmt.Errorf("%w: %s: no data object 53", ErrProtocol, f.Name)
		}
		data = v
	}
	// More than was asked for is none of ours.
	return data[:min(len(data), n)], nil
}
