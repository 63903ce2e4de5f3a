package mrz

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// confusions are the pairs that optical reading mixes up, letter to digit.
var confusions = map[byte]byte{'O': '0', '0': 'O', 'I': '1', '1': 'I', 'S': '5', '5': 'S', 'B': '8', '8': 'B', 'Z': '2', '2': 'Z'}

// Guess is what a place in a zone may hold. Cost is what it costs to believe
// it, such as the negative logarithm of its probability: 0 or more, and a
// confused character costs about 1.
type Guess struct {
	Char byte
	Cost float64
}

// Doubt returns the guesses for every place of a text whose reader tells no
// probabilities: the character itself, and the one it is confused with.
func Doubt(line string) [][]Guess {
	var cells [][]Guess
	for i := range len(line) {
		cell := []Guess{{line[i], 0}}
		if c, ok := confusions[line[i]]; ok {
			cell = append(cell, Guess{c, 1})
		}
		cells = append(cells, cell)
	}
	return cells
}

// Alternatives returns the zones that an optical reader may have meant by
// lines and that their check digits allow, likeliest first, at most 8. Where
// lines are a zone themselves, it is the first of them; the next ones serve a
// chip that refuses the key of the first.
func Alternatives(lines ...string) []MRZ {
	if len(lines) == 1 {
		lines = Split(lines[0])
	}
	var cells [][][]Guess
	for _, l := range lines {
		cells = append(cells, Doubt(l))
	}
	list, _ := Resolve(cells, most) // a text of another shape has no alternatives
	return list
}

const (
	most       = 8  // answers of Alternatives and Candidates
	keep       = 8  // readings of one field that are followed
	longest    = 44 // places in a line
	miscounted = 4  // cost of a zone whose composite digit is wrong
)

// Candidates returns document numbers that an optical reader may have meant by
// s and that fit the check digit, likeliest (fewest changes) first, s itself
// first of all if it fits; at most that many, and at most 8.
func Candidates(s string, digit byte, atMost int) []string {
	if len(s) > longest {
		return nil
	}
	cells := Doubt(fill(s, 9))
	var list []string
	for _, r := range cheapest(append(cells, []Guess{{digit, 0}}), true) {
		if len(list) < atMost {
			list = append(list, (r.text[:len(r.text)-1])[:len(s)])
		}
	}
	return list
}

// reading is one way to read some places.
type reading struct {
	text string
	cost float64
}

func byCost(a, b reading) int { return cmp.Compare(a.cost, b.cost) }

// cheapest returns the cheapest ways to read cells, at most keep of them. With
// check the last place must be the check digit of those before it; ways are
// followed by their sum, so that all that fit are found without trying all.
func cheapest(cells [][]Guess, check bool) []reading {
	ways := map[int][]reading{0: {{}}}
	for i, cell := range cells {
		next := map[int][]reading{}
		for sum := range 10 {
			for _, w := range ways[sum] {
				for _, g := range cell {
					s := 0
					switch {
					case check && i == len(cells)-1:
						if int(g.Char) != '0'+sum {
							continue
						}
					case check:
						s = (sum + value(g.Char)*[3]int{7, 3, 1}[i%3]) % 10
					}
					next[s] = append(next[s], reading{w.text + string(rune(g.Char)), w.cost + g.Cost})
				}
			}
		}
		for s, list := range next {
			slices.SortStableFunc(list, byCost)
			next[s] = list[:min(len(list), keep)]
		}
		ways = next
	}
	return ways[0]
}

// States of a name field (9303-3 §4.6): identifiers are parted by two fillers,
// their components by one, and behind them are fillers only.
const (
	inName       = iota // of the primary identifier
	afterName           // one filler behind it
	beforeSecond        // two fillers: the secondary identifier begins, or nothing more
	inSecond
	afterSecond
	atEnd
	nameStates
)

// unusual is what it costs to believe in a letter where only fillers should
// be; some documents have it.
const unusual = 4

// nameStep returns the state behind a character, and what it costs.
func nameStep(state int, filler bool) (next int, cost float64) {
	switch {
	case filler:
		return [...]int{afterName, beforeSecond, atEnd, afterSecond, atEnd, atEnd}[state], 0
	case state == atEnd:
		return inSecond, unusual
	}
	return [...]int{inName, inName, inSecond, inSecond, inSecond}[state], 0
}

// cheapestNames returns the cheapest ways to read a name field, at most keep.
func cheapestNames(cells [][]Guess) []reading {
	ways := [nameStates][]reading{inName: {{}}}
	for _, cell := range cells {
		var next [nameStates][]reading
		for state, list := range ways {
			for _, w := range list {
				for _, g := range cell {
					to, extra := nameStep(state, g.Char == '<')
					next[to] = append(next[to], reading{w.text + string(rune(g.Char)), w.cost + g.Cost + extra})
				}
			}
		}
		for state, list := range next {
			slices.SortStableFunc(list, byCost)
			next[state] = list[:min(len(list), keep)]
		}
		ways = next
	}
	list := slices.Concat(ways[:]...)
	slices.SortStableFunc(list, byCost)
	return list[:min(len(list), keep)]
}

// kind is what may stand in a place.
type kind uint8

const (
	alnum kind = iota
	letter
	digit    // or '<', in unknown dates and where a check digit may be left out
	onlyCode // the first letter of a document code
	onlySex
	names
)

func (k kind) allows(c byte) bool {
	d := c >= '0' && c <= '9'
	switch k {
	case letter, names:
		return !d
	case digit:
		return d || c == '<'
	case onlyCode:
		return strings.IndexByte("ACIPV", c) >= 0
	case onlySex:
		return strings.IndexByte("MFX<", c) >= 0
	}
	return true
}

// span is a run of places in a line that are read together.
type span struct {
	line, from, to int
	kind           kind
	check          bool // the last place is the check digit of the others
}

// spans are the fields of a size, but for the document number of the cards,
// whose end depends on what it is.
var spans = map[Size][]span{
	TD3: {
		{0, 0, 1, onlyCode, false},
		{0, 1, 5, letter, false},
		{0, 5, 44, names, false},
		{1, 0, 10, alnum, true},
		{1, 10, 13, letter, false},
		{1, 13, 20, digit, true},
		{1, 20, 21, onlySex, false},
		{1, 21, 28, digit, true},
		{1, 28, 43, alnum, true},
		{1, 43, 44, digit, false},
	},
	MRVA: {
		{0, 0, 1, onlyCode, false},
		{0, 1, 5, letter, false},
		{0, 5, 44, names, false},
		{1, 0, 10, alnum, true},
		{1, 10, 13, letter, false},
		{1, 13, 20, digit, true},
		{1, 20, 21, onlySex, false},
		{1, 21, 28, digit, true},
		{1, 28, 44, alnum, false},
	},
	MRVB: {
		{0, 0, 1, onlyCode, false},
		{0, 1, 5, letter, false},
		{0, 5, 36, names, false},
		{1, 0, 10, alnum, true},
		{1, 10, 13, letter, false},
		{1, 13, 20, digit, true},
		{1, 20, 21, onlySex, false},
		{1, 21, 28, digit, true},
		{1, 28, 36, alnum, false},
	},
	TD2: {
		{0, 0, 1, onlyCode, false},
		{0, 1, 5, letter, false},
		{0, 5, 36, names, false},
		{1, 0, 10, alnum, true},
		{1, 10, 13, letter, false},
		{1, 13, 20, digit, true},
		{1, 20, 21, onlySex, false},
		{1, 21, 28, digit, true},
		{1, 28, 35, alnum, false},
		{1, 35, 36, digit, false},
	},
	TD1: {
		{0, 0, 1, onlyCode, false},
		{0, 1, 5, letter, false},
		{0, 5, 15, alnum, true},
		{0, 15, 30, alnum, false},
		{1, 0, 7, digit, true},
		{1, 7, 8, onlySex, false},
		{1, 8, 15, digit, true},
		{1, 15, 18, letter, false},
		{1, 18, 29, alnum, false},
		{1, 29, 30, digit, false},
		{2, 0, 30, names, false},
	},
}

// Resolve reads a zone from guesses for each place of each line: the fields'
// alphabets and check digits decide, the cost says what is likeliest. It
// returns up to atMost zones, likeliest first; a wrong composite digit makes a
// zone unlikely, not impossible. The error, where none fits, names the first
// field that does not.
func Resolve(lines [][][]Guess, atMost int) ([]MRZ, error) {
	text := make([]string, len(lines))
	for i, l := range lines {
		if len(l) > longest {
			return nil, fmt.Errorf("mrz: resolve: %w: %d places in a line", ErrShape, len(l))
		}
		for _, cell := range l {
			if len(cell) == 0 || len(cell) > 37 {
				return nil, fmt.Errorf("mrz: resolve: %w: %d guesses for a place", ErrShape, len(cell))
			}
			for _, g := range cell {
				if !isZone(g.Char) {
					return nil, fmt.Errorf("mrz: resolve: %w: a character outside A–Z, 0–9 and <", ErrShape)
				}
			}
			text[i] += string(rune(slices.MinFunc(cell, func(a, b Guess) int { return cmp.Compare(a.Cost, b.Cost) }).Char))
		}
	}
	size := sizeOf(text)
	if size == 0 {
		return nil, fmt.Errorf("mrz: resolve: %w: %d lines", ErrShape, len(lines))
	}
	zones := []zoneReading{{}}
	for _, s := range fields(size, text) {
		list := read(lines, size, s)
		if len(list) == 0 {
			return nil, fmt.Errorf("mrz: resolve: line %d, places %d to %d: %w", s.line+1, s.from+1, s.to, ErrCheckDigit)
		}
		var next []zoneReading
		for _, z := range zones {
			for _, r := range list {
				n := zoneReading{z.lines, z.cost + r.cost}
				n.lines[s.line] += r.text
				next = append(next, n)
			}
		}
		slices.SortStableFunc(next, func(a, b zoneReading) int { return cmp.Compare(a.cost, b.cost) })
		zones = next[:min(len(next), 256)]
	}
	type answer struct {
		zone MRZ
		cost float64
	}
	var fit []answer
	var why error
	for _, z := range zones {
		m, err := Parse(z.lines[:len(lines)]...)
		if err != nil {
			why = cmp.Or(why, err)
			continue
		}
		if !m.Composite() {
			z.cost += miscounted
		}
		fit = append(fit, answer{m, z.cost})
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("mrz: resolve: %w", errors.Join(why, ErrShape))
	}
	slices.SortStableFunc(fit, func(a, b answer) int { return cmp.Compare(a.cost, b.cost) })
	var out []MRZ
	for _, a := range fit[:min(len(fit), atMost)] {
		out = append(out, a.zone)
	}
	return out, nil
}

type zoneReading struct {
	lines [3]string
	cost  float64
}

// fields returns the spans of a size. A card whose number runs on into the
// optional field has '<' in the check digit's place; number and end are one
// span then.
func fields(size Size, text []string) []span {
	list := slices.Clone(spans[size])
	i := slices.IndexFunc(list, func(s span) bool { return s.to-s.from == 10 && s.check })
	n := list[i]
	if (size == TD1 || size == TD2) && text[n.line][n.to-1] == '<' {
		end := 28
		if size == TD1 {
			end = 15
		}
		if k := strings.IndexByte(text[n.line][end:], '<'); k >= 2 {
			tail := span{n.line, end, end + k, alnum, false}
			for j, s := range list {
				if s.line == tail.line && s.from == tail.from { // the rest of the optional field
					list[j].from = tail.to
					list = slices.Insert(list, j, tail)
					break
				}
			}
			list[i].check = false
		}
	}
	return list
}

// read returns the ways to read one span within its alphabet. The check digit
// of a personal number may be left out with it.
func read(lines [][][]Guess, size Size, s span) []reading {
	var cells [][]Guess
	for i := s.from; i < s.to; i++ {
		k := s.kind
		if s.check && i == s.to-1 {
			k = digit
		}
		var cell []Guess
		for _, g := range lines[s.line][i] {
			if k.allows(g.Char) {
				cell = append(cell, g)
			}
		}
		cells = append(cells, cell)
	}
	if s.kind == names {
		return cheapestNames(cells)
	}
	list := cheapest(cells, s.check)
	if s.check && size == TD3 && s.from == 28 { // an unused personal number may have '<' for its digit
		empty := reading{text: strings.Repeat("<", s.to-s.from)}
		for _, cell := range cells {
			i := slices.IndexFunc(cell, func(g Guess) bool { return g.Char == '<' })
			if i < 0 {
				return list
			}
			empty.cost += cell[i].Cost
		}
		list = append(list, empty)
		slices.SortStableFunc(list, byCost)
	}
	return list
}
