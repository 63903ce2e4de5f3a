package gate

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Reader tells frames in the words of ABC-LANE. It remembers the poll before,
// to say what has changed since.
type Reader struct {
	last []uint16
}

var (
	inputNames = map[uint16]string{
		0x00: "PROTO_VER", 0x01: "BOOT_COUNT", 0x04: "STATE", 0x05: "ENTRY_DOOR", 0x06: "EXIT_DOOR", 0x07: "ZONES", 0x08: "PERSONS", 0x0D: "FAULTS", 0x0E: "ALARMS",
		0x0F: "EVT_HEAD", 0x11: "CMD_SEQ_DONE", 0x12: "CMD_RESULT", 0x14: "WD_STATE", 0x18: "OUTPUTS", 0x19: "LINK_ERR",
	}
	paramNames = [params]string{
		"T_OPEN_MAX_MS", "T_CLOSE_MAX_MS", "T_ENTRY_HOLD_MS", "T_EXIT_HOLD_MS", "T_CLEAR_MS", "T_DWELL_S", "T_BLOCKED_S", "FORCE_LIMIT_N",
		"REVERSAL_MODE", "REVERSAL_MAX", "FALLBACK_MODE", "WD_TIMEOUT_MS", "RESP_DELAY_MS", "SLAVE_ADDR", "BAUD", "FORMAT",
	}
	exceptions  = map[byte]string{1: "01 no such function", 2: "02 no such address", 3: "03 bad value", 4: "04 not in this state", 6: "06 busy"}
	causeNames  = []string{"", "return", "command", "watchdog", "fire", "egress button", "power", "forced leaf", "jam or force", "lock or both open", "self-test"}
	outputNames = []string{
		"entry arrow", "entry cross", "exit arrow", "exit cross", "green", "red", "amber", "buzzer", "entry locked", "exit locked",
		"fire relay", "egress free", "entry motor", "exit motor", "on battery", "lights overridden",
	}
	eventNames  = []string{"", "BOOT", "STATE", "CMD", "DOOR", "REVERSAL", "FAULT_SET", "FAULT_CLEAR", "ALARM_SET", "ALARM_CLEAR", "CROSSED", "NO_ENTRY", "RETURNED", "WD_TRIP", "WD_RESUME", "PARAM", "POWER"}
	zoneNames   = []string{"S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7"}
	resultWords = map[uint8]string{
		0: "NONE", 1: "OK", 2: "IN_PROGRESS", 16: "BAD_CODE", 17: "BAD_ARG", 18: "INTERLOCK", 19: "BAD_STATE", 20: "WATCHDOG", 21: "FAULTED", 22: "ALARMED", 23: "LOCKED",
		24: "OCCUPANCY", 25: "BUSY", 32: "TIMEOUT", 33: "OBSTRUCTED", 34: "ABORTED",
	}
)

func of(list []string, i int) string {
	if i >= 0 && i < len(list) && list[i] != "" {
		return list[i]
	}
	return fmt.Sprint(i)
}

// Told is a frame in words.
type Told struct {
	Text    string
	Routine bool // a poll that shows nothing new, a heartbeat
	Bad     bool // silence, an exception, a frame that nobody can read
}

// Tell tells what f says. It reads any bytes.
func (r *Reader) Tell(f Frame) Told {
	q := f.Request
	if len(q) < 4 || crc(q) != 0 {
		return Told{Text: "a frame that is none: " + f.Injected, Bad: true}
	}
	text, routine := r.request(q)
	t := Told{Text: text, Routine: routine}
	a := f.Reply
	switch {
	case len(a) == 0:
		t.Text, t.Bad = text+": silence", true
	case len(a) < 4 || crc(a) != 0:
		t.Text, t.Bad = text+": a reply that nobody can read", true
	case a[0] != q[0]:
		t.Text, t.Bad = fmt.Sprintf("%s: a reply of address %d", text, a[0]), true
	case a[1] == q[1]|0x80:
		t.Text, t.Bad = text+": exception "+exceptions[a[2]], true
	case a[1] != q[1]:
		t.Text, t.Bad = text+": a reply to another function", true
	default:
		said, news := r.reply(q, a[2:len(a)-2])
		if said != "" {
			t.Text += ": " + said
		}
		t.Routine = routine && !news
	}
	if f.Injected != "" {
		t.Text, t.Bad, t.Routine = t.Text+" ["+f.Injected+"]", true, false
	}
	if t.Bad {
		t.Routine = false
	}
	return t
}

// request says what is asked; routine for what is asked all the time.
func (r *Reader) request(q []byte) (text string, routine bool) {
	fc, d := q[1], q[2:len(q)-2]
	pair := func() (a, b uint16) {
		if len(d) >= 4 {
			a, b = binary.BigEndian.Uint16(d), binary.BigEndian.Uint16(d[2:])
		}
		return
	}
	at, n := pair()
	switch fc {
	case 4:
		switch {
		case at == 0 && n == 0x1A:
			return "poll", true
		case at >= 0x1000:
			return fmt.Sprintf("read %d event registers from slot %d", n, (at-0x1000)/5), false
		}
		return fmt.Sprintf("read %d inputs from 0x%04X", n, at), false
	case 3:
		if at == 0x100 {
			return fmt.Sprintf("read %d parameters", n), false
		}
		return fmt.Sprintf("read %d registers from 0x%04X", n, at), false
	case 6:
		switch {
		case at == 0x10:
			return fmt.Sprintf("HEARTBEAT %d", n), true
		case at == 0x11:
			return fmt.Sprintf("EVENT_ACK %d", n), true
		case at >= 0x100 && at < 0x100+params:
			return fmt.Sprintf("%s := %d", paramNames[at-0x100], n), false
		}
		return fmt.Sprintf("write 0x%04X := %d", at, n), false
	case 16:
		if at == 0 && n == 4 && len(d) == 13 {
			v := func(i int) uint16 { return binary.BigEndian.Uint16(d[5+2*i:]) }
			return fmt.Sprintf("%s(%d, %d), sequence %d", commandName(v(0)), v(1), v(2), v(3)), false
		}
		if at >= 0x100 && at < 0x100+params {
			return fmt.Sprintf("write %d parameters from %s", n, paramNames[at-0x100]), false
		}
		return fmt.Sprintf("write %d registers from 0x%04X", n, at), false
	case 1, 2:
		return fmt.Sprintf("read %d %s from %d", n, map[byte]string{1: "coils", 2: "discrete inputs"}[fc], at), false
	case 5, 15:
		if fc == 15 && len(d) == 6 && at == 0 {
			return "lights " + list(uint16(d[5]), outputNames), false
		}
		return fmt.Sprintf("write coils from %d", at), false
	case 17:
		return "who are you (FC17)", false
	case 43:
		return "who are you (FC43/14)", false
	}
	return fmt.Sprintf("function %d", fc), false
}

func list(bits uint16, names []string) string {
	if on := named(bits, names); len(on) > 0 {
		return strings.Join(on, ", ")
	}
	return "none"
}

// reply says what an ordinary answer holds, and whether that is new.
func (r *Reader) reply(q, d []byte) (text string, news bool) {
	switch q[1] {
	case 4:
		if len(d) < 1 || len(d) != 1+int(d[0]) || d[0]%2 != 0 {
			return "of a wrong length", true
		}
		v := make([]uint16, d[0]/2)
		for i := range v {
			v[i] = binary.BigEndian.Uint16(d[1+2*i:])
		}
		at := binary.BigEndian.Uint16(q[2:])
		switch {
		case at == 0 && len(v) == 0x1A:
			return r.poll(v)
		case at >= 0x1000:
			return events(v), true
		}
		return fmt.Sprint(v), true
	case 17:
		if len(d) > 3 {
			return fmt.Sprintf("%q", d[3:]), true
		}
	case 43:
		return printable(d), true
	}
	return "", false
}

func printable(d []byte) string {
	return strings.Join(strings.FieldsFunc(string(d), func(r rune) bool { return r < ' ' || r > '~' }), " · ")
}

// poll says what has changed since the poll before. Where the leaves are on
// their way, clocks and counters is nothing new.
func (r *Reader) poll(v []uint16) (text string, news bool) {
	var changes []string
	for a, now := range v {
		was := ^now
		if r.last != nil {
			was = r.last[a]
		}
		name, told := inputNames[uint16(a)]
		moving := a == 5 || a == 6
		if !told || now == was || moving && now>>8 == was>>8 && r.last != nil {
			continue
		}
		if a == 0x0F || a == 0x19 && r.last == nil || a == 0x01 && r.last == nil || r.last == nil && now == 0 && a != 4 {
			continue
		}
		changes = append(changes, name+" "+value(a, was, now))
	}
	r.last = v
	return strings.Join(changes, "; "), len(changes) > 0
}

// value is one input register in words.
func value(a int, was, now uint16) string {
	switch a {
	case 0x00:
		return fmt.Sprintf("%d.%d", now>>8, now&0xFF)
	case 0x04:
		s := of(StateNames, int(now&0xFF))
		if cause := now >> 8; cause != 0 {
			s += " (" + of(causeNames, int(cause)) + ")"
		}
		return s
	case 0x05, 0x06:
		return fmt.Sprintf("%s %d %%", of(leafNames, int(now>>8)), now&0xFF)
	case 0x07:
		return list(now, zoneNames)
	case 0x0D:
		return list(now, FaultNames)
	case 0x0E:
		return list(now, AlarmNames)
	case 0x12:
		word, ok := resultWords[uint8(now)]
		if !ok {
			word = fmt.Sprint(now & 0xFF)
		}
		return commandName(now>>8) + " " + word
	case 0x14:
		return of([]string{"DISARMED", "RUNNING", "TRIPPED"}, int(now))
	case 0x18:
		return list(now, outputNames)
	}
	return fmt.Sprint(now)
}

// events are the events of a window of the ring.
func events(v []uint16) string {
	var told []string
	for ; len(v) >= 5; v = v[5:] {
		if v[3] == 0 {
			continue
		}
		arg := fmt.Sprint(v[4])
		switch v[3] {
		case 2:
			arg = of(StateNames, int(v[4]>>8)) + " → " + of(StateNames, int(v[4]&0xFF))
		case 3:
			arg = fmt.Sprintf("%s, sequence …%d", resultWords[uint8(v[4]>>8)], v[4]&0xFF)
		case 4:
			arg = of([]string{"entry", "exit"}, int(v[4]>>8)) + " " + of(leafNames, int(v[4]&0xFF))
		case 6, 7:
			arg = of(FaultNames, int(v[4]))
		case 8, 9:
			arg = of(AlarmNames, int(v[4]))
		}
		told = append(told, fmt.Sprintf("#%d %s %s", v[0], of(eventNames, int(v[3])), arg))
	}
	return strings.Join(told, "; ")
}
