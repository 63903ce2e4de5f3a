package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grid-x/modbus"
)

// native is a gate that speaks ABC-LANE: a poll is one coherent frame, a command
// runs once under its sequence, and events are told in a ring. Those are the
// protocol's, not addresses, so it does not go through a register map
// (docs/decisions).
type native struct {
	*registers
	cfg     Config
	nextSeq uint16 // of the event ring
}

// identify reads the product code: FC43/14, or FC17 where a gate lacks it. It
// returns how the gate calls itself.
func (r *registers) identify() (string, error) {
	data, err := r.raw(43, []byte{14, 1, 0})
	var refused *modbus.Error
	switch {
	case errors.As(err, &refused):
		if data, err = r.raw(17, nil); err != nil {
			return "", fmt.Errorf("identify: %w", err)
		}
		if len(data) < 3 || !bytes.HasPrefix(data[3:], []byte("ABC-LANE")) {
			return "", &fatalError{errors.New("this is not an ABC-LANE gate: its server id says something else")}
		}
		return fmt.Sprintf("%.60q by FC17", data[3:]), nil
	case err != nil:
		return "", fmt.Errorf("identify: %w", err)
	}
	if product := object(data, 1); product != "ABC-LANE" {
		return "", &fatalError{fmt.Errorf("this is not an ABC-LANE gate: product code %.20q", product)}
	}
	return fmt.Sprintf("%.60q by FC43/14", object(data, 0)+" ABC-LANE "+object(data, 2)), nil
}

// begin takes up the event ring. What an earlier process has acknowledged is
// not read again: the whole ring takes seconds, in which nobody commands the
// gate.
func (n *native) begin(s Snapshot) error {
	acked, err := n.holding(0x0011, 1)
	if err != nil {
		return fmt.Errorf("acknowledged events: %w", err)
	}
	n.nextSeq = s.EventTail
	if next := acked[0] + 1; next-s.EventTail <= s.EventHead+1-s.EventTail {
		n.nextSeq = next
	}
	return nil
}

// object finds an object of a device identification.
func object(data []byte, id byte) string {
	if len(data) < 6 {
		return ""
	}
	for rest := data[6:]; len(rest) >= 2; {
		n := int(rest[1])
		if len(rest) < 2+n {
			return ""
		}
		if rest[0] == id {
			return string(rest[2 : 2+n])
		}
		rest = rest[2+n:]
	}
	return ""
}

// settle writes the parameters that differ, where the state allows it; else
// they stay to be done.
func (n *native) settle(ctx context.Context, s Snapshot) (done bool, err error) {
	v, err := n.holding(0x0100, 16)
	if err != nil {
		return false, fmt.Errorf("parameters: %w", err)
	}
	p := n.cfg.Params
	done = true
	for _, want := range []struct {
		index uint16
		value uint16
	}{
		{0x0, uint16(p.OpenMax.Milliseconds())},
		{0x1, uint16(p.CloseMax.Milliseconds())},
		{0x2, uint16(p.EntryHold.Milliseconds())},
		{0x3, uint16(p.ExitHold.Milliseconds())},
		{0xA, p.FallbackMode},
	} {
		if v[want.index] == want.value {
			continue
		}
		if s.State != SafeClosed && s.State != Maintenance {
			done = false
			continue
		}
		if err := busy(ctx, func() error { return n.write(0x0100+want.index, want.value) }); err != nil {
			return false, fmt.Errorf("parameter 0x%04X: %w", 0x0100+want.index, err)
		}
		v[want.index] = want.value
	}
	if v[0xA]&1 != 0 && !n.cfg.ExitOnFailure {
		return false, &fatalError{errors.New("the gate frees its exit on failure (FALLBACK_MODE bit 0): a cut cable would open the border; set exit_on_failure only if that is wanted")}
	}
	return done, nil
}

func (n *native) poll() (Snapshot, error) {
	// R1: dated at the request's start, after time-outs at the oldest request
	// that went unanswered since the last good reply: the first attempt's.
	at := time.Now()
	v, err := n.input(0, inputs)
	if err != nil {
		return Snapshot{}, fmt.Errorf("poll: %w", err)
	}
	return decode(v, at)
}

// pending says whether the ring holds events that have not been fetched.
func (n *native) pending(s Snapshot) bool { return s.EventHead+1 != n.nextSeq }

func (n *native) heartbeat(beat uint16) error {
	_, err := n.WriteSingleRegister(0x0010, beat)
	return err
}

func (n *native) command(c Command, seq uint16) error {
	return n.write(0x0000, uint16(c.Code), c.Arg0, c.Arg1, seq)
}

func (n *native) lights(l Lights) error {
	_, err := n.WriteMultipleCoils(0, 8, []byte{byte(l)})
	return err
}

// events fetches one window of the ring and acknowledges it (§8).
func (n *native) events(s Snapshot) ([]Event, error) {
	if lost := s.EventTail - n.nextSeq; lost >= 1 && lost < 1<<15 {
		n.nextSeq = s.EventTail
	}
	count := min(int(s.EventHead-n.nextSeq)+1, eventsAtOnce)
	slot := int(n.nextSeq % ringSize)
	count = min(count, ringSize-slot)
	if count <= 0 {
		return nil, nil
	}
	v, err := n.input(ringAt+uint16(slotSize*slot), uint16(slotSize*count))
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	list, _ := decodeEvents(v, n.nextSeq) // an overwritten slot: the next poll tells
	if len(list) == 0 {
		return nil, nil
	}
	n.nextSeq = list[len(list)-1].Seq + 1
	var refused *modbus.Error
	if _, err := n.WriteSingleRegister(0x0011, n.nextSeq-1); err != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("acknowledge events: %w", err)
	}
	return list, nil
}
