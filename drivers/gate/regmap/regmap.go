// Package regmap reads the register map of a gate controller that does not
// speak ABC-LANE: a TOML file that says where in its Modbus registers each
// thing stands that a lane must know, and how each command is given. What a
// controller cannot say is not guessed: Judge says what a lane loses by it, and
// whether such a gate may work unattended at all.
package regmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxSize bounds a file; the examples have four kilobytes.
const maxSize = 256 << 10

// Registers are the four spaces of Modbus.
const (
	Coil     = "coil"     // read by function 1, written by 5
	Discrete = "discrete" // read by function 2
	Input    = "input"    // read by function 4
	Holding  = "holding"  // read by function 3, written by 6
)

// Map is a controller's registers in the lane's words.
type Map struct {
	Name string // what people call the controller
	// First is the number that the maker's list gives to the first address of
	// each space, 0 or 1. Point.At and Write.At have taken it off.
	First     int    `toml:"first_address"`
	WordOrder string `toml:"word_order"` // of 32 bits: "high" or "low" word first
	Poll      Poll
	Identity  Identity

	Clock *Point // counts up while the controller runs; scale gives ms
	Boots *Point // counts its starts
	State *Point // values are state names of ABC-LANE §9

	Entry, Exit Leaf
	Sensors     map[string]*Point // by SensorNames
	Edges       map[string]*Point // counters by SensorNames
	EdgesCount  string            `toml:"edges_count"` // "edges" counts both directions, "rises" only rising ones
	Persons     *Point            // between the leaves; value "unknown" where it cannot tell
	Crossings   *Point            // counts persons who have left by the exit
	Faults      map[string]*Point // bits, by FaultNames
	Alarms      map[string]*Point // bits, by AlarmNames
	Temperature *Point            // °C
	Supply      *Point            // V

	Watchdog   Watchdog
	Egress     Egress
	Parameters map[string]*Parameter // by ParameterNames
	Commands   map[string]*Write     // by CommandNames
	Result     *Point                // of the last command; values are result names of ABC-LANE §7
	Lights     map[string]*Write     // by LightNames
}

// Poll bounds a request.
type Poll struct {
	Most int // registers of one request, 1 to 125
	Gap  int // registers that the map does not name and that a request may read over
}

// Identity is how the controller is told from another device on the line.
type Identity struct {
	Product string // object 1 of the device identification, function 43/14
	Model   *Point // or a register
	Equals  *int64 // that holds this
}

// Leaf is where a leaf's state stands: one register with values (leaf names of
// ABC-LANE §4), or limit switches.
type Leaf struct {
	State    *Point
	Position *Point // percent open
	Closed   *Point
	Locked   *Point
	Open     *Point
}

// Watchdog is how the controller notices that nobody leads it any more.
type Watchdog struct {
	Heartbeat *Write
	State     *Point // values "DISARMED", "RUNNING", "TRIPPED"
	// Timeout is the longest time after the last heartbeat in which the
	// controller goes into FALLBACK by itself.
	Timeout Duration
}

// Egress says which leaf is freed when the controller is left alone: a
// register, or nothing; then the lane's configuration must say it.
type Egress struct {
	Fallback *Point // values "entry", "exit"
}

// Parameter is one of the gate's times: a register, or a fixed time.
type Parameter struct {
	Point *Point
	Fixed Duration
}

// Write is something that is written.
type Write struct {
	Register string
	Address  int
	Value    int // what is written to a holding register; a coil is switched on
	// Release says when it is taken back (0, off): "ack" once Ack is set,
	// "pulse" after Pulse, "none" never, "hold" where the lane switches it
	// (lights).
	Release string
	Ack     *Point
	Pulse   Duration
	// Style of a heartbeat: "count" writes 1, 2, 3 … Most, "toggle" 1 and 0.
	Style string
	Most  int

	At uint16 `toml:"-"` // the address on the wire
}

// Duration is a time with its unit, such as "200ms".
type Duration time.Duration

// UnmarshalText reads a time with its unit.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"3s\" or \"250ms\"", b)
	}
	*d = Duration(v)
	return nil
}

// Names of what a map may hold, in ABC-LANE's words and order.
var (
	SensorNames    = []string{"entry_approach", "entry_curtain", "zone_a", "zone_b", "exit_curtain", "exit_clear", "luggage", "tailgate"}
	StateNames     = []string{"BOOT", "SAFE_CLOSED", "READY", "ENTRY_OPEN", "OCCUPIED", "EXIT_OPEN", "FALLBACK", "EVACUATE", "FAULT", "MAINTENANCE"}
	LeafNames      = []string{"UNKNOWN", "CLOSED_LOCKED", "CLOSED_UNLOCKED", "OPENING", "OPEN", "CLOSING", "REVERSING", "STOPPED", "JAMMED", "FORCED"}
	FaultNames     = []string{"ENTRY_JAM", "EXIT_JAM", "ENTRY_SLOW", "EXIT_SLOW", "ENTRY_FORCE", "EXIT_FORCE", "SENSOR_STUCK", "SENSOR_MISMATCH", "LOCK_ENTRY", "LOCK_EXIT", "SUPPLY_LOW", "TEMP_RANGE", "EVT_OVERFLOW", "PARAM_DEFAULTED", "SELF_TEST", "BOTH_OPEN"}
	AlarmNames     = []string{"FIRE", "EGRESS_BUTTON", "TAILGATE", "MULTI_PERSON", "LEFT_LUGGAGE", "FORCED_ENTRY", "FORCED_EXIT", "WRONG_WAY", "DWELL", "ENTRY_BLOCKED", "EXIT_BLOCKED", "INTRUSION", "WATCHDOG", "TAMPER"}
	WatchdogNames  = []string{"DISARMED", "RUNNING", "TRIPPED"}
	EgressNames    = []string{"entry", "exit"}
	LightNames     = []string{"entry_arrow", "entry_cross", "exit_arrow", "exit_cross", "green", "red", "amber", "buzzer"}
	ParameterNames = []string{"open_max", "close_max", "entry_hold", "exit_hold"}
	CommandNames   = []string{
		"OPEN_ENTRY", "OPEN_EXIT", "OPEN_RETURN", "CLOSE_ALL", "SAFE_CLOSED", "READY", "MAINTENANCE", "CLEAR_ALARM", "CLEAR_FAULT",
		"EVACUATE", "END_EVACUATE", "MOVE_ENTRY_OPEN", "MOVE_ENTRY_CLOSE", "MOVE_EXIT_OPEN", "MOVE_EXIT_CLOSE",
	}
	// ResultNames leaves out those that only a sequence can have.
	ResultNames = []string{"NONE", "OK", "IN_PROGRESS", "INTERLOCK", "BAD_STATE", "WATCHDOG", "FAULTED", "ALARMED", "LOCKED", "OCCUPANCY", "BUSY", "TIMEOUT", "OBSTRUCTED", "ABORTED"}
)

// Load reads and checks a map. Its error names every problem with its line and
// column. Whether a lane may work with such a gate is Judge's question.
func Load(path string) (*Map, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("regmap: %w", err)
	}
	m, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("regmap: %s:\n%w", path, err)
	}
	return m, nil
}

// Parse checks a map.
func Parse(b []byte) (*Map, error) {
	if len(b) > maxSize {
		return nil, fmt.Errorf("larger than %d bytes", maxSize)
	}
	m := &Map{}
	err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(m)
	var strict *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		var list []error
		for _, e := range strict.Errors {
			row, col := e.Position()
			list = append(list, fmt.Errorf("line %d, column %d: %s: unknown key", row, col, strings.Join(e.Key(), ".")))
		}
		return nil, errors.Join(list...)
	case errors.As(err, &syntax):
		row, col := syntax.Position()
		return nil, fmt.Errorf("line %d, column %d: %s", row, col, strings.TrimPrefix(syntax.Error(), "toml: "))
	case err != nil:
		return nil, err
	}
	p := &problems{places: places(b)}
	m.check(p)
	if err := p.join(); err != nil {
		return nil, err
	}
	return m, nil
}

// place is where a key stands in the file.
type place struct{ row, col int }

// places finds every key of a file that has been decoded without an error.
func places(b []byte) map[string]place {
	all := map[string]place{}
	var p unstable.Parser
	p.Reset(b)
	var table []string
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table:
			table = keep(&p, e, nil, all)
		case unstable.KeyValue:
			within(&p, e, table, all)
		}
	}
	return all
}

// keep notes the place of a key and of every table that it names on the way.
func keep(p *unstable.Parser, n *unstable.Node, under []string, all map[string]place) []string {
	path := slices.Clone(under)
	for it := n.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		key := strings.Join(path, ".")
		if _, known := all[key]; !known {
			at := p.Shape(it.Node().Raw).Start
			all[key] = place{at.Line, at.Column}
		}
	}
	return path
}

func within(p *unstable.Parser, n *unstable.Node, under []string, all map[string]place) {
	path := keep(p, n, under, all)
	if v := n.Value(); v.Kind == unstable.InlineTable {
		for it := v.Children(); it.Next(); {
			within(p, it.Node(), path, all)
		}
	}
}

// problem is something wrong at a place.
type problem struct {
	at   place
	text string
}

type problems struct {
	places map[string]place
	list   []problem
}

// add names a problem at a key; at its table where the key is not in the file.
func (p *problems) add(key, format string, args ...any) {
	at := place{1, 1}
	for k := key; k != ""; k = k[:max(0, strings.LastIndexByte(k, '.'))] {
		if where, ok := p.places[k]; ok {
			at = where
			break
		}
	}
	p.list = append(p.list, problem{at, fmt.Sprintf("%s: %s", key, fmt.Sprintf(format, args...))})
}

// join gives all problems in the order of the file.
func (p *problems) join() error {
	slices.SortStableFunc(p.list, func(a, b problem) int {
		if a.at.row != b.at.row {
			return a.at.row - b.at.row
		}
		return a.at.col - b.at.col
	})
	var list []error
	for _, x := range p.list {
		list = append(list, fmt.Errorf("line %d, column %d: %s", x.at.row, x.at.col, x.text))
	}
	return errors.Join(list...)
}
