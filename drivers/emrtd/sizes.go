package emrtd

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	"passage/drivers/emrtd/lds"
)

// answer is what is known of a chip's ability.
type answer uint8

const (
	unknown answer = iota
	yes
	no
)

// sizes is how much a chip takes and gives at once.
type sizes struct {
	extended answer // extended length fields
	told     bool   // EF.ATR/INFO tells the sizes
	command  int    // longest command in bytes; 0 if not told
	response int    // longest response in bytes; 0 if not told
	proven   bool   // a long answer has come
	limit    int    // most plain bytes of a read, after a longer one failed; 0 for none
	once     int    // most plain bytes of the next read alone; 0 for none
	hint     int    // the length that the chip named last (6Cxx)
}

const (
	probe    = 1024  // first long read of a chip that tells no sizes
	shortest = 128   // bytes of a read that every chip takes
	least    = 16    // bytes of a read below which a chip is not believed
	longest  = 65535 // bytes of data in an extended response
)

// stated reads the card capabilities in a contactless card's historical bytes:
// compact TLV 73, third byte. ISO/IEC 7816-4 §12.1.1, PC/SC part 3.
func stated(atr []byte) sizes {
	// TS, T0 with the number of historical bytes, TD1, TD2, which end the
	// interface bytes of a contactless card.
	if len(atr) < 5 || atr[1]&0xF0 != 0x80 || atr[2] != 0x80 || atr[3] != 0x01 {
		return sizes{}
	}
	hist := atr[4:min(len(atr), 4+int(atr[1]&0x0F))]
	if len(hist) == 0 || hist[0] != 0x80 && hist[0] != 0x00 {
		return sizes{}
	}
	for hist = hist[1:]; len(hist) > 0; {
		tag, n := hist[0]>>4, int(hist[0]&0x0F)
		if 1+n > len(hist) {
			break
		}
		if tag == 7 && n >= 3 {
			return capabilities(hist[1 : 1+n])
		}
		hist = hist[1+n:]
	}
	return sizes{}
}

// capabilities reads the third software function: extended length, and whether
// EF.ATR/INFO tells more.
func capabilities(b []byte) sizes {
	if len(b) < 3 {
		return sizes{}
	}
	s := sizes{extended: no}
	if b[2]&0x40 != 0 {
		s.extended, s.told = yes, b[2]&0x20 != 0
	}
	return s
}

// attributes takes over the sizes of commands and responses in EF.ATR/INFO.
func (s *sizes) attributes(b []byte) {
	c, err := lds.ParseATRInfo(b)
	if err != nil || c.MaxCommand < 256 || c.MaxResponse < 256 {
		return // no chip has buffers so small
	}
	s.command, s.response = c.MaxCommand, c.MaxResponse
}

// block is the most plain bytes that the next read asks for.
func (r *reading) block() int {
	n := 256
	switch s := r.sizes; {
	case s.extended == no:
	case s.response > 0:
		n = min(s.response-2, longest)
	case s.proven:
		n = longest
	default:
		n = probe
	}
	if r.session != nil {
		n = r.session.Capacity(n)
	}
	if r.sizes.limit > 0 {
		n = min(n, r.sizes.limit)
	}
	return n
}

// less steps the block size down after a read of n bytes failed; ok is false if
// there is no smaller one.
func (r *reading) less(n int) (ok bool) {
	for _, s := range []int{32768, 16384, 8192, 4096, 2032, probe, r.shortBlock(), 192, 160, shortest} {
		if s < n {
			r.sizes.limit = s
			return true
		}
	}
	return false
}

// shortBlock is the most plain bytes in an answer of short length.
func (r *reading) shortBlock() int {
	if r.session == nil {
		return 256
	}
	return r.session.Capacity(256)
}

// short gives up extended lengths for this card.
func (r *reading) short(why error) {
	if r.sizes.extended != no {
		r.instead("short lengths: %v", why)
		r.sizes.extended, r.sizes.limit = no, 0
	}
}

// family tells chips of one make apart: by their historical bytes and what they
// offer before access, and more closely by who issued the document.
type family [sha256.Size]byte

func familyOf(parts ...[]byte) family {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write(p)
	}
	return family(h.Sum(nil))
}

// refine asks the memory again once the security object has named who issued
// the document: chips of one make are set up otherwise by another state.
func (r *reading) refine(issuer string) {
	if r.family == (family{}) {
		return
	}
	r.state = familyOf(r.family[:], []byte(issuer))
	if s, ok := r.o.Memory.recall(r.state); ok && r.doc.Again == 0 {
		s.proven = s.proven || r.sizes.proven
		r.sizes = s
	}
}

// remember keeps what this reading has learnt of its chip. What was remembered
// is forgotten when it may have cost a session or the reading; that a card was
// taken away is not its fault.
func (r *reading) remember(err error) {
	for _, f := range []family{r.family, r.state} {
		switch {
		case f == (family{}):
		case err == nil && r.doc.Again == 0:
			r.o.Memory.keep(f, r.sizes)
		case !gone(err):
			r.o.Memory.forget(f)
		}
	}
}

// Memory remembers what families of chips can do, so that the next chip of a
// family is read without trying. It keeps no data of any document. The zero
// value is ready, and may serve several readings at once. As JSON it outlives
// the program.
type Memory struct {
	mu    sync.Mutex
	known map[family]sizes
}

// maxFamilies bounds the memory; there are some hundreds of chips.
const maxFamilies = 1024

// ability is sizes as JSON.
type ability struct {
	Extended bool `json:"extended,omitempty"`
	Command  int  `json:"command,omitempty"`
	Response int  `json:"response,omitempty"`
	Proven   bool `json:"proven,omitempty"`
	Limit    int  `json:"limit,omitempty"`
}

// MarshalJSON writes all families, in an order of their own: equal memories are
// equal bytes.
func (m *Memory) MarshalJSON() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]ability{}
	for f, s := range m.known {
		out[hex.EncodeToString(f[:])] = ability{s.extended == yes, s.command, s.response, s.proven, s.limit}
	}
	return json.Marshal(out)
}

// UnmarshalJSON replaces what is remembered. It refuses what no chip can have
// taught.
func (m *Memory) UnmarshalJSON(b []byte) error {
	var in map[string]ability
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("emrtd: memory: %w", err)
	}
	if len(in) > maxFamilies {
		return fmt.Errorf("emrtd: memory: %d families", len(in))
	}
	known := map[family]sizes{}
	for name, a := range in {
		id, err := hex.DecodeString(name)
		told := a.Command != 0 || a.Response != 0
		if err != nil || len(id) != sha256.Size || told && (min(a.Command, a.Response) < 256 || !a.Extended) || a.Limit < 0 || a.Limit > 0 && a.Limit < least {
			return fmt.Errorf("emrtd: memory: family %q: %+v", name, a)
		}
		s := sizes{extended: no, told: told, command: a.Command, response: a.Response, proven: a.Proven, limit: a.Limit}
		if a.Extended {
			s.extended = yes
		}
		known[family(id)] = s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = known
	return nil
}

func (m *Memory) recall(f family) (sizes, bool) {
	if m == nil {
		return sizes{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.known[f]
	return s, ok
}

func (m *Memory) keep(f family, s sizes) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.known[f]; m.known == nil || !known && len(m.known) >= maxFamilies {
		m.known = map[family]sizes{}
	}
	s.once, s.hint = 0, 0
	m.known[f] = s
}

func (m *Memory) forget(f family) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, f)
}
