package flood

import (
	"context"
	"flag"
	"os"
	"runtime"
	"testing"
	"time"

	"passage/kiosk/inlet"
)

// rounds is how often each inlet is flooded after it has warmed up; make flood
// does it for longer.
var rounds = flag.Int("rounds", 3, "floods of each inlet")

// target is an open inlet.
type target struct {
	// flood sends at least twice what the inlet takes, calls during while it is
	// under that load, and lets go.
	flood func(t *testing.T, during func())
	// serve is rightful traffic, which fails the test when it is not served.
	serve func(t *testing.T)
	// shed names the inlet that must have turned something away; empty where the
	// newest is kept and nothing counted.
	shed string
}

// inlets are the rows of docs/inlets.md.
var inlets = []struct {
	name string
	open func(t *testing.T, book *inlet.Book) target
}{
	{"a lane's pages: silent connections", lanePages(silent)},
	{"a lane's pages: headers that never end", lanePages(slowHeader)},
	{"a lane's pages: bodies that never end", lanePages(slowBody)},
	{"a lane's pages: new connections all the time", lanePages(restless)},
	{"a lane's pages: streams that nobody reads", laneStreams},
	{"a lane's pages: signing in", laneSignIn},
	{"a lane's pages: the help button", laneHelp},
	{"MRZ line: noise without a pause", mrzLine},
	{"camera: frames without a pause", frames},
	{"register: answers that never end", registerAnswers},
	{"metrics: silent connections", figures},
	{"site: a lane that floods the fleet", siteFleet},
	{"site: a lane that sends good batches without end", siteJournal},
	{"site: enrolment", siteEnrolment},
	{"console: signing in", consoleSignIn},
}

func TestInlets(t *testing.T) {
	for _, row := range inlets {
		t.Run(row.name, func(t *testing.T) {
			book := &inlet.Book{}
			x := row.open(t, book)
			x.serve(t)
			x.flood(t, func() { x.serve(t) }) // warm
			was := measure(size{})
			turned := count(book, x.shed)
			for range *rounds {
				x.flood(t, func() { x.serve(t) })
				if now := count(book, x.shed); x.shed != "" && now <= turned {
					t.Errorf("nothing of a flood was turned away: %v", book.Counts())
				} else {
					turned = now
				}
			}
			x.serve(t)
			now := measure(was)
			if now.routines > was.routines+slack || now.files > was.files+slack || now.heap > was.heap+was.heap/2+4<<20 {
				t.Errorf("it grew from %+v to %+v", was, now)
			}
			t.Logf("%v turned away; %d goroutines, %d files, %.1f MB before and %d, %d, %.1f MB after", turned,
				was.routines, was.files, float64(was.heap)/(1<<20), now.routines, now.files, float64(now.heap)/(1<<20))
		})
	}
}

// count is what an inlet has turned away.
func count(book *inlet.Book, name string) (n uint64) {
	for l, c := range book.Counts() {
		if l.Inlet == name {
			n += c
		}
	}
	return n
}

// size is what a program holds.
type size struct {
	routines, files int
	heap            uint64
}

// slack is what a runtime opens and closes by itself: an idle connection, a
// timer's goroutine.
const slack = 8

// measure is the size of this program, once it is no larger than was; after some
// seconds as it is. What has been let go of ends beside us.
func measure(was size) (is size) {
	for range 300 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		files, _ := os.ReadDir("/proc/self/fd") // without it there is nothing to compare
		now := size{runtime.NumGoroutine(), len(files), m.HeapAlloc}
		settled := now.routines == is.routines && now.files == is.files
		if is = now; settled && (was.routines == 0 || is.routines <= was.routines+slack && is.files <= was.files+slack && is.heap <= was.heap+was.heap/2+4<<20) {
			return is
		}
		<-time.After(20 * time.Millisecond)
	}
	return is
}

// beside runs f until the test ends.
func beside(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
