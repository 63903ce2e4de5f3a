package emrtd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/sm"
)

// Time-outs of one command, as long as slow chips need; those of key agreements
// take seconds. Waiting time extensions are within.
const (
	usual = 5 * time.Second
	slow  = 15 * time.Second
)

// errSilent says that the chip did not answer within a command's time.
var errSilent = errors.New("emrtd: the chip does not answer")

// errLink says that the reader could not send a command or take the answer.
var errLink = errors.New("emrtd: the reader")

// lost says whether err ends the reading, rather than the attempt at one file.
func lost(err error) bool {
	if err == nil {
		return false
	}
	for _, e := range []error{apdu.ErrRemoved, errSilent, errLink, sm.ErrNaked, sm.ErrMAC, errSession, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, ErrPassword)
}

// transmit sends bytes and counts them.
func (r *reading) transmit(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	b, err := c.Bytes()
	if err != nil {
		return apdu.Response{}, err
	}
	if r.doc.APDUs++; r.doc.APDUs > maxAPDUs {
		return apdu.Response{}, fmt.Errorf("%w: more than %d commands: %w", ErrBound, maxAPDUs, errSession)
	}
	limit := usual
	switch c.INS {
	case 0x86, 0x88, 0x82, 0x22, 0x2A:
		limit = slow
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := r.card.Transmit(within, b)
	switch {
	case err == nil, errors.Is(err, apdu.ErrRemoved), ctx.Err() != nil:
	case within.Err() != nil:
		err = fmt.Errorf("%w within %v", errSilent, limit)
	default:
		err = fmt.Errorf("%w: %w", errLink, err)
	}
	if err != nil {
		return apdu.Response{}, fmt.Errorf("emrtd: %02X: %w", c.INS, err)
	}
	r.sent, r.received = r.sent+len(b), r.received+len(raw)
	r.doc.Bytes += len(b) + len(raw)
	return apdu.ParseResponse(raw)
}

// collect sends a command as it is, and collects an answer that comes in parts
// (61xx).
func (r *reading) collect(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	resp, err := r.transmit(ctx, c)
	for parts := 0; err == nil && resp.SW>>8 == 0x61; parts++ {
		if parts >= maxParts {
			return resp, fmt.Errorf("%w: an answer in more than %d parts: %w", ErrBound, maxParts, errSession)
		}
		ne := int(resp.SW & 0xFF)
		if ne == 0 {
			ne = 256
		}
		var more apdu.Response
		if more, err = r.transmit(ctx, apdu.Command{INS: 0xC0, Ne: ne}); err == nil {
			resp = apdu.Response{Data: append(resp.Data, more.Data...), SW: more.SW}
		}
		if len(resp.Data) > apdu.MaxData {
			return resp, fmt.Errorf("%w: an answer of %d bytes: %w", ErrBound, len(resp.Data), errSession)
		}
	}
	return resp, err
}

// send sends a command, protected once a session runs, in parts if it is too
// long for the chip (command chaining).
func (r *reading) send(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	for most := r.commandSpace(); len(c.Data) > most; c.Data = c.Data[most:] {
		part := apdu.Command{CLA: c.CLA | 0x10, INS: c.INS, P1: c.P1, P2: c.P2, Data: c.Data[:most]}
		if resp, err := r.one(ctx, part); err != nil || resp.SW != apdu.OK {
			return resp, err
		}
	}
	return r.one(ctx, c)
}

// commandSpace is the most data of one command.
func (r *reading) commandSpace() int {
	n := 255
	if r.sizes.extended == yes {
		if n = apdu.MaxData; r.sizes.command > 16 {
			n = r.sizes.command - 9 // header and extended lengths
		}
	}
	if r.session == nil {
		return n
	}
	return r.session.Capacity(n) // DO97 of a command is no longer than DO99
}

// one sends one command.
func (r *reading) one(ctx context.Context, c apdu.Command) (resp apdu.Response, err error) {
	if r.o.Trace != nil {
		x := Exchange{At: time.Since(r.began), Command: c, Protected: r.session != nil, Sent: -r.sent, Received: -r.received}
		defer func() {
			x.Took, x.Response, x.Err = time.Since(r.began)-x.At, resp, err
			x.Sent, x.Received = x.Sent+r.sent, x.Received+r.received
			r.o.Trace(x)
		}()
	}
	if r.session == nil {
		return r.collect(ctx, c)
	}
	w, err := r.session.Wrap(c)
	if err != nil {
		return apdu.Response{}, err
	}
	if r.sizes.extended == no && w.Ne > 256 {
		w.Ne = 256
	}
	if resp, err = r.collect(ctx, w); err != nil {
		return resp, err
	}
	if resp, err = r.session.Unwrap(resp); err == nil {
		r.proved()
	}
	return resp, err
}

// plain sends a command without secure messaging, which ends a session.
func (r *reading) plain(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	r.session = nil
	return r.one(ctx, c)
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
