package gate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"passage/hwsim/gate"
)

// prelude is the shell's part of gate-protocol.md §15.
const prelude = `M='mbpoll -m rtu -a 1 -b 19200 -P even -0 -1 -o 0.5'
R() { $M -r $1 -c $2 -t 3:hex $D; }
W() { a=$1; shift; $M -r $a $D "$@"; }
H() { for h in "$@"; do W 16 $h; done; }
`

// What mbpoll says to a write that was taken and to three that were not.
const (
	ok1   = "Written 1 references."
	ok4   = "Written 4 references."
	value = "Write output (holding) register failed: Illegal data value"
	addr  = "Write output (holding) register failed: Illegal data address"
	fails = "Write output (holding) register failed: Slave device or server failure"
)

// rows are the table of §15 as the page writes it: the command, and what it
// prints, in this order; in a register's value n stands for any digit.
var rows = []struct {
	shell  string
	prints []string
	also   func(t *testing.T, out string, sh func(string) string)
}{
	1: {"R 0 26", []string{"[0]: 0x0100", "[4]: 0x0001", "[5]: 0x0100", "[6]: 0x0100"}, func(t *testing.T, out string, _ func(string) string) {
		if n := strings.Count(out, "]: 0x"); n != 26 {
			t.Errorf("%d registers, want 26", n)
		}
	}},
	2: {"$M -r 2 -c 1 -t 3:int -B $D; $M -r 2 -c 1 -t 3:int -B $D", nil, func(t *testing.T, out string, _ func(string) string) {
		if v := values(t, out, 2); len(v) != 2 || v[1] <= v[0] {
			t.Errorf("uptimes %v, want a second one that is larger", v)
		}
	}},
	3:  {"$M -u $D", []string{"Id : 0x41", "Status: On", "Data : ABC-LANE 1.0 "}, nil},
	4:  {"W 0x10B 5000", []string{ok1}, nil},
	5:  {"W 0x10B 100; W 0x10A 4", []string{value, value}, nil},
	6:  {"W 0 5 1 0 1; R 17 2", []string{ok4, "[17]: 0x0001", "[18]: 0x0514"}, nil},
	7:  {"H 1 2 3; R 19 2", []string{ok1, ok1, ok1, "[19]: 0x0003", "[20]: 0x0001"}, nil},
	8:  {"W 0 5 1 0 2; R 17 2", []string{ok4, "[17]: 0x0002", "[18]: 0x0501"}, nil},
	9:  {"R 15 1; W 0 5 1 0 2; R 15 1", []string{"[15]: 0xnnnn", ok4, "[15]: 0xnnnn"}, same(15)},
	10: {"W 0 5 0 0 2", []string{value}, nil},
	11: {"W 0 1 1 0 3; R 4 2", []string{ok4, "[4]: 0x0003", "[5]: 0x03nn"}, nil},
	12: {"W 0 2 0 0 4; R 17 2", []string{ok4, "[17]: 0x0004", "[18]: 0x0212"}, nil},
	13: {"W 0x10B 1000", []string{fails}, nil},
	14: {"W 0 1; W 16 0", []string{addr, value}, nil},
	15: {"R 0 27", []string{"Read input register failed: Illegal data address"}, nil},
	16: {"R 0x1005 5", []string{"[4101]: 0x0001", "[4104]: 0x0001"}, nil},
	17: {"sleep 7; R 20 1; R 4 1", []string{"[20]: 0x0002", "[4]: 0x0306"}, nil},
	18: {"$M -r 0 -t 0 $D 1", []string{"Write discrete output (coil) failed: Slave device or server failure"}, nil},
	19: {"H 4 5 6; W 0 4 0 0 5; sleep 3; H 7; W 0 5 0 0 6; R 17 2", []string{ok1, ok1, ok1, ok4, ok1, ok4, "[17]: 0x0006", "[18]: 0x0501"}, nil},
	20: {"W 0 6 0x1000 0 7; R 14 1", []string{ok4, "[14]: 0x0000"}, nil},
	21: {"R 1 1; W 0 10 0x5253 0 8; sleep 20; R 1 1; R 17 1", []string{"[1]: 0xnnnn", ok4, "[1]: 0xnnnn", "[17]: 0x0000"}, func(t *testing.T, out string, _ func(string) string) {
		if v := values(t, out, 1); len(v) != 2 || uint16(v[1]) != uint16(v[0]+1) {
			t.Errorf("boot counts %v, want one more", v)
		}
	}},
	22: {"W 0x10B 1000", []string{ok1}, nil},
	23: {"$M -a 2 -r 0 -c 1 -t 3 $D", []string{"Read input register failed: Connection timed out"}, nil},
	24: {"$M -r 0 -c 64 -t 1 $D", nil, func(t *testing.T, out string, sh func(string) string) {
		for k, register := range []int{7, 13, 14, 24} {
			var word int64
			for bit := range 16 {
				v := values(t, out, 16*k+bit)
				if len(v) != 1 || v[0]>>1 != 0 {
					t.Fatalf("discrete input %d: %v", 16*k+bit, v)
				}
				word |= v[0] << bit
			}
			if v := values(t, sh(fmt.Sprintf("R %d 1", register)), register); len(v) != 1 || v[0] != word {
				t.Errorf("register %d is %04X, its discrete inputs say %04X", register, v, word)
			}
		}
	}},
}

// Rows 7 to 15 must be done before the watchdog of row 4 trips.
const (
	armed, lastArmed = 7, 15
	within           = 5 * time.Second
)

// values are the numbers that mbpoll printed for an address, in order.
func values(t *testing.T, out string, address int) []int64 {
	t.Helper()
	var list []int64
	for _, m := range regexp.MustCompile(fmt.Sprintf(`(?m)^\[%d\]: (\S+)`, address)).FindAllStringSubmatch(out, -1) {
		v, err := strconv.ParseInt(m[1], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func same(address int) func(*testing.T, string, func(string) string) {
	return func(t *testing.T, out string, _ func(string) string) {
		if v := values(t, out, address); len(v) != 2 || v[0] != v[1] {
			t.Errorf("register %d: %v, want no change", address, v)
		}
	}
}

// TestConformance plays §15 with a public tool that knows nothing of Passage:
// what passes here is the protocol as others read it.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("rows 17, 19 and 21 take half a minute")
	}
	if _, err := exec.LookPath("mbpoll"); err != nil {
		t.Skip("needs mbpoll; make setup installs it")
	}
	tty := filepath.Join(t.TempDir(), "gate")
	g := gate.New(gate.Config{})
	g.Advance(2 * time.Second) // freshly booted
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, tty) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	for began := time.Now(); ; { // the link appears when the terminal is open
		if _, err := os.Lstat(tty); err == nil {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("the gate does not come up")
		}
	}

	space := regexp.MustCompile(`[ \t]+`)
	sh := func(command string) string {
		c := exec.CommandContext(ctx, "sh", "-c", prelude+command)
		c.Env = append(os.Environ(), "D="+tty, "LC_ALL=C")
		b, _ := c.CombinedOutput() // its status is that of the last command, and some must fail
		return space.ReplaceAllString(string(b), " ")
	}
	var since time.Time
	for n, row := range rows {
		if n == 0 {
			continue
		}
		if n == armed {
			since = time.Now()
		}
		t.Run(fmt.Sprint("row", n), func(t *testing.T) {
			out := sh(row.shell)
			rest := out
			for _, want := range row.prints {
				pattern := regexp.QuoteMeta(want)
				if strings.HasPrefix(want, "[") {
					pattern = strings.ReplaceAll(pattern, "n", "[0-9A-F]")
				}
				at := regexp.MustCompile("(?m)^" + pattern).FindStringIndex(rest)
				if at == nil {
					t.Fatalf("%s: no %q in\n%s", row.shell, want, out)
				}
				rest = rest[at[1]:]
			}
			if row.also != nil {
				row.also(t, out, sh)
			}
		})
		if took := time.Since(since); n == lastArmed && took > within {
			t.Fatalf("rows %d to %d took %v; this machine is too slow for them", armed, lastArmed, took)
		}
	}
}
