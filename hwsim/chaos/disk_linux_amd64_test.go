package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"passage/kiosk/lane"
	"passage/sqlite"
)

// travellers is how many try to cross while a disk fails, one after the other.
const travellers = 4

func uuidOf(x lane.Transaction) string { return fmt.Sprintf("7e9a4c1e-3f55-4d0b-9a53-%012d", x) }

// again is a lane that goes on: whoever's intent or record fails is held, and the
// next one comes. It ends as a power cut ends it.
func again(dir string) error {
	s, err := openLane(dir)
	if err != nil {
		return err
	}
	fmt.Print(Mark)
	for x := range lane.Transaction(travellers) {
		x++
		s.Begin(x, uuidOf(x), time.Now())
		if err := wait(func(d func(error)) { s.Intend(x, facts(uuidOf(x)), d) }); err != nil {
			fmt.Println("held", x)
			continue
		}
		fmt.Println("exit open", x)
		if err := wait(func(d func(error)) { s.Record(x, time.Now(), d) }); err != nil {
			s.OpenCase(x, lane.Storage)
			continue
		}
		fmt.Println("crossed", x)
	}
	return nil
}

// A sync fails, and what it should have brought to the disk is lost although it
// can still be read: no later success makes up for it (what Linux does after
// EIO). Whatever is said afterwards is true when the power is cut: each exit that
// was opened has one record or one open case.
func TestLostSync(t *testing.T) {
	all, said := powerCut(t, &Disk{})
	if n := all.Syncs; strings.Count(said, "crossed") != travellers || n < 2*travellers {
		t.Fatalf("on a good disk: %d syncs, %q", n, said)
	}
	held := 0
	for n := 1; n <= all.Syncs; n++ {
		_, said := powerCut(t, &Disk{Fails: n})
		held += strings.Count(said, "held")
		if !strings.Contains(said, fmt.Sprintln("crossed", travellers)) && n <= all.Syncs/2 {
			t.Errorf("sync %d lost: the lane does not go on: %q", n, said)
		}
	}
	if held == 0 {
		t.Error("no lost sync kept anybody's exit shut")
	}
	t.Logf("%d syncs of %d crossings, each lost in turn: %d travellers held", all.Syncs, travellers, held)
}

// The file system becomes read-only beneath the open store, in the middle of any
// of its calls, and is writable again after some. Who is then inside is held or
// becomes a case, nobody is lost, and the lane goes on.
func TestReadOnlyBeneath(t *testing.T) {
	all, _ := powerCut(t, &Disk{})
	held, tried := 0, 0
	for n := 1; n <= all.Calls; n += max(1, *every/3) {
		_, said := powerCut(t, &Disk{ReadOnly: n, Refused: 3})
		held += strings.Count(said, "held")
		if n <= all.Calls/4 && !strings.Contains(said, fmt.Sprintln("crossed", travellers)) {
			t.Errorf("read-only from call %d: the lane does not go on: %q", n, said)
		}
		tried++
	}
	if held == 0 {
		t.Error("a read-only disk kept nobody's exit shut")
	}
	t.Logf("read-only from each of %d calls of %d: %d travellers held", tried, all.Calls, held)
}

// powerCut has travellers cross on a disk, cuts the power, and holds what is left
// against what was said.
func powerCut(t *testing.T, disk *Disk) (*Disk, string) {
	t.Helper()
	dir := folder(t)
	if s, err := openLane(dir); err != nil {
		t.Fatal(err)
	} else if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := disk.Take(dir); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, ended, err := Run(t.Context(), self(t), environment(role+"=again", "DIR="+dir), Blow{Disk: disk}, &out)
	skipUntraced(t, err)
	said := out.String()
	if !ended {
		t.Fatalf("the lane does not come to its end: %q", said)
	}
	if err := disk.PowerCut(); err != nil {
		t.Fatal(err)
	}
	s, err := openLane(dir)
	if err != nil {
		t.Fatal(err)
	}
	if x := s.was.OpenIntent; x != 0 {
		s.OpenCase(x, lane.PowerCut)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "lane.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for x := range lane.Transaction(travellers) {
		x++
		var records, cases int
		if err := db.Reader.QueryRow("SELECT (SELECT count(*) FROM outbox WHERE key LIKE ?||'%'), (SELECT count(*) FROM settlement WHERE txn=? AND kind='case' AND closed IS NULL)", uuidOf(x), x).Scan(&records, &cases); err != nil {
			t.Fatal(err)
		}
		opened, gone := strings.Contains(said, fmt.Sprintln("exit open", x)), strings.Contains(said, fmt.Sprintln("crossed", x))
		if records+cases > 1 || opened && records+cases != 1 || gone && records != 1 {
			t.Errorf("sync %d lost, or read-only from %d, having said %q: traveller %d has %d records and %d open cases", disk.Fails, disk.ReadOnly, strings.TrimPrefix(said, Mark), x, records, cases)
		}
	}
	return disk, said
}

// The model itself: what was never synced is gone after the cut, and what a lost
// sync dropped stays gone though a later one succeeds.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("aaaa"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Disk{Fails: 1}
	if err := d.Take(dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pid, fd := os.Getpid(), int(f.Fd())
	write := func(s string, at int64) {
		if _, err := f.WriteAt([]byte(s), at); err != nil {
			t.Fatal(err)
		}
		d.wrote(pid, fd, at, int64(len(s)))
	}
	write("b", 0)
	if !d.fails(pid, fd) {
		t.Fatal("the first sync does not fail")
	}
	write("c", 1)
	if d.fails(pid, fd) {
		t.Fatal("the second sync fails")
	}
	if err := d.synced(pid, fd); err != nil {
		t.Fatal(err)
	}
	write("d", 2)
	if b, _ := os.ReadFile(path); string(b) != "bcda" {
		t.Fatalf("the process reads %q", b)
	}
	if err := d.PowerCut(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "acaa" {
		t.Errorf("on the disk is %q", b)
	}
}
