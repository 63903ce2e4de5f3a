package passport

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"math/big"
	"sync"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
)

// Card is a chip in the field. Transmit answers one command at a time.
type Card struct {
	mu      sync.Mutex
	profile Profile
	files   map[uint16][]byte
	aa      curve.Key

	// Rate is the contactless bit rate in kbit/s that Transmit takes the time
	// of, 106 to 848; 0 answers at once.
	Rate  int
	stats Stats
	gone  bool

	// volatile
	app       bool
	current   []byte
	challenge []byte
	pace      *paceRun
	sm        *channel
}

// Stats count what the reader did, so that tests can assert its plan.
type Stats struct {
	APDUs, Bytes, Authentications, WrongPasswords int
}

// Stats returns the counters.
func (c *Card) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// ATR is the answer to reset of a contactless card (PC/SC part 3).
func (c *Card) ATR() []byte {
	return []byte{0x3B, 0x88, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x81, 0x81, 0x00, 0x09}
}

// Close ends nothing: the card is only taken off the reader.
func (c *Card) Close() error { return nil }

// Reset is a loss of power: sessions end, counters stay.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.app, c.current, c.challenge, c.pace, c.sm = false, nil, nil, nil, nil
	c.gone = false
}

// Transmit answers one command APDU.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return nil, apdu.ErrRemoved
	}
	c.stats.APDUs++
	n := c.stats.APDUs
	if at, on := c.profile.Faults["removed_at"]; on && n >= at {
		c.gone = true
		c.mu.Unlock()
		return nil, apdu.ErrRemoved
	}
	reply := c.spoil(n, c.handle(command))
	c.stats.Bytes += len(command) + len(reply)
	wait := c.linkTime(len(command) + len(reply))
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
	return reply, nil
}

// linkTime is 9·B/R + blocks·(81/R + 0.6 ms) + 2 ms for ISO/IEC 14443-4 with
// blocks of 253 data bytes.
func (c *Card) linkTime(n int) time.Duration {
	if c.Rate == 0 {
		return 0
	}
	r := float64(c.Rate) * 1000
	blocks := float64((n + 252) / 253)
	return time.Duration((9*float64(n)/r + blocks*(81/r+0.0006) + 0.002) * float64(time.Second))
}

// spoil applies the faults that belong to the n-th command.
func (c *Card) spoil(n int, reply []byte) []byte {
	f := c.profile.Faults
	if f["bad_mac_at"] == n && len(reply) > 4 {
		reply[len(reply)-3] ^= 1
	}
	if f["naked_at"] == n {
		c.sm = nil
		return sw(0x6F00)
	}
	if f["garbage_at"] == n {
		rand.Read(reply)
	}
	return reply
}

func sw(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

func answer(data []byte, v uint16) []byte { return append(bytes.Clone(data), sw(v)...) }

// handle parses, opens secure messaging, executes, and protects the answer. A
// plain command in a session ends it, as a chip does.
func (c *Card) handle(b []byte) []byte {
	cmd, err := apdu.Parse(b)
	if err != nil {
		return sw(0x6700)
	}
	if cmd.CLA&0x0C == 0x0C {
		if c.sm == nil {
			return sw(0x6882)
		}
		plain, ok := c.sm.open(cmd)
		if !ok {
			c.sm = nil
			return sw(0x6988)
		}
		next := c.sm
		data, status := c.execute(plain)
		reply := next.protect(data, status)
		return reply
	}
	c.sm = nil
	return answer(c.execute(cmd))
}

func (c *Card) execute(cmd apdu.Command) ([]byte, uint16) {
	switch cmd.INS {
	case 0xA4:
		return nil, c.selectFile(cmd)
	case 0xB0, 0xB1:
		return c.readBinary(cmd)
	case 0x84:
		c.challenge = make([]byte, 8)
		rand.Read(c.challenge)
		return c.challenge, 0x9000
	case 0x82:
		return c.externalAuthenticate(cmd.Data)
	case 0x22:
		return nil, c.setAT(cmd)
	case 0x86:
		return c.generalAuthenticate(cmd)
	case 0x88:
		return c.internalAuthenticate(cmd.Data)
	}
	return nil, 0x6D00
}

func (c *Card) selectFile(cmd apdu.Command) uint16 {
	switch {
	case cmd.P1 == 4 && bytes.Equal(cmd.Data, []byte{0xA0, 0, 0, 2, 0x47, 0x10, 1}):
		if c.profile.Access == PACEOnly && c.sm == nil {
			return 0x6982
		}
		c.app, c.current = true, nil
		return 0x9000
	case cmd.P1 == 0 && (len(cmd.Data) == 0 || bytes.Equal(cmd.Data, []byte{0x3F, 0})):
		c.app, c.current = false, nil
		return 0x9000
	case cmd.P1 == 2 && len(cmd.Data) == 2:
		f, status := c.file(uint16(cmd.Data[0])<<8 | uint16(cmd.Data[1]))
		c.current = f
		return status
	}
	return 0x6A82
}

// file applies the access conditions.
func (c *Card) file(fid uint16) ([]byte, uint16) {
	f, ok := c.files[fid]
	switch {
	case fid == lds.CardAccess.FID && !c.app && ok:
		return f, 0x9000
	case !c.app || fid == lds.CardAccess.FID:
		return nil, 0x6A82
	case c.sm == nil && c.profile.Access != NoAccess:
		return nil, 0x6982
	case !ok:
		return nil, 0x6A82
	}
	return f, 0x9000
}

func (c *Card) readBinary(cmd apdu.Command) ([]byte, uint16) {
	offset := int(cmd.P1)<<8 | int(cmd.P2)
	f := c.current
	sfi := byte(0)
	if cmd.INS == 0xB1 {
		sfi = cmd.P2
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
		if f, status = c.file(0x0100 | uint16(sfi)); status != 0x9000 {
			return nil, status
		}
		c.current = f
	} else if c.sm == nil && c.profile.Access != NoAccess {
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
	if cmd.INS == 0xB1 {
		ne = max(0, ne-6)
		return lds.Make(0x53, f[offset:min(len(f), offset+ne)]), 0x9000
	}
	end := min(len(f), offset+ne)
	if offset+ne > len(f) && cmd.Ne != 65536 && cmd.Ne != 256 {
		return f[offset:end], 0x6282
	}
	return f[offset:end], 0x9000
}

// externalAuthenticate is BAC's mutual authentication (Doc 9303-11 §4.3.3).
func (c *Card) externalAuthenticate(data []byte) ([]byte, uint16) {
	rnd := c.challenge
	c.challenge = nil
	if len(data) != 40 || rnd == nil || c.profile.Access == PACEOnly || !c.app {
		return nil, 0x6985
	}
	h := sha1.Sum([]byte(c.profile.MRZ.Information()))
	enc, mac := kdf.Derive(kdf.TDES, h[:16], kdf.Encryption), kdf.Derive(kdf.TDES, h[:16], kdf.MAC)
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
	rand.Read(kic)
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
	c.sm = newChannel(kdf.TDES, seed, append(bytes.Clone(rnd[4:]), s[4:8]...))
	c.stats.Authentications++
	return append(e, m...), 0x9000
}

// paceRun is PACE on the card's side (§4.4.4).
type paceRun struct {
	curve  *curve.Curve
	nonce  *big.Int
	stage  int
	base   curve.Point
	own    curve.Key
	theirs []byte
	secret []byte
}

func (c *Card) setAT(cmd apdu.Command) uint16 {
	oid, ok := lds.Find(cmd.Data, 0x80)
	password, ok2 := lds.Find(cmd.Data, 0x83)
	want := der(oidPACE(c.profile.Cipher))[2:]
	if cmd.P1 != 0xC1 || cmd.P2 != 0xA4 || !ok || !ok2 || (c.profile.Access != PACE && c.profile.Access != PACEOnly) {
		return 0x6A80
	}
	if id, named := lds.Find(cmd.Data, 0x84); !bytes.Equal(oid, want) || !bytes.Equal(password, []byte{1}) || named && !bytes.Equal(id, []byte{byte(c.profile.Parameter)}) {
		return 0x6A80
	}
	k, ok := curve.ByID(c.profile.Parameter)
	if !ok {
		return 0x6A80
	}
	c.pace = &paceRun{curve: k}
	return 0x9000
}

func (c *Card) generalAuthenticate(cmd apdu.Command) ([]byte, uint16) {
	p := c.pace
	if p == nil {
		return nil, 0x6985
	}
	dyn, ok := lds.Find(cmd.Data, 0x7C)
	if !ok {
		return nil, 0x6A80
	}
	p.stage++
	out, status := c.paceStep(p, dyn)
	if status != 0x9000 {
		c.pace = nil
		return nil, status
	}
	return lds.Make(0x7C, out), 0x9000
}

func (c *Card) paceStep(p *paceRun, dyn []byte) ([]byte, uint16) {
	cip := c.profile.Cipher
	switch p.stage {
	case 1:
		nonce := make([]byte, 16)
		rand.Read(nonce)
		p.nonce = new(big.Int).SetBytes(nonce)
		h := sha1.Sum([]byte(c.profile.MRZ.Information()))
		block, err := kdf.Block(cip, kdf.Derive(cip, h[:], kdf.Password))
		if err != nil {
			return nil, 0x6F00
		}
		z, err := kdf.CBC(block, make([]byte, block.BlockSize()), nonce, true)
		if err != nil {
			return nil, 0x6F00
		}
		return lds.Make(0x80, z), 0x9000
	case 2:
		b, _ := lds.Find(dyn, 0x81)
		theirs, err := p.curve.Decode(b)
		own, err2 := p.curve.Generate(rand.Reader, p.curve.G)
		if err != nil || err2 != nil {
			return nil, 0x6A80
		}
		h := p.curve.Mul(own.D, theirs)
		p.base = p.curve.Add(p.curve.Mul(p.nonce, p.curve.G), h)
		return lds.Make(0x82, p.curve.Encode(own.Public)), 0x9000
	case 3:
		b, _ := lds.Find(dyn, 0x83)
		theirs, err := p.curve.Decode(b)
		if err != nil {
			return nil, 0x6A80
		}
		if p.own, err = p.curve.Generate(rand.Reader, p.base); err != nil {
			return nil, 0x6F00
		}
		p.theirs = bytes.Clone(b)
		p.secret = p.curve.X(p.curve.Mul(p.own.D, theirs))
		return lds.Make(0x84, p.curve.Encode(p.own.Public)), 0x9000
	case 4:
		return c.paceToken(p, dyn)
	}
	return nil, 0x6985
}

func (c *Card) paceToken(p *paceRun, dyn []byte) ([]byte, uint16) {
	cip := c.profile.Cipher
	token := func(point []byte) []byte {
		data := lds.Make(0x7F49, der(oidPACE(cip)), lds.Make(0x86, point))
		if cip == kdf.TDES {
			data = kdf.Pad(data, 8)
		}
		t, err := kdf.Authenticate(cip, kdf.Derive(cip, p.secret, kdf.MAC), data)
		if err != nil {
			return nil
		}
		return t
	}
	got, _ := lds.Find(dyn, 0x85)
	if !kdf.Equal(got, token(p.curve.Encode(p.own.Public))) {
		c.stats.WrongPasswords++
		return nil, 0x6300
	}
	c.stats.Authentications++
	c.sm = newChannel(cip, p.secret, make([]byte, cip.BlockLen()))
	c.pace = nil
	return lds.Make(0x86, token(p.theirs)), 0x9000
}

// internalAuthenticate is Active Authentication with ECDSA (§6.1).
func (c *Card) internalAuthenticate(challenge []byte) ([]byte, uint16) {
	if c.profile.NoAA || len(challenge) != 8 || c.sm == nil && c.profile.Access != NoAccess {
		return nil, 0x6A88
	}
	k, _ := curve.ByID(12)
	h := sha256.Sum256(challenge)
	r, s, err := k.Sign(rand.Reader, c.aa.D, h[:])
	if err != nil {
		return nil, 0x6F00
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, 0x9000
}

// channel is the card's side of secure messaging (§9.8).
type channel struct {
	cipher kdf.Cipher
	block  cipher.Block
	mac    []byte
	ssc    *big.Int
}

func newChannel(c kdf.Cipher, secret, ssc []byte) *channel {
	block, err := kdf.Block(c, kdf.Derive(c, secret, kdf.Encryption))
	if err != nil {
		return nil
	}
	return &channel{cipher: c, block: block, mac: kdf.Derive(c, secret, kdf.MAC), ssc: new(big.Int).SetBytes(ssc)}
}

func (ch *channel) counter() []byte {
	n := ch.cipher.BlockLen()
	v := new(big.Int).Mod(ch.ssc, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	return v.FillBytes(make([]byte, n))
}

func (ch *channel) vector() []byte {
	iv := make([]byte, ch.cipher.BlockLen())
	if ch.cipher != kdf.TDES {
		ch.block.Encrypt(iv, ch.counter())
	}
	return iv
}

func (ch *channel) tag(message []byte) []byte {
	t, err := kdf.Authenticate(ch.cipher, ch.mac, kdf.Pad(append(ch.counter(), message...), ch.cipher.BlockLen()))
	if err != nil {
		return nil
	}
	return t
}

// open verifies and decrypts a command.
func (ch *channel) open(c apdu.Command) (apdu.Command, bool) {
	ch.ssc.Add(ch.ssc, big.NewInt(1))
	list, err := lds.All(c.Data)
	if err != nil {
		return c, false
	}
	plain := apdu.Command{CLA: c.CLA &^ 0x0C, INS: c.INS, P1: c.P1, P2: c.P2}
	var body, mac, crypt []byte
	for _, t := range list {
		switch t.Tag {
		case 0x8E:
			mac = t.Value
			continue
		case 0x87:
			if len(t.Value) < 1 || t.Value[0] != 1 {
				return c, false
			}
			crypt = t.Value[1:]
		case 0x85:
			crypt = t.Value
		case 0x97:
			for _, b := range t.Value {
				plain.Ne = plain.Ne<<8 | int(b)
			}
			if plain.Ne == 0 {
				plain.Ne = 256
				if len(t.Value) == 2 {
					plain.Ne = 65536
				}
			}
		}
		body = append(body, t.Raw...)
	}
	message := append(kdf.Pad([]byte{c.CLA, c.INS, c.P1, c.P2}, ch.cipher.BlockLen()), body...)
	if len(mac) != 8 || !kdf.Equal(mac, ch.tag(message)) {
		return c, false
	}
	if crypt != nil {
		b, err := kdf.CBC(ch.block, ch.vector(), crypt, false)
		if err != nil {
			return c, false
		}
		if plain.Data, err = kdf.Unpad(b); err != nil {
			return c, false
		}
	}
	return plain, true
}

// protect encrypts and authenticates an answer.
func (ch *channel) protect(data []byte, status uint16) []byte {
	ch.ssc.Add(ch.ssc, big.NewInt(1))
	var body []byte
	if len(data) > 0 {
		crypt, err := kdf.CBC(ch.block, ch.vector(), kdf.Pad(data, ch.cipher.BlockLen()), true)
		if err != nil {
			return sw(0x6F00)
		}
		body = lds.Make(0x87, []byte{1}, crypt)
	}
	body = append(body, lds.Make(0x99, sw(status))...)
	body = append(body, lds.Make(0x8E, ch.tag(body))...)
	return answer(body, status)
}
