package regmap

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Point is one thing that is read.
type Point struct {
	Register string
	Address  int
	Width    int               // 16 (default) or 32 bits; coils and discrete inputs have 1
	Order    string            // of 32 bits: "high" or "low" word first; word_order by default
	Bit      *int              // the bit that is meant, 0 the least
	Mask     *uint32           // or the bits, which are shifted down
	Signed   bool              // two's complement
	Invert   bool              // 0 means on
	Scale    float64           // what one count is worth; 1 by default
	Values   map[string]string // by number, decimal or 0x…: the word for it

	At    uint16 `toml:"-"` // the address on the wire
	Words int    `toml:"-"` // registers, or bits, that it takes: 1 or 2
	words map[uint32]string
}

// Word says what a value means; false for one that the map does not know.
func (p *Point) Word(raw uint32) (string, bool) {
	w, ok := p.words[raw]
	return w, ok
}

// Raws are the values that mean a word, the least first.
func (p *Point) Raws(word string) []uint32 {
	var list []uint32
	for raw, w := range p.words {
		if w == word {
			list = append(list, raw)
		}
	}
	slices.Sort(list)
	return list
}

// Binary says that the point is one bit.
func (p *Point) Binary() bool { return p.Register == Coil || p.Register == Discrete || p.Bit != nil }

// Bits are the bits of the registers that belong to the point.
func (p *Point) Bits() uint32 {
	switch {
	case p.Register == Coil || p.Register == Discrete:
		return 1
	case p.Bit != nil:
		return 1 << *p.Bit
	case p.Mask != nil:
		return *p.Mask
	case p.Width == 32:
		return math.MaxUint32
	}
	return math.MaxUint16
}

// Most is the greatest value that the point can have.
func (p *Point) Most() uint32 {
	switch {
	case p.Binary():
		return 1
	case p.Mask != nil:
		return *p.Mask >> shift(*p.Mask)
	}
	return p.Bits()
}

// String is where the point stands, in the maker's numbers.
func (p *Point) String() string {
	s := fmt.Sprintf("%s %d", p.Register, p.Address)
	switch {
	case p.Bit != nil:
		s += fmt.Sprintf(" bit %d", *p.Bit)
	case p.Mask != nil:
		s += fmt.Sprintf(" mask 0x%X", *p.Mask)
	}
	if p.Width == 32 {
		s += fmt.Sprintf(", 32 bits, %s word first", p.Order)
	}
	return s
}

// String is where the write goes, in the maker's numbers.
func (w *Write) String() string {
	s := fmt.Sprintf("%s %d", w.Register, w.Address)
	if w.Register == Holding && w.Style == "" {
		s += fmt.Sprintf(" := %d", w.Value)
	}
	switch w.Release {
	case "ack":
		s += " until acknowledged by " + w.Ack.String()
	case "pulse":
		s += fmt.Sprintf(" for %v", time.Duration(w.Pulse))
	}
	return s
}

// kind is what a point is for, which bounds how it may look.
type kind struct {
	bit   bool     // one bit
	names []string // words that its values may be
	all   []string // those that must be there
	count bool     // a counter: neither bit nor words
}

func (m *Map) point(p *problems, key string, x *Point, k kind) {
	if x == nil {
		return
	}
	single := x.Register == Coil || x.Register == Discrete
	if !slices.Contains([]string{Coil, Discrete, Input, Holding}, x.Register) {
		p.add(key+".register", "%q is none of coil, discrete, input, holding", x.Register)
		return
	}
	if x.Address < m.First || x.Address-m.First > math.MaxUint16 {
		p.add(key+".address", "%d is not within %d to %d", x.Address, m.First, math.MaxUint16+m.First)
		return
	}
	x.At, x.Words = uint16(x.Address-m.First), 1
	switch {
	case x.Width == 0 && single:
		x.Width = 1
	case x.Width == 0:
		x.Width = 16
	}
	if single && x.Width != 1 || !single && x.Width != 16 && x.Width != 32 {
		p.add(key+".width", "%d bits: a register has 16 or 32, a coil or discrete input 1", x.Width)
	}
	if x.Width == 32 {
		if x.Words = 2; x.At == math.MaxUint16 {
			p.add(key+".address", "the second register of 32 bits is beyond the last address")
		}
	}
	if x.Order == "" {
		x.Order = m.WordOrder
	}
	if x.Order != "high" && x.Order != "low" {
		p.add(key+".order", "%q is neither \"high\" nor \"low\"", x.Order)
	}
	if x.Bit != nil && (single || *x.Bit < 0 || *x.Bit >= x.Width) {
		p.add(key+".bit", "%d is not within the %d bits of a register", *x.Bit, x.Width)
		x.Bit = nil
	}
	if x.Mask != nil && (single || x.Bit != nil || *x.Mask == 0 || x.Width == 16 && *x.Mask > math.MaxUint16) {
		p.add(key+".mask", "0x%X does not fit", *x.Mask)
		x.Mask = nil
	}
	if x.Scale == 0 {
		x.Scale = 1
	}
	if math.IsNaN(x.Scale) || math.Abs(x.Scale) < 1e-6 || math.Abs(x.Scale) > 1e6 {
		p.add(key+".scale", "%g is not within 1e-6 to 1e6", x.Scale)
	}
	switch {
	case k.bit && !x.Binary():
		p.add(key, "is one bit: say which with bit, or name a coil or discrete input")
	case k.bit && len(x.Values) > 0:
		p.add(key+".values", "a bit has no words")
	case !k.bit && x.Invert:
		p.add(key+".invert", "is for bits")
	case k.names != nil && len(x.Values) == 0:
		p.add(key, "needs values, each with one of %s", strings.Join(k.names, ", "))
	case k.names == nil && len(x.Values) > 0:
		p.add(key+".values", "means nothing here")
	case k.count && (x.Signed || x.Binary()):
		p.add(key, "a counter is neither signed nor a bit")
	}
	m.words(p, key, x, k)
}

func (m *Map) words(p *problems, key string, x *Point, k kind) {
	x.words = map[uint32]string{}
	most := x.Most()
	for _, text := range sorted(x.Values) {
		at := key + ".values." + text
		n, err := strconv.ParseUint(text, 0, 32)
		if err != nil || uint32(n) > most {
			p.add(at, "is not a number of 0 to %d", most)
			continue
		}
		if k.names != nil && !slices.Contains(k.names, x.Values[text]) {
			p.add(at, "%q is none of %s", x.Values[text], strings.Join(k.names, ", "))
		}
		if was, twice := x.words[uint32(n)]; twice {
			p.add(at, "%d already means %s", n, was)
		}
		x.words[uint32(n)] = x.Values[text]
	}
	for _, need := range k.all {
		if len(x.Values) > 0 && len(x.Raws(need)) == 0 {
			p.add(key+".values", "no value means %s", need)
		}
	}
}

// shift is how far down a mask's bits are moved.
func shift(mask uint32) (n int) {
	for mask != 0 && mask&1 == 0 {
		mask >>= 1
		n++
	}
	return n
}

func sorted[T any](m map[string]T) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	sort.Strings(list)
	return list
}

// Value takes the point out of the registers, or the bit, at its address:
// after mask and shift, before scale and sign.
func (p *Point) Value(regs []uint16) uint32 {
	v := uint32(regs[0])
	if p.Words == 2 {
		if p.Order == "low" {
			v |= uint32(regs[1]) << 16
		} else {
			v = v<<16 | uint32(regs[1])
		}
	}
	switch {
	case p.Bit != nil:
		v = v >> *p.Bit & 1
	case p.Mask != nil:
		v = v & *p.Mask >> shift(*p.Mask)
	}
	if p.Invert {
		v ^= 1
	}
	return v
}

// Number is a value with its sign and scale.
func (p *Point) Number(raw uint32) float64 {
	v := float64(raw)
	if p.Signed && p.Width == 16 {
		v = float64(int16(raw))
	} else if p.Signed {
		v = float64(int32(raw))
	}
	return v * p.Scale
}
