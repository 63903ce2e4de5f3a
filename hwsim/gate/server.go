package gate

import (
	"encoding/binary"
	"time"
)

// Modbus exceptions (§3).
const (
	exFunction = 1
	exAddress  = 2
	exValue    = 3
	exState    = 4
)

// Handle answers one request frame, or returns nil where the gate stays
// silent: another address, a broadcast, a bad checksum or length.
func (g *Gate) Handle(frame []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handle(frame)
}

func (g *Gate) handle(frame []byte) []byte {
	if g.off {
		return nil
	}
	if len(frame) < 4 || len(frame) > 256 || crc(frame) != 0 {
		g.linkErr++
		return nil
	}
	if frame[0] != g.addr {
		return nil // for somebody else, or a broadcast
	}
	fc, data := frame[1], frame[2:len(frame)-2]
	answer := g.function
	if g.foreign != nil {
		answer = func(fc byte, d []byte) ([]byte, byte) { return g.foreign.function(g, fc, d) }
	}
	reply, ex := answer(fc, data)
	out := []byte{g.addr, fc}
	if ex != 0 {
		out = append(out, 0)
		out[1] |= 0x80
		out[2] = ex
	} else {
		out = append(out, reply...)
	}
	return binary.LittleEndian.AppendUint16(out, crc(out))
}

// crc is Modbus's CRC-16: polynomial 0xA001 reflected, start 0xFFFF. Over a
// frame with its own checksum it is 0.
func crc(b []byte) uint16 {
	c := uint16(0xFFFF)
	for _, x := range b {
		c ^= uint16(x)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ 0xA001
			} else {
				c >>= 1
			}
		}
	}
	return c
}

func word(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

// function checks in the order 01, 03 (quantity), 02, 03 (value), 04.
func (g *Gate) function(fc byte, d []byte) ([]byte, byte) {
	switch fc {
	case 1, 2, 3, 4:
		if len(d) != 4 {
			return nil, exValue
		}
		return g.read(fc, word(d), word(d[2:]))
	case 5:
		if len(d) != 4 {
			return nil, exValue
		}
		return g.writeCoil(d)
	case 6:
		if len(d) != 4 {
			return nil, exValue
		}
		return g.writeRegister(d)
	case 15:
		return g.writeCoils(d)
	case 16:
		return g.writeRegisters(d)
	case 17:
		if len(d) != 0 {
			return nil, exValue
		}
		id := "ABC-LANE 1.0 " + g.cfg.Serial
		return append([]byte{byte(2 + len(id)), 0x41, 0xFF}, id...), 0
	case 43:
		return g.identify(d)
	}
	return nil, exFunction
}

func (g *Gate) read(fc byte, at, n uint16) ([]byte, byte) {
	most := uint16(125)
	if fc <= 2 {
		most = 2000
	}
	if n == 0 || n > most {
		return nil, exValue
	}
	within := func(first, last uint16) bool {
		return at >= first && uint32(at)+uint32(n)-1 <= uint32(last)
	}
	switch {
	case fc == 1 && within(0, 9):
		return bits(uint64(g.coils), at, n), 0
	case fc == 2 && within(0, 63):
		all := uint64(g.zones) | uint64(g.faults)<<16 | uint64(g.alarms)<<32 | uint64(g.outputs())<<48
		return bits(all, at, n), 0
	case fc == 3 && (within(0, 3) || within(0x10, 0x11) || within(0x100, 0x10F)):
		return g.words(at, n, g.holding), 0
	case fc == 4 && (within(0, 0x19) || within(0x20, 0x23)):
		return g.words(at, n, g.input), 0
	case fc == 4 && within(0x1000, 0x14FF):
		return g.words(at, n, g.slot), 0
	}
	return nil, exAddress
}

func bits(v uint64, at, n uint16) []byte {
	out := make([]byte, 1+(n+7)/8)
	out[0] = byte(len(out) - 1)
	for i := range n {
		if v>>(at+i)&1 == 1 {
			out[1+i/8] |= 1 << (i % 8)
		}
	}
	return out
}

func (g *Gate) words(at, n uint16, get func(uint16) uint16) []byte {
	out := []byte{byte(2 * n)}
	for i := range n {
		out = binary.BigEndian.AppendUint16(out, get(at+i))
	}
	return out
}

func (g *Gate) holding(a uint16) uint16 {
	switch {
	case a == 0:
		return g.lastCommand[0]
	case a == 1 || a == 2:
		return g.lastCommand[a]
	case a == 3:
		return g.seqDone
	case a == 0x10:
		return g.hb
	case a == 0x11:
		return g.acked
	}
	return g.param[a-0x100]
}

// input is one input register (§4).
func (g *Gate) input(a uint16) uint16 {
	up := g.uptime()
	door := func(l *leaf) uint16 {
		p := uint16(l.pos)
		if l.pos > 0 && p == 0 {
			p = 1
		}
		return uint16(l.state)<<8 | p
	}
	switch a {
	case 0x00:
		return 0x0100
	case 0x01:
		return g.boots
	case 0x02:
		return uint16(up >> 16)
	case 0x03:
		return uint16(up)
	case 0x04:
		return uint16(g.cause)<<8 | uint16(g.state)
	case 0x05:
		return door(g.entry)
	case 0x06:
		return door(g.exit)
	case 0x07:
		return uint16(g.zones)
	case 0x08:
		return uint16(g.persons)
	case 0x09, 0x0A, 0x0B, 0x0C:
		k := 2 * (a - 9)
		return uint16(g.edges[k+1])<<8 | uint16(g.edges[k])
	case 0x0D:
		return g.faults
	case 0x0E:
		return g.alarms
	case 0x0F:
		return g.head
	case 0x10:
		return g.oldest()
	case 0x11:
		return g.seqDone
	case 0x12:
		return g.resultCode<<8 | uint16(g.result)
	case 0x13:
		return g.hb
	case 0x14:
		return g.wd
	case 0x15:
		if g.wd != 1 {
			return 0
		}
		left := time.Duration(g.param[pWatchdog])*time.Millisecond - (g.now - g.wdAt)
		return uint16(max(0, left.Milliseconds()))
	case 0x16:
		return uint16(g.temp)
	case 0x17:
		return g.supply
	case 0x18:
		return g.outputs()
	case 0x19:
		return g.linkErr
	case 0x20:
		return g.entry.peak
	case 0x21:
		return g.exit.peak
	case 0x22:
		return g.entry.travel
	case 0x23:
		return g.exit.travel
	}
	return 0
}

// slot is one register of the event ring (§8).
func (g *Gate) slot(a uint16) uint16 {
	e := g.events[(a-0x1000)/5]
	return [5]uint16{e.seq, uint16(e.at >> 16), uint16(e.at), e.code, e.arg}[(a-0x1000)%5]
}

// steady says whether coils may be written.
func (g *Gate) steady() bool {
	return g.state != boot && g.state != fallback && g.state != evacuate && g.state != faulted
}

func (g *Gate) writeCoil(d []byte) ([]byte, byte) {
	at, v := word(d), word(d[2:])
	switch {
	case at > 9:
		return nil, exAddress
	case v != 0 && v != 0xFF00:
		return nil, exValue
	case !g.steady():
		return nil, exState
	}
	g.coils &^= 1 << at
	if v != 0 {
		g.coils |= 1 << at
	}
	return d, 0
}

func (g *Gate) writeCoils(d []byte) ([]byte, byte) {
	if len(d) < 5 {
		return nil, exValue
	}
	at, n := word(d), word(d[2:])
	switch {
	case n == 0 || n > 1968 || int(d[4]) != len(d)-5 || int(d[4]) != int(n+7)/8:
		return nil, exValue
	case uint32(at)+uint32(n) > 10:
		return nil, exAddress
	case !g.steady():
		return nil, exState
	}
	for i := range n {
		g.coils &^= 1 << (at + i)
		if d[5+i/8]>>(i%8)&1 == 1 {
			g.coils |= 1 << (at + i)
		}
	}
	return d[:4], 0
}

func (g *Gate) writeRegister(d []byte) ([]byte, byte) {
	at, v := word(d), word(d[2:])
	switch {
	case at == 0x10, at == 0x11:
		return d, g.small(at, v)
	case at >= 0x100 && at <= 0x10F:
		return d, g.parameters(at, []uint16{v})
	}
	return nil, exAddress
}

// small writes HEARTBEAT or EVENT_ACK.
func (g *Gate) small(at, v uint16) byte {
	if at == 0x10 {
		if v == 0 {
			return exValue
		}
		g.heartbeat(v)
		return 0
	}
	if d := v - g.oldest(); d > g.head-g.oldest() {
		return exValue
	}
	if v-g.acked < 1<<15 {
		g.acked = v
	}
	return 0
}

// heartbeat refreshes the watchdog only by a new value (§6).
func (g *Gate) heartbeat(v uint16) {
	if v == g.hb {
		return
	}
	g.hb = v
	limit := time.Duration(g.param[pWatchdog]) * time.Millisecond
	switch g.wd {
	case 0:
		g.wd = 1
		g.tell("watchdog", "running")
	case 2:
		if g.streak > 0 && g.now-g.wdAt > limit {
			g.streak = 0
		}
		if g.streak++; g.streak == 3 {
			g.wd = 1
			g.event(14, g.hb)
			g.tell("watchdog", "running")
		}
	}
	g.wdAt = g.now
}

// parameters writes all or nothing.
func (g *Gate) parameters(at uint16, v []uint16) byte {
	i := int(at - 0x100)
	for k, x := range v {
		if r := paramRange[i+k]; x < r[0] || x > r[1] {
			return exValue
		}
	}
	if g.state != safeClosed && g.state != maintenance {
		return exState
	}
	for k, x := range v {
		if g.param[i+k] != x {
			g.param[i+k] = x
			g.event(15, at+uint16(k))
		}
	}
	return 0
}

func (g *Gate) writeRegisters(d []byte) ([]byte, byte) {
	if len(d) < 5 {
		return nil, exValue
	}
	at, n := word(d), word(d[2:])
	if n == 0 || n > 123 || int(d[4]) != len(d)-5 || int(d[4]) != 2*int(n) {
		return nil, exValue
	}
	v := make([]uint16, n)
	for i := range v {
		v[i] = word(d[5+2*i:])
	}
	last := uint32(at) + uint32(n) - 1
	switch {
	case at == 0 && n == 4:
		return d[:4], g.command(v)
	case at <= 3:
		return nil, exAddress
	case at >= 0x10 && last <= 0x11:
		for i, x := range v {
			if ex := g.small(at+uint16(i), x); ex != 0 {
				return nil, ex
			}
		}
		return d[:4], 0
	case at >= 0x100 && last <= 0x10F:
		return d[:4], g.parameters(at, v)
	}
	return nil, exAddress
}

func (g *Gate) identify(d []byte) ([]byte, byte) {
	if len(d) != 3 || d[0] != 14 || d[1] < 1 || d[1] > 4 {
		return nil, exValue
	}
	objects := map[byte]string{0: "Passage simulator", 1: "ABC-LANE", 2: "1.0", 0x80: g.cfg.Serial}
	ids := []byte{0, 1, 2}
	switch {
	case d[1] == 4:
		if _, ok := objects[d[2]]; !ok {
			return nil, exAddress
		}
		ids = []byte{d[2]}
	case d[1] == 3:
		ids = append(ids, 0x80)
	}
	out := []byte{14, d[1], 0x83, 0, 0, byte(len(ids))}
	for _, id := range ids {
		out = append(append(out, id, byte(len(objects[id]))), objects[id]...)
	}
	return out, 0
}

// command is §7: sequence rules, then refusals in ascending order.
func (g *Gate) command(v []uint16) byte {
	code, arg0, arg1, seq := v[0], v[1], v[2], v[3]
	d := seq - g.seqDone
	switch {
	case seq == 0 || d >= 1<<15:
		return exValue
	case d == 0 && [3]uint16{code, arg0, arg1} == g.lastCommand:
		return 0 // a repeat: answered, not executed again
	case d == 0:
		return exValue
	}
	g.seqDone, g.resultCode, g.lastCommand = seq, code, [3]uint16{code, arg0, arg1}
	g.result = g.refuse(code, arg0, arg1)
	if g.result == 0 {
		g.result = g.accept(code, arg0, arg1, seq)
	}
	g.event(3, uint16(g.result)<<8|seq&0xff)
	g.tell("command", commandName(code)+" "+resultName(g.result))
	return 0
}

func commandName(code uint16) string {
	names := []string{"NONE", "OPEN_ENTRY", "OPEN_EXIT", "OPEN_RETURN", "CLOSE_ALL", "SET_MODE", "CLEAR_ALARM", "CLEAR_FAULT", "EVACUATE", "MAINT_MOVE", "RESET"}
	if int(code) < len(names) {
		return names[code]
	}
	return "UNKNOWN"
}

func resultName(r uint8) string {
	switch r {
	case 1:
		return "OK"
	case 2:
		return "IN_PROGRESS"
	}
	return "REFUSED " + string('0'+rune(r/10)) + string('0'+rune(r%10))
}

func (g *Gate) in(states ...uint8) bool {
	for _, s := range states {
		if g.state == s {
			return true
		}
	}
	return false
}

// check is one row of a command's conditions: in ascending order of result.
type check struct {
	result uint8
	bad    bool
}

func first(checks ...check) uint8 {
	for _, c := range checks {
		if c.bad {
			return c.result
		}
	}
	return 0
}

// refuse returns the first refusal that applies, 16 to 25, or 0.
func (g *Gate) refuse(code, a0, a1 uint16) uint8 {
	wd := g.wd != 1
	alarmed := g.alarms&alBlocking != 0 || g.evacReq || g.state == evacuate
	moving := g.entry.dir != 0 || g.exit.dir != 0
	ajar := !g.entry.closed() || !g.exit.closed()
	badHold := a1 != 0 && (a1 < 500 || a1 > 30000)
	switch code {
	case 1:
		return first(
			check{17, a0 < 1 || a0 > 4 || badHold}, check{18, !g.exit.locked()}, check{19, g.state != ready}, check{20, wd},
			check{22, alarmed}, check{23, g.coils>>8&1 == 1}, check{24, g.zones&0x4C != 0})
	case 2:
		return first(
			check{17, a0 != 0 || badHold}, check{18, !g.entry.locked()}, check{19, g.state != occupiedState}, check{20, wd},
			check{22, alarmed}, check{23, g.coils>>9&1 == 1}, check{24, g.persons < 1 || g.most > 0 && g.persons > g.most || g.persons > 9})
	case 3:
		return first(
			check{17, a0 != 0 || badHold}, check{18, !g.exit.locked()}, check{19, !g.in(safeClosed, occupiedState)}, check{20, wd})
	case 4:
		return first(check{17, a0 != 0 || a1 != 0}, check{19, !g.in(1, 2, 3, 4, 5, 6, 9)})
	case 5:
		return g.refuseMode(a0, a1, wd, alarmed, moving || ajar)
	case 6, 7:
		return first(check{17, a0 == 0 || a1 != 0}, check{19, g.state == boot})
	case 8:
		return first(check{17, a0 > 1 || a1 != 0}, check{19, g.state == boot})
	case 9:
		other := g.exit
		if a0 == 1 {
			other = g.entry
		}
		return first(
			check{17, a0 > 1 || a1 > 1}, check{18, a1 == 1 && !other.locked()}, check{19, g.state != maintenance}, check{20, wd}, check{25, moving})
	case 10:
		return first(check{17, a0 != 0x5253 || a1 != 0}, check{19, !g.in(1, 6, 8, 9)}, check{25, moving})
	}
	return 16
}

func (g *Gate) refuseMode(a0, a1 uint16, wd, alarmed, unshut bool) uint8 {
	switch a0 {
	case 0:
		return first(
			check{17, a1 != 0}, check{19, !g.in(1, 2, 6, 7, 9)}, check{20, g.state == fallback && wd},
			check{21, g.state == maintenance && g.faults&ftBlocking != 0},
			check{22, g.state == evacuate && (g.alarms&(alFire|alEgress) != 0 || g.evacReq)},
			check{25, g.state != evacuate && unshut})
	case 1:
		return first(
			check{17, a1 != 0}, check{19, !g.in(1, 2)}, check{20, wd}, check{22, alarmed}, check{24, g.occupied()}, check{25, unshut})
	case 2:
		return first(
			check{17, a1 != 0x4D54}, check{19, !g.in(1, 3, 8, 9) || g.state == entryOpen && g.cause == causeReturn})
	}
	return 17
}

// accept starts an accepted command and returns its first result.
func (g *Gate) accept(code, a0, a1, seq uint16) uint8 {
	const inProgress = 2
	motion := code <= 4 || code == 9
	if motion && g.running != nil {
		old := g.running
		g.running = nil
		g.event(3, 34<<8|old.seq&0xff)
	}
	run := func(limit time.Duration) uint8 {
		g.running = &running{code, seq, g.now + 2*limit}
		return inProgress
	}
	openMax := time.Duration(g.param[pOpenMax]) * time.Millisecond
	closeMax := time.Duration(g.param[pCloseMax]) * time.Millisecond
	switch code {
	case 1:
		g.most = int(a0)
		g.returned, g.fromSafe = false, false
		g.enter(entryOpen, causeNormal)
		g.open(g.entry, a1, pEntryHold)
		return run(openMax)
	case 2:
		g.enter(exitOpen, causeNormal)
		g.open(g.exit, a1, pExitHold)
		g.tell("opened_exit", "")
		return run(openMax)
	case 3:
		from := g.state
		g.enter(entryOpen, causeReturn)
		g.returned, g.fromSafe = true, from == safeClosed
		g.open(g.entry, a1, pEntryHold)
		return run(openMax)
	case 4:
		if g.entry.closed() && g.exit.closed() {
			return 1
		}
		g.closing = true
		g.entry.drive(-1)
		g.exit.drive(-1)
		return run(closeMax)
	case 5:
		return g.mode(a0, run, closeMax)
	case 6:
		return g.clear(a0, &g.alarms, g.alarmPersists(), 22, 9)
	case 7:
		return g.clear(a0, &g.faults, g.faultPersists(), 21, 7)
	case 8:
		g.evacReq = a0 == 1
		return 1
	case 9:
		l := g.entry
		if a0 == 1 {
			l = g.exit
		}
		if a1 == 1 {
			l.drive(1)
			return run(openMax)
		}
		l.drive(-1)
		return run(closeMax)
	}
	g.start(3)
	g.seqDone = 0
	return inProgress
}

func (g *Gate) mode(a0 uint16, run func(time.Duration) uint8, closeMax time.Duration) uint8 {
	switch a0 {
	case 0:
		g.entry.drive(-1)
		g.exit.drive(-1)
		if g.state == evacuate && (!g.entry.locked() || !g.exit.locked()) {
			return run(closeMax)
		}
		if g.state != safeClosed {
			g.enter(safeClosed, causeNormal)
		}
	case 1:
		if g.state != ready {
			g.enter(ready, causeNormal)
		}
	case 2:
		g.enter(maintenance, causeCommand)
	}
	return 1
}

// clear clears what can be cleared and reports what cannot (§7).
func (g *Gate) clear(mask uint16, bits *uint16, persists uint16, refused uint8, code uint16) uint8 {
	gone := *bits & mask &^ persists
	*bits &^= gone
	for i := range uint16(16) {
		if gone>>i&1 == 1 {
			g.event(code, i)
		}
	}
	if *bits&mask != 0 {
		return refused
	}
	return 1
}

// alarmPersists are alarms whose condition holds now (§5).
func (g *Gate) alarmPersists() uint16 {
	var p uint16
	set := func(bit uint16, on bool) {
		if on {
			p |= bit
		}
	}
	set(alFire, g.fire)
	set(alEgress, g.egress)
	set(alTamper, g.tamper)
	set(alTailgate, g.level(7) && (g.state == entryOpen || g.state == occupiedState))
	set(alMulti, g.state == occupiedState && g.inside > g.most && g.most > 0)
	set(alLuggage, g.level(6) && !g.occupied() && g.entry.closed() && g.exit.closed())
	set(alForcedEntry, g.entry.state == lsForced)
	set(alForcedExit, g.exit.state == lsForced)
	set(alDwell, g.state == occupiedState && g.now-g.since > time.Duration(g.param[pDwell])*time.Second)
	set(alIntrusion, g.occupied() && (g.state == safeClosed || g.state == ready))
	set(alWatchdog, g.wd == 2)
	set(alEntryBlocked, g.level(1) && g.closing && !g.entry.closed())
	set(alExitBlocked, g.level(4) && g.closing && !g.exit.closed())
	return p
}

// faultPersists are faults whose condition holds now; past occurrences such as
// JAM, SLOW and FORCE count as gone.
func (g *Gate) faultPersists() uint16 {
	var p uint16
	if g.supply < 21600 {
		p |= ftSupplyLow
	}
	if g.temp < -200 || g.temp > 600 {
		p |= ftTempRange
	}
	if g.head-g.acked > 0 && g.faults&ftEvtOverflow != 0 && g.acked != g.head {
		p |= ftEvtOverflow
	}
	if !g.entry.closed() && !g.exit.closed() {
		p |= ftBothOpen
	}
	for i, k := range []int{1, 4} {
		if g.stuckFor[i] > time.Minute && g.level(k) {
			p |= ftSensorStuck
		}
	}
	return p
}
