package passport

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

// Card is a chip in the field. Transmit answers one command at a time.
type Card struct {
	mu      sync.Mutex
	profile Profile
	random  io.Reader
	mf, app map[uint16][]byte // by file identifier
	aa      activeKey
	ca, cam pair

	// Rate is the contactless bit rate in kbit/s that Transmit takes the time
	// of, 106 to 848; 0 answers at once. FSC is the longest frame in bytes, 16
	// to 256; 0 is 256.
	Rate, FSC int
	// Tap is told every command with its answer; it may be nil. It must not
	// keep the card waiting.
	Tap func(Exchange)

	// What a loss of power does not end: counters, the chip's date and trust
	// points.
	stats   Stats
	date    time.Time
	trust   []trustPoint
	canLeft int
	gone    bool
	last    []byte // the answer before

	v    volatile
	told Exchange // of the command under way
}

// canTries is how many wrong card access numbers a chip counts down.
const canTries = 3

// volatile is what a chip forgets without power.
type volatile struct {
	app       bool // the eMRTD application is selected
	master    bool // the master file has been selected
	current   []byte
	challenge []byte
	pace      *paceRun
	chip      bool     // Chip Authentication's key comes next
	sm, next  *channel // next takes over after the answer under way
	chain     []byte   // of a command in parts
	rest      []byte   // of an answer in parts
	fit       int      // plain bytes that the answer has room for

	idIC, terminalKey []byte // names for Terminal Authentication
	terminal          terminal
	operations        int // of public keys, in the command under way
}

// Stats count what the reader did, so that tests can assert its plan. Link is
// the time on the link by its model.
type Stats struct {
	APDUs, Bytes, Authentications, WrongPasswords int
	Link                                          time.Duration
}

// Stats returns the counters.
func (c *Card) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// ATR is the answer to reset of a contactless card: its historical bytes with
// the card's capabilities (PC/SC part 3 §3.1.3.2.3, ISO/IEC 7816-4 §12.1.1).
func (c *Card) ATR() []byte {
	b := []byte{0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0x80, 0x01, c.capabilities()}
	sum := byte(0)
	for _, v := range b[1:] {
		sum ^= v
	}
	return append(b, sum)
}

// MRZ returns the lines printed on the document.
func (c *Card) MRZ() []string { return c.profile.MRZ.Lines() }

// Close ends nothing: the card is only taken off the reader.
func (c *Card) Close() error { return nil }

// Reset is a loss of power: sessions end, counters stay.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.v, c.gone = volatile{}, false
}

// Transmit answers one command APDU.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	if !c.gone {
		c.stats.APDUs++
		c.gone = c.since("removed_at") || c.on("torn_at") && c.stats.Bytes+len(command) > c.profile.Faults["torn_at"]
	}
	if c.gone {
		c.mu.Unlock()
		return nil, apdu.ErrRemoved
	}
	if c.at("silent_at") {
		c.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if c.at("returned_at") {
		c.v = volatile{}
	}
	c.v.operations = 0
	c.told = Exchange{Command: command}
	reply := c.spoil(c.handle(command))
	if c.told.Reply = reply; c.Tap != nil {
		c.Tap(c.told)
	}
	c.stats.Bytes += len(command) + len(reply)
	wait := c.linkTime(len(command)+len(reply)) + c.compute(c.v.operations)
	if c.on("slow") {
		wait *= 10
	}
	c.stats.Link += wait
	if c.on("torn_at") && c.stats.Bytes > c.profile.Faults["torn_at"] {
		c.gone = true
	}
	gone := c.gone
	c.mu.Unlock()
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if gone {
		return nil, apdu.ErrRemoved
	}
	return reply, nil
}

// linkTime is 9·B/R + blocks·(81/R + 0.6 ms) + 2 ms for ISO/IEC 14443-4, each
// block with three bytes of its own.
func (c *Card) linkTime(n int) time.Duration {
	if c.Rate == 0 {
		return 0
	}
	size := 253
	if c.FSC > 0 {
		size = c.FSC - 3
	}
	r := float64(c.Rate) * 1000
	blocks := float64((n + size - 1) / size)
	return time.Duration((9*float64(n)/r + blocks*(81/r+0.0006) + 0.002) * float64(time.Second))
}

// compute is the time of public key operations with the requests for more time
// (S(WTX) of ISO/IEC 14443-4) that go back and forth meanwhile.
func (c *Card) compute(operations int) time.Duration {
	d := time.Duration(operations) * c.profile.Crypto
	if c.profile.FWT > 0 && c.Rate > 0 {
		frames := 2 * float64(d/c.profile.FWT)
		d += time.Duration(frames * (81/float64(1000*c.Rate) + 0.0006) * float64(time.Second))
	}
	return d
}

// handle parses, opens secure messaging, executes, and protects the answer. A
// plain command in a session ends it, as a chip does.
func (c *Card) handle(b []byte) []byte {
	if c.at("naked_kept_at") && c.v.sm != nil {
		return sw(0x6F00)
	}
	cmd, err := apdu.Parse(b)
	extended := len(b) > 6 && b[4] == 0
	if err != nil || extended && c.profile.Short || c.profile.Buffer > 0 && len(b) > c.profile.Buffer {
		return sw(0x6700)
	}
	room := cmd.Ne
	if c.profile.Buffer > 0 {
		room = min(room, c.profile.Buffer-2)
	}
	if cmd.INS == 0xC0 && c.v.rest != nil {
		return c.part(c.v.rest, room)
	}
	c.v.rest = nil
	if cmd.CLA&0x0C != 0x0C || c.since("plain_at") {
		return c.plain(cmd, room)
	}
	if c.v.sm == nil {
		return sw(0x6988)
	}
	plain, ok := c.v.sm.open(cmd)
	if !ok {
		c.v = volatile{app: c.v.app}
		return sw(0x6988)
	}
	c.v.fit = c.v.sm.fit(cmd.INS, room)
	c.told.Protected, c.told.Plain = true, &plain
	data, status := c.collect(plain)
	c.told.Data, c.told.Status = data, status
	if c.at("wrong_sw_at") {
		data, status = nil, 0x6F00
	}
	reply := c.v.sm.protect(cmd.INS, data, status)
	c.change()
	return c.part(reply, room)
}

// plain is a command without secure messaging.
func (c *Card) plain(cmd apdu.Command, room int) []byte {
	if c.since("plain_at") && c.v.sm != nil && cmd.CLA&0x0C == 0x0C {
		if open, ok := c.v.sm.open(cmd); ok {
			c.v.sm.step(1)
			cmd = open
		}
	} else if c.v.sm != nil {
		c.v = volatile{app: c.v.app}
	}
	c.v.fit = room
	c.told.Plain = &cmd
	data, status := c.collect(cmd)
	c.told.Data, c.told.Status = data, status
	c.change()
	return c.part(answer(data, status), room)
}

// change lets the keys that a command agreed on take over.
func (c *Card) change() {
	if c.v.next != nil {
		c.v.sm, c.v.next = c.v.next, nil
	}
}

// part returns as much of an answer as there is room for; 61xx says that more
// is there.
func (c *Card) part(reply []byte, room int) []byte {
	c.v.rest = nil
	if room == 0 || len(reply)-2 <= room {
		return reply
	}
	c.v.rest = bytes.Clone(reply[room:])
	return answer(reply[:room], 0x6100|uint16(min(255, len(c.v.rest)-2)))
}

// collect puts the parts of a chained command together.
func (c *Card) collect(cmd apdu.Command) ([]byte, uint16) {
	chained := cmd.CLA&0x10 != 0
	if chained && c.profile.NoChaining && cmd.INS != 0x86 {
		return nil, 0x6884
	}
	// PACE sends all but its last command as parts of a chain, though each is
	// whole and is answered.
	if cmd.INS == 0x86 && c.v.chain == nil {
		if _, _, err := lds.Next(cmd.Data); err == nil {
			return c.execute(cmd)
		}
	}
	if len(c.v.chain)+len(cmd.Data) > apdu.MaxData {
		c.v.chain = nil
		return nil, 0x6700
	}
	if chained {
		c.v.chain = append(c.v.chain, cmd.Data...)
		return nil, 0x9000
	}
	if c.v.chain != nil {
		cmd.Data = append(c.v.chain, cmd.Data...)
		c.v.chain = nil
	}
	return c.execute(cmd)
}

func (c *Card) execute(cmd apdu.Command) ([]byte, uint16) {
	if c.on("select_first") && !c.v.master && !selectsMaster(cmd) {
		return nil, 0x6985
	}
	switch p := [3]byte{cmd.INS, cmd.P1, cmd.P2}; {
	case cmd.INS == 0xA4:
		return nil, c.selectFile(cmd)
	case cmd.INS == 0xB0, cmd.INS == 0xB1:
		return c.readBinary(cmd)
	case cmd.INS == 0x84:
		c.v.challenge = make([]byte, 8)
		if !c.draw(c.v.challenge) {
			return nil, 0x6F00
		}
		return c.v.challenge, 0x9000
	case cmd.INS == 0x82:
		if c.v.sm != nil {
			return nil, c.externalTerminal(cmd.Data)
		}
		return c.externalAuthenticate(cmd.Data)
	case p == [3]byte{0x22, 0xC1, 0xA4}:
		return nil, c.setPACE(cmd)
	case p == [3]byte{0x22, 0x41, 0xA4}:
		return nil, c.setCA(cmd)
	case p == [3]byte{0x22, 0x41, 0xA6}:
		c.v.operations++
		return nil, c.setKAT(cmd)
	case p == [3]byte{0x22, 0x81, 0xB6}:
		return nil, c.setDST(cmd)
	case p == [3]byte{0x22, 0x81, 0xA4}:
		return nil, c.setTA(cmd)
	case p == [3]byte{0x2A, 0x00, 0xBE}:
		c.v.operations++
		return nil, c.verifyCertificate(cmd)
	case cmd.INS == 0x22:
		return nil, 0x6A80
	case cmd.INS == 0x86:
		return c.generalAuthenticate(cmd)
	case cmd.INS == 0x88:
		c.v.operations++
		return c.internalAuthenticate(cmd)
	}
	return nil, 0x6D00
}

// generalAuthenticate is the next step of PACE or of Chip Authentication.
func (c *Card) generalAuthenticate(cmd apdu.Command) ([]byte, uint16) {
	dyn, ok := lds.Find(cmd.Data, 0x7C)
	if !ok {
		return nil, 0x6A80
	}
	c.v.operations++
	step := c.chipStep
	switch {
	case c.v.pace != nil:
		step = c.paceStep
	case !c.v.chip:
		return nil, 0x6985
	}
	out, status := step(dyn)
	if status != 0x9000 {
		return nil, status
	}
	return lds.Make(0x7C, out), 0x9000
}

// open says whether the data may be read.
func (c *Card) open() bool { return c.v.sm != nil || c.profile.Access == NoAccess }

func (c *Card) selectFile(cmd apdu.Command) uint16 {
	switch {
	case cmd.P1 == 4 && bytes.Equal(cmd.Data, application):
		if c.profile.Access == PACEOnly && c.v.sm == nil {
			return 0x6982
		}
		if c.on("app_after_mf") && !c.v.master {
			return 0x6A82
		}
		c.v.app, c.v.current = true, nil
		return 0x9000
	case selectsMaster(cmd):
		c.v.app, c.v.current, c.v.master = false, nil, true
		return 0x9000
	case cmd.P1 == 2 && len(cmd.Data) == 2:
		f, status := c.file(uint16(cmd.Data[0])<<8 | uint16(cmd.Data[1]))
		c.v.current = f
		return status
	}
	return 0x6A82
}

func selectsMaster(cmd apdu.Command) bool {
	return cmd.INS == 0xA4 && cmd.P1 == 0 && (len(cmd.Data) == 0 || bytes.Equal(cmd.Data, []byte{0x3F, 0}))
}

// file applies the access conditions.
func (c *Card) file(fid uint16) ([]byte, uint16) {
	files, free := c.app, false
	if !c.v.app {
		files, free = c.mf, fid != fidCardSecurity
	}
	f, ok := files[fid]
	switch {
	case !ok && (free || c.open()), !ok && !c.v.app:
		return nil, 0x6A82
	case !free && !c.open(), c.v.app && !c.permits(int(fid&0xFF)):
		return nil, 0x6982
	}
	return f, 0x9000
}

// short returns the file identifier of a short one.
func (c *Card) short(sfi byte) uint16 {
	if !c.v.app && sfi == 0x01 {
		return fidAttributes
	}
	if !c.v.app && sfi == 0x1E {
		return fidDirectory
	}
	return 0x0100 | uint16(sfi)
}

func (c *Card) readBinary(cmd apdu.Command) ([]byte, uint16) {
	offset := int(cmd.P1)<<8 | int(cmd.P2)
	f := c.v.current
	sfi := byte(0)
	if cmd.INS == 0xB1 {
		sfi = cmd.P2 & 0x1F
		v, ok := lds.Find(cmd.Data, 0x54)
		if !ok || len(v) > 3 {
			return nil, 0x6A80
		}
		offset = 0
		for _, b := range v {
			offset = offset<<8 | int(b)
		}
	} else if cmd.P1&0x80 != 0 {
		sfi, offset = cmd.P1&0x1F, int(cmd.P2)
	}
	if sfi > 0 {
		var status uint16
		if f, status = c.file(c.short(sfi)); status != 0x9000 {
			return nil, status
		}
		c.v.current = f
	} else if c.v.app && !c.open() {
		return nil, 0x6982
	}
	if f == nil {
		return nil, 0x6986
	}
	if offset > len(f) {
		return nil, 0x6B00
	}
	ne := cmd.Ne
	if m := c.profile.MaxLe; m > 0 && ne > m {
		return nil, 0x6700
	}
	if m := c.profile.Faults["le_hint"]; m > 0 && ne > m {
		return nil, 0x6C00 | uint16(min(m, 255))
	}
	if left := len(f) - offset; c.on("le_at_end") && ne > left && 0 < left && left < 256 {
		return nil, 0x6C00 | uint16(left)
	}
	if c.on("excess") {
		ne += 16
	}
	if c.on("ignore_le") {
		ne = 65536
	}
	whole := cmd.Ne == 256 || cmd.Ne == 65536 // all that is there
	if room := c.v.fit; ne > room {
		ne, whole = room, true
	}
	if cmd.INS == 0xB1 {
		ne = max(0, ne-2)
		for n := ne; len(lds.Make(0x53, make([]byte, ne))) > n+2; {
			ne--
		}
		return lds.Make(0x53, f[offset:min(len(f), offset+ne)]), 0x9000
	}
	if offset+ne > len(f) && !whole {
		return f[offset:], 0x6282
	}
	return f[offset:min(len(f), offset+ne)], 0x9000
}

// externalAuthenticate is BAC's mutual authentication (Doc 9303-11 §4.3.3).
func (c *Card) externalAuthenticate(data []byte) ([]byte, uint16) {
	rnd := c.v.challenge
	c.v.challenge = nil
	if len(data) != 40 || rnd == nil || c.profile.Access == PACEOnly || !c.v.app {
		return nil, 0x6985
	}
	enc, mac := c.basicKeys()
	want, err := kdf.Authenticate(kdf.TDES, mac, kdf.Pad(data[:32], 8))
	if err != nil || !kdf.Equal(want, data[32:]) {
		c.stats.WrongPasswords++
		return nil, 0x6300
	}
	block, err := kdf.Block(kdf.TDES, enc)
	if err != nil {
		return nil, 0x6F00
	}
	zero := make([]byte, 8)
	s, err := kdf.CBC(block, zero, data[:32], false)
	if err != nil || !bytes.Equal(s[8:16], rnd) {
		c.stats.WrongPasswords++
		return nil, 0x6300
	}
	kic := make([]byte, 16)
	if !c.draw(kic) {
		return nil, 0x6F00
	}
	r := bytes.Join([][]byte{rnd, s[:8], kic}, nil)
	e, err := kdf.CBC(block, zero, r, true)
	if err != nil {
		return nil, 0x6F00
	}
	m, err := kdf.Authenticate(kdf.TDES, mac, kdf.Pad(e, 8))
	if err != nil {
		return nil, 0x6F00
	}
	seed := make([]byte, 16)
	for i := range seed {
		seed[i] = s[16+i] ^ kic[i]
	}
	c.v.next = newChannel(kdf.TDES, seed, append(bytes.Clone(rnd[4:]), s[4:8]...))
	c.v.idIC = c.documentID()
	c.stats.Authentications++
	return append(e, m...), 0x9000
}
