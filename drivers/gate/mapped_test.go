package gate

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"passage/drivers/gate/regmap"
)

// Whatever a foreign controller's registers hold, two polls of them are refused
// or say something that can be: names exist, a closed leaf stands at 0, nobody
// is counted beyond what the registers say, and evidence needs its counters.
func FuzzMappedPoll(f *testing.F) {
	var maps []*regmap.Map
	for _, name := range []string{"counters", "status-word"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "examples", "gates", name+".toml"))
		if err != nil {
			f.Fatal(err)
		}
		m, err := regmap.Parse(b)
		if err != nil {
			f.Fatal(err)
		}
		maps = append(maps, m)
	}
	f.Add([]byte{1, 0, 20, 0, 0, 0, 1}, false)
	f.Add([]byte{0x02, 0x33, 0x80, 0x01, 0xFF}, true)
	f.Fuzz(func(t *testing.T, b []byte, second bool) {
		m := maps[0]
		if second {
			m = maps[1]
		}
		g := newMapped(newRegisters(nil, 1, 19200), Config{Map: m, Baud: 19200})
		for turn := range 2 {
			g.read = map[string]Reading{}
			for _, p := range m.Polled() {
				var four [4]byte
				n := copy(four[:], b)
				b = b[n:]
				g.read[p.Name] = Reading{p, binary.BigEndian.Uint32(four[:]) & p.Most()}
			}
			s, err := g.decode(time.Unix(int64(turn), 0))
			if err != nil {
				continue
			}
			if s.State >= states || s.Entry >= leaves || s.Exit >= leaves || s.Watchdog > 2 || s.EntryPos > 100 || s.ExitPos > 100 {
				t.Errorf("%+v", s)
			}
			if s.Entry.Closed() && s.EntryPos != 0 || s.Exit.Closed() && s.ExitPos != 0 {
				t.Errorf("a closed leaf stands open: %+v", s)
			}
			for _, k := range []int{0, 1, 2, 6, 7} {
				if s.Edges[k] != 0 {
					t.Errorf("S%d counts without a counter", k)
				}
			}
		}
	})
}
