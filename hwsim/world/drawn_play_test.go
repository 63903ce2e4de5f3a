package world_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"passage/eesclient/stay"
	"passage/hwsim/canary"
	"passage/hwsim/gate"
	"passage/hwsim/register"
	"passage/hwsim/world"
	"passage/kiosk"
	"passage/kiosk/journal"
	"passage/kiosk/lane"
)

// told is a seed's story, as it went.
type told struct {
	text    strings.Builder
	crossed int
	met     map[string]int // by fault and state
	bad     []string
}

// drawnLane is a lane that a seed plays on.
type drawnLane struct {
	*told
	t     *testing.T
	w     *world.World
	list  []fault
	began time.Time
	used  map[string]bool // wrapped keys that were in use

	mu     sync.Mutex // of told, and of:
	armed  []broken
	active map[string]bool // parts
}

// say adds a line to the story. The lock is held.
func (d *drawnLane) say(format string, args ...any) {
	fmt.Fprintf(&d.text, "%v "+format+"\n", append([]any{time.Since(d.began)}, args...)...)
}

func (d *drawnLane) wrong(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = append(d.bad, fmt.Sprintf(format, args...))
	d.say("BROKEN: "+format, args...)
}

// playDrawn plays a seed's travellers on one lane, with its database on disk or
// in memory. discreet enters them in a list that no lane may notice.
func playDrawn(t *testing.T, list []fault, walks []walk, onDisk, discreet bool) *told {
	t.Helper()
	d := &drawnLane{told: &told{met: map[string]int{}}, t: t, list: list, used: map[string]bool{}, active: map[string]bool{}}
	dir := ""
	if onDisk {
		var err error
		if dir, err = os.MkdirTemp("", "lane"); err != nil { // a test's own would stay until the last seed
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
	}
	var log bytes.Buffer
	liveIn(t, dir, func(w *world.World) {
		d.w, d.began = w, time.Now()
		w.Log, w.OnStep = &log, d.step
		w.Gate.Listen(d.opened)
		if discreet {
			d.enter()
		}
	}, func(t *testing.T, w *world.World) {
		d.t = t // the bubble's
		for _, x := range walks {
			if !d.walk(x) {
				return
			}
		}
		d.erased(dir, &log)
	})
	return d.told
}

// enter has the register know something that the lane must not notice.
func (d *drawnLane) enter() {
	y, m, day := time.Now().UTC().Date()
	today := time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
	if err := d.w.Register.Load(context.Background(), register.Person{
		Number: world.Number, Issuer: "BRA", File: "F-1", Reference: true, Face: "match", Surname: "AMOSTRA", GivenNames: "BIA", Nationality: "BRA", Still: true,
		Birth: today.AddDate(-35, 0, 0).Format(time.DateOnly), Stays: []stay.Stay{{First: stay.On(today.AddDate(0, 0, -10))}},
		Hits: map[string]string{"SIS": "DISCREET"},
	}); err != nil {
		d.t.Fatal(err)
	}
}

// step notes what the lane does and shows, and begins what was to break then.
func (d *drawnLane) step(e kiosk.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, f := range e.Effects {
		fmt.Fprintf(&b, " %s%v", lane.Name(f), f)
	}
	d.say("%s %v S%d%s", lane.Name(e.Event), e.After.Phase, e.After.Screen(), b.String())
	d.armed = slices.DeleteFunc(d.armed, func(b broken) bool {
		if b.Phase != e.After.Phase {
			return false
		}
		go d.breaks(b)
		return true
	})
}

// breaks is a fault, from its wait to its end.
func (d *drawnLane) breaks(b broken) {
	f := d.list[b.Fault]
	p := part(f.name)
	time.Sleep(b.After)
	d.mu.Lock()
	if d.active[p] {
		d.mu.Unlock()
		return
	}
	d.active[p] = true
	d.met[f.name+" / "+d.w.Shell().State().Phase.String()]++
	d.say("%s", f.name)
	d.mu.Unlock()
	if f.name == "lane power cut" {
		if err := d.w.CutPower(bytes.Repeat([]byte{0xA5}, b.Torn)); err != nil {
			d.wrong("%v", err)
		}
	} else {
		f.begin(d.w)
	}
	time.Sleep(b.Last)
	f.end(d.w)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.active, p)
	d.say("%s: over", f.name)
}

// opened is asked whenever the exit has been commanded open: now, not later, the
// intent is on the disk.
func (d *drawnLane) opened(r gate.Record) {
	if r.What != "opened_exit" {
		return
	}
	if n := count(d.t, d.w, "SELECT count(*) FROM intent WHERE txn NOT IN (SELECT txn FROM settlement)"); n != 1 {
		d.wrong("the exit opened with %d open intents on disk", n)
	}
	for _, k := range d.keys() {
		d.used[k] = true
	}
}

// keys are the wrapped keys of travellers' data that lie on the lane's disk.
func (d *drawnLane) keys() (list []string) {
	rows, err := d.w.DB.Reader.QueryContext(context.Background(), "SELECT key FROM intent_key UNION ALL SELECT key FROM outbox_key")
	if err != nil {
		d.t.Error(err)
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var k []byte
		if err := rows.Scan(&k); err != nil {
			d.t.Error(err)
		}
		list = append(list, string(k))
	}
	return list
}

// walk is one traveller, from the open lane to the open lane. It returns false
// after a violation.
func (d *drawnLane) walk(x walk) bool {
	t, w := d.t, d.w
	d.mu.Lock()
	d.say("%s", x.text(d.list))
	d.mu.Unlock()
	idle := func(v kiosk.View) bool { return v.State.Phase == lane.Idle }
	opens := func() bool {
		ok := until(t, w, 6*time.Minute, idle)
		if v := w.Shell().View(); !ok {
			d.wrong("the lane does not open: %+v, unfit %v, alarms %v, faults %v", v.State, v.Unfit, v.Gate.Alarms, v.Gate.Faults)
		}
		return ok
	}
	if !opens() {
		return false
	}
	since := before{last: lane.Transaction(count(t, w, "SELECT coalesce(max(txn), 0) FROM crossing")), records: d.records()}
	w.Gate.Forget()
	w.Decision = x.Decision
	var chip map[string]int
	if x.Chip != "" {
		chip = map[string]int{x.Chip: 1}
	}
	card, err := w.Card(chip)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.armed = slices.Clone(x.Breaks)
	d.mu.Unlock()
	person := w.Traveller(x.Script, card)
	person.Patience = x.patience()
	through, err := person.Walk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !through && x.Script != "forget" {
		at, _ := w.Gate.Position("bia")
		d.wrong("trapped: at %.1f m after %v: %+v", at, x.patience(), w.Shell().View().State)
	}
	w.Gate.Remove("bag")
	w.Field.Put(nil)
	d.mu.Lock()
	d.armed = nil
	d.mu.Unlock()
	time.Sleep(4 * time.Second) // virtual: what was armed has begun
	for n := 1; n > 0; time.Sleep(time.Second) {
		d.mu.Lock()
		n = len(d.active)
		d.mu.Unlock()
	}
	time.Sleep(25 * time.Second) // virtual: what was broken is mended by now
	if !opens() {
		return false
	}
	drained(t, w)
	end := verdict(t, w, since, d.wrong)
	crossed := 0
	for _, r := range w.Gate.Truth() {
		if r.What == "crossed" && r.Who == "bia" {
			crossed++
		}
	}
	d.settle(crossed > 0)
	if n := d.records() - since.records; n != crossed {
		d.wrong("%d times out by the exit, and the register has %d records in the end", crossed, n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crossed += crossed
	d.say("%s", end)
	return len(d.bad) == 0
}

func (d *drawnLane) records() int {
	list, err := d.w.Register.Records(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return len(list)
}

// settle has an officer settle the open cases, by what was seen.
func (d *drawnLane) settle(crossed bool) {
	finding := journal.NotCrossed
	if crossed {
		finding = journal.Crossed
	}
	cases, err := d.w.Shell().Cases(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range cases {
		if err := d.w.Shell().SettleCase(d.t.Context(), "anna", c.Transaction, finding); err != nil {
			d.wrong("%v", err)
		}
	}
	drained(d.t, d.w)
}

// erased searches all that the lane has when everybody is gone and everything
// is settled: for the traveller in every form, and for the keys that were in
// use, in every byte of its files.
func (d *drawnLane) erased(dir string, log *bytes.Buffer) {
	var names canary.Finder
	names.Plant("the surname", []byte("AMOSTRA"))
	names.Plant("the number", []byte(world.Number))
	time.Sleep(10 * time.Second) // virtual: the log has been emptied
	for _, k := range d.keys() {
		d.wrong("a key is left although nothing is open: %.8x", k)
	}
	look := func(where string, b []byte) {
		for _, found := range names.In(b) {
			d.wrong("%s: %s", where, found)
		}
		for k := range d.used {
			if bytes.Contains(b, []byte(k)) {
				d.wrong("%s: a key that was destroyed", where)
			}
		}
	}
	page, err := json.Marshal(d.w.Shell().View())
	if err != nil {
		d.t.Fatal(err)
	}
	look("the lane's page", page)
	look("the lane's log", log.Bytes())
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "lane*"))
	if err != nil || len(files) == 0 {
		d.t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			d.t.Fatal(err)
		}
		look(filepath.Base(f), b)
	}
}
