package register_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"passage/eesclient/watchlist"
	"passage/hwsim/register"
	"passage/keys"
	"passage/kiosk"
	"passage/kiosk/devices"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

func copyOf(t *testing.T, b bench) *watchlist.Store {
	t.Helper()
	ring, err := keys.Fixed(make([]byte, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	s, err := watchlist.Open(t.Context(), t.TempDir(), ring, b.ExtractKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// take fetches the lists from a version on and takes them over.
func take(t *testing.T, b bench, s *watchlist.Store, since int64) (size, rows int) {
	t.Helper()
	in, err := b.Client.Lists(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	all, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err = s.Import(t.Context(), bytes.NewReader(all), time.Now()); err != nil {
		t.Fatal(err)
	}
	return len(all), rows
}

func subject(p register.Person) watchlist.Subject {
	birth, _ := time.Parse(time.DateOnly, p.Birth) // the tests' own
	return watchlist.Subject{Issuer: p.Issuer, Number: p.Number, Surname: p.Surname, GivenNames: p.GivenNames, Birth: birth, Nationality: p.Nationality}
}

// A lane's copy says what the register says to a lane, list by list, and
// follows it by deltas; discreet entries change nothing in it.
func TestLists(t *testing.T) { each(t, testLists) }

func testLists(t *testing.T, b bench) {
	stolen, wanted, watched := person(), person(), person()
	stolen.Hits["SLTD"] = "HIT_ACTION"
	wanted.File, wanted.Number, wanted.Surname, wanted.Hits = "F-2", "C02", "MUELLER", map[string]string{"SIS": "HIT_INQUIRY"}
	watched.File, watched.Number, watched.Surname, watched.Hits = "F-3", "C03", "DISKRET", map[string]string{"SIS": "DISCREET", "FPR": "DISCREET"}
	load(t, b, stolen, wanted, watched)
	s := copyOf(t, b)
	_, rows := take(t, b, s, 0)
	if rows != 4 {
		t.Errorf("%d rows: a document, and a document, a name and a sound", rows)
	}
	alike := wanted
	alike.Number, alike.Surname, alike.GivenNames = "Z9", "MILLER", "JOAN"
	says := func(list string, p register.Person, want watchlist.Find) {
		t.Helper()
		if got, _, err := s.Find(t.Context(), list, subject(p), time.Now()); err != nil || got != want {
			t.Errorf("%s of %s: %d, %v, want %d", list, p.Number, got, err, want)
		}
	}
	says("SLTD", stolen, watchlist.Action)
	says("SIS", wanted, watchlist.Inquiry)
	says("SIS", alike, watchlist.Possible)
	says("SIS", watched, watchlist.None)
	says("FPR", watched, watchlist.None)
	// The wanted one is found, another one is wanted: a delta says so.
	wanted.Hits = map[string]string{"SIS": "DISCREET"}
	found := person()
	found.File, found.Number, found.Surname, found.Hits = "F-4", "C04", "NEUMANN", map[string]string{"FPR": "HIT_ACTION"}
	load(t, b, wanted, found)
	version, _, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, rows = take(t, b, s, version); rows != 6 {
		t.Errorf("a delta of %d rows", rows)
	}
	says("SIS", wanted, watchlist.None)
	says("FPR", found, watchlist.Action)
	says("SLTD", stolen, watchlist.Action)
	// Whoever holds what the register doesn't know gets the whole.
	if _, rows = take(t, b, copyOf(t, b), 12345); rows != 4 {
		t.Errorf("the whole has %d rows", rows)
	}
}

// A discreet entry leaves no trace in what a lane gets: as many bytes with it
// as without it.
func TestListsWithoutDiscreet(t *testing.T) {
	var sizes []int
	for _, hit := range []string{"", "DISCREET"} {
		b := newBench(t)
		p, q := person(), person()
		q.File, q.Number, q.Hits = "F-2", "C02", map[string]string{"SIS": "HIT_ACTION"}
		if hit != "" {
			p.Hits["SIS"] = hit
		}
		load(t, b, p, q)
		in, err := b.Client.Lists(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
		// The head's time has as many digits as it needs.
		_, body, _ := bytes.Cut(all, []byte("\n"))
		sizes = append(sizes, len(body))
	}
	if sizes[0] != sizes[1] {
		t.Errorf("%v bytes", sizes)
	}
}

// A lane whose register is away asks its copy, for the lists that may.
func TestALaneAsksItsCopy(t *testing.T) {
	b := newBench(t)
	p := person()
	p.Hits["SLTD"] = "HIT_ACTION"
	load(t, b, p)
	s := copyOf(t, b)
	take(t, b, s, 0)
	reg := devices.NewRegister(b.Client, nil)
	lists := devices.NewLists(reg, s, []string{"SLTD", "SIS"}, b.Client.Lists)
	id := kiosk.Identity{Surname: p.Surname, GivenNames: p.GivenNames, Number: p.Number}
	birth, err := time.Parse(time.DateOnly, p.Birth)
	if err != nil {
		t.Fatal(err)
	}
	d := policy.Document{Code: "P", Issuer: p.Issuer, Nationality: p.Nationality, Birth: birth}
	if a := lists.Consult(t.Context(), lane.CheckSIS, id, d); a.Answer != lane.Clear || a.Age != 0 {
		t.Errorf("while the register is there: %+v", a)
	}
	b.Inject("all", "down")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reg.Watch(ctx, func(string) {}) }()
	for reg.Known(t.Context()) {
		<-time.After(10 * time.Millisecond)
	}
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	began := time.Now()
	for check, want := range map[lane.Check]lane.Answer{lane.CheckSIS: lane.LocalCopy, lane.CheckSLTD: lane.HitAction} {
		if a := lists.Consult(t.Context(), check, id, d); a.Answer != want || a.Age <= 0 {
			t.Errorf("%v while it is away: %+v, want %v", check, a, want)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the copy was asked after %v", took)
	}
	ctx2, cancel2 := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel2()
	if a := lists.Consult(ctx2, lane.CheckFPR, id, d); a.Answer != lane.NotConsulted {
		t.Errorf("a list of which there may be no copy: %+v", a)
	}
	if lists.Known(t.Context()) {
		t.Error("travellers are let in although FPR and LOST answer nobody")
	}
	all := devices.NewLists(reg, s, []string{"SLTD", "SIS", "FPR", "LOST"}, b.Client.Lists)
	if !all.Known(t.Context()) {
		t.Error("every list has a copy, and travellers are turned away")
	}
}
