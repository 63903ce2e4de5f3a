package passport_test

import (
	"context"
	"crypto"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/pki"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

var (
	figures = flag.String("figures", "", "measure, and write the rows of docs/benchmarks.md to this file")
	runs    = flag.Int("grid", 2, "how often TestGrid runs every way of PACE")
)

// TestFigures measures what docs/benchmarks.md says of a chip. It asserts no
// times: they are the machine's.
func TestFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("make bench AREA=chip runs this")
	}
	var rows strings.Builder
	row := func(what, target, measured, beside string) {
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", what, target, measured, beside)
		t.Log(what, measured, beside)
	}
	plan(t, row)
	link(t, row)
	host(t, row)
	agreements(t, row)
	trust(t, row)
	if err := os.WriteFile(*figures, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// weighed is a card whose own allocations are told apart from the reader's.
type weighed struct {
	*passport.Card
	own uint64
}

func (c *weighed) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	before := allocated()
	reply, err := c.Card.Transmit(ctx, b)
	c.own += allocated() - before
	return reply, err
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// timed is a card whose own time is told apart from the reader's.
type timed struct {
	*passport.Card
	busy  time.Duration // within the card
	last  time.Time     // end of the answer before
	pace  time.Duration // of the reader, between PACE's commands
	inner bool
}

func (c *timed) Transmit(ctx context.Context, b []byte) ([]byte, error) {
	began := time.Now()
	key := len(b) > 3 && (b[1] == 0x86 && b[0]&0x0C == 0 || b[1] == 0x22 && b[2] == 0xC1)
	if c.inner || key { // the reader has computed for this command
		if !c.last.IsZero() {
			c.pace += began.Sub(c.last)
		}
	}
	c.inner = key
	reply, err := c.Card.Transmit(ctx, b)
	c.last = time.Now()
	c.busy += c.last.Sub(began)
	return reply, err
}

// chips are those that the floor is reckoned for: bytes of the longest answer.
var chips = []struct {
	name string
	room int
}{{"icao-ext", 65535}, {"icao-2048", 2048}, {"icao-short", 256}}

// floor is the fewest exchanges and bytes that the files of a document take:
// those of the plan, and each file in answers as long as the chip's.
func floor(doc *emrtd.Document, room int) (apdus, payload int) {
	apdus = 1 + 5 + 1 + 2 // EF.CardAccess, PACE, SELECT, Chip Authentication
	for name, b := range doc.Files {
		payload += len(b)
		if name != "CardAccess" {
			apdus += (len(b) + room - 33 - 1) / (room - 33)
		}
	}
	return apdus, payload
}

func plan(t *testing.T, row func(string, string, string, string)) {
	for _, c := range chips {
		card, store := laid(t, c.name, nil, nil)
		doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now, COM: true, Groups: []int{15}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"COM", "SOD", "DG1", "DG2", "DG14", "DG15"} {
			if doc.Files[name] == nil {
				t.Fatalf("%s: %s is not read", c.name, name)
			}
		}
		least, payload := floor(doc, c.room)
		s := card.Stats()
		target := "≤ 16 APDUs, ≤ 24000 B"
		if c.name == "icao-short" {
			target = fmt.Sprintf("≤ %d APDUs", payload/223+16)
		} else if c.name == "icao-2048" {
			target = fmt.Sprintf("floor %d APDUs", least)
		}
		row("chip "+c.name+": exchanges and bytes", target, fmt.Sprintf("%d APDUs, %d B", s.APDUs, s.Bytes),
			fmt.Sprintf("floor %d APDUs; COM, SOD, DG1, DG2, DG14, DG15 and EF.CardAccess, %d B; %s, Chip Authentication, %s", least, payload, doc.Access, doc.Verdict))
	}
}

// link is how much of a reading passes while nothing is on the link.
func link(t *testing.T, row func(string, string, string, string)) {
	for _, c := range chips {
		var worst, share float64
		var whole, wire time.Duration
		for range 5 {
			p, err := passport.ByName(c.name)
			if err != nil {
				t.Fatal(err)
			}
			o := newOffice(t, "DE")
			store := o.trust(t)
			usual := profile()
			p.MRZ, p.Portrait, p.Width, p.Height = usual.MRZ, usual.Portrait, usual.Width, usual.Height
			card, err := passport.New(p, o.s)
			if err != nil {
				t.Fatal(err)
			}
			card.Rate = 424
			simulated := &timed{Card: card}
			zone := key(t, card)
			began := time.Now()
			if _, err := emrtd.Read(t.Context(), simulated, zone, emrtd.Options{Trust: store, Now: now}); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			// The card's cryptography and its late timers are the simulator's,
			// the link's time is the model's.
			on := card.Stats().Link
			reader := took - simulated.busy
			share = 100 * float64(reader) / float64(reader+on)
			if share >= worst {
				worst, whole, wire = share, reader+on, on
			}
		}
		row("chip "+c.name+": time not spent on the link at 424 kbit/s", "≤ 10 %", fmt.Sprintf("%.1f %%", worst),
			fmt.Sprintf("worst of 5: %v of which %v on the link", whole.Round(time.Millisecond), wire.Round(time.Millisecond)))
	}
}

// host is what a reading costs the reader without a link.
func host(t *testing.T, row func(string, string, string, string)) {
	var list []time.Duration
	var most uint64
	o := newOffice(t, "DE")
	store := crowd(t, 588, o.a)
	for range 20 {
		p, err := passport.ByName("icao-ext")
		if err != nil {
			t.Fatal(err)
		}
		usual := profile()
		p.MRZ, p.Portrait, p.Width, p.Height = usual.MRZ, usual.Portrait, usual.Width, usual.Height
		card, err := passport.New(p, o.s)
		if err != nil {
			t.Fatal(err)
		}
		zone := key(t, card)
		read := func(c apdu.Card) {
			if _, err := emrtd.Read(t.Context(), c, zone, emrtd.Options{Trust: store, Now: now}); err != nil {
				t.Fatal(err)
			}
		}
		c := &timed{Card: card}
		began := time.Now()
		read(c)
		list = append(list, time.Since(began)-c.busy)
		card.Reset()
		w := &weighed{Card: card}
		before := allocated()
		read(w)
		most = max(most, allocated()-before-w.own)
	}
	slices.Sort(list)
	row("reader without a link, 588 trust anchors", "≤ 80 ms", fmt.Sprintf("%v median, %v worst", list[10].Round(time.Millisecond/10), list[19].Round(time.Millisecond/10)),
		"20 readings of icao-ext in one process, the card's own time apart")
	row("memory allocated by a reading", fmt.Sprintf("≤ %.1f MB", 3*0.02+8), fmt.Sprintf("%.1f MB", float64(most)/1e6), "the most of 20, the card's own allocations apart")
}

// agreements is the reader's share of PACE.
func agreements(t *testing.T, row func(string, string, string, string)) {
	for _, c := range []struct {
		name   string
		v      passport.Variant
		target string
	}{
		{"P-256", passport.Variant{Mapping: passport.GM, Cipher: kdf.AES128, Parameter: 12}, "≤ 15 ms"},
		{"brainpoolP256r1", passport.Variant{Mapping: passport.GM, Cipher: kdf.AES128, Parameter: 13}, "≤ 15 ms"},
		{"brainpoolP512r1", passport.Variant{Mapping: passport.GM, Cipher: kdf.AES256, Parameter: 17}, "≤ 60 ms"},
	} {
		var list []time.Duration
		for range 21 {
			card, store := pacing(t, c.v, testpki.Seed(uint64(len(list))), true)
			simulated := &timed{Card: card}
			if _, err := emrtd.Read(t.Context(), simulated, key(t, card), emrtd.Options{Trust: store, Now: now}); err != nil {
				t.Fatal(err)
			}
			list = append(list, simulated.pace)
		}
		slices.Sort(list)
		row("PACE with generic mapping on "+c.name+": the reader's share", c.target, fmt.Sprintf("%.1f ms", float64(list[10].Microseconds())/1000), "median of 21")
	}
}

// crowd is a trust store of n authorities, of which a is one.
func crowd(t *testing.T, n int, a *testpki.Authority) *pki.Store {
	t.Helper()
	list := []*testpki.Authority{a}
	for i := range n - 1 {
		country := string([]byte{'A' + byte(i/26%26), 'A' + byte(i%26)})
		b, err := testpki.Make(country, now, testpki.Suite{}, testpki.Seed(uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	store, err := testpki.Trust(list...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// trust is how long a security object takes against a large store.
func trust(t *testing.T, row func(string, string, string, string)) {
	o := newOffice(t, "DE")
	store := crowd(t, 1000, o.a)
	groups := map[int][]byte{1: []byte("one"), 2: []byte("two")}
	sod, err := o.s.SOD(testpki.SecurityObject{Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	unknown := newOffice(t, "QX")
	stranger, err := unknown.s.SOD(testpki.SecurityObject{Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, target string
		sod          []byte
	}{{"a security object against 1,000 trust anchors", "< 10 ms", sod}, {"the same, of an authority that is not among them", "≤ 1 ms beside the signature", stranger}} {
		var list []time.Duration
		for range 101 {
			began := time.Now()
			emrtd.Verify(c.sod, groups, emrtd.Options{Trust: store, Now: now})
			list = append(list, time.Since(began))
		}
		slices.Sort(list)
		row(c.what, c.target, fmt.Sprintf("%.2f ms median, %.2f ms p99", float64(list[50].Microseconds())/1000, float64(list[99].Microseconds())/1000), "signature, chain, revocation and hashes; 101 times")
	}
}

// pacing is a card with one way of PACE and small files, all drawn from random.
func pacing(t *testing.T, v passport.Variant, random interface{ Read([]byte) (int, error) }, plain bool) (*passport.Card, *pki.Store) {
	t.Helper()
	p, err := passport.ByName(v.Name())
	if err != nil {
		t.Fatal(err)
	}
	p.MRZ, p.Portrait, p.Width, p.Height, p.Random = profile().MRZ, picture(200), 100, 100, random
	if plain {
		p.CA = passport.ChipAuth{}
	}
	card, store, err := passport.Issue(p, "DE", now, "")
	if err != nil {
		t.Fatal(err)
	}
	return card, store
}

// TestGrid reads a card with every way of PACE that the standard has, and with
// Chip Authentication by the same key agreement and cipher. Each run draws
// from a seed of its own, which a failure names.
func TestGrid(t *testing.T) {
	failed := 0
	for i, v := range passport.Variants() {
		t.Run(v.Name(), func(t *testing.T) {
			for n := range *runs {
				seed := uint64(1000*i + n)
				card, store := pacing(t, v, testpki.Seed(seed), false)
				o := emrtd.Options{Trust: store, Now: now, Random: testpki.Seed(seed + 1<<32)}
				if n%2 == 1 {
					o.CAN = "123456"
				}
				doc, err := emrtd.Read(t.Context(), card, key(t, card), o)
				if err != nil || doc.Verdict != emrtd.ChipGenuine || !strings.HasPrefix(doc.Access, "PACE") {
					failed++
					t.Errorf("seed %d: %v, %s by %s\n%+v", seed, err, doc.Verdict, doc.Access, doc.Checks)
				}
			}
		})
	}
	t.Logf("%d ways of PACE, %d runs each, %d failed", len(passport.Variants()), *runs, failed)
	if *runs < 50 {
		return
	}
	// Keys so long take seconds to make: once each, in the long grid alone.
	for _, bits := range []int{3072, 4096} {
		t.Run(fmt.Sprintf("Active Authentication with RSA-%d", bits), func(t *testing.T) {
			for _, short := range []bool{false, true} {
				doc, card, err := reading(t, "bac", nil, func(p *passport.Profile) {
					p.AA, p.Short = passport.ActiveAuth{Bits: bits, Hash: crypto.SHA256}, short
				})
				if err != nil || doc.Verdict != emrtd.ChipGenuine {
					t.Errorf("short lengths %v: %v, %s\n%+v", short, err, doc.Verdict, doc.Checks)
				} else if s := card.Stats(); s.Authentications != 1 {
					t.Errorf("short lengths %v: %+v", short, s)
				}
			}
		})
		t.Run(fmt.Sprintf("signed with RSA-%d", bits), func(t *testing.T) {
			suite := testpki.Suite{Bits: bits}
			a, err := testpki.Make("DE", now, suite, testpki.Seed(uint64(bits)))
			if err != nil {
				t.Fatal(err)
			}
			s, err := a.Issue(suite, now.AddDate(-1, 0, 0), now.AddDate(10, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			store, err := testpki.Trust(a)
			if err != nil {
				t.Fatal(err)
			}
			card, err := passport.New(profile(), s)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := emrtd.Read(t.Context(), card, key(t, card), emrtd.Options{Trust: store, Now: now})
			if err != nil || doc.Verdict != emrtd.ChipGenuine || !strings.HasSuffix(doc.Passive.SignatureAlgorithm, "WithRSA") {
				t.Errorf("%v, %s, %+v\n%+v", err, doc.Verdict, doc.Passive, doc.Checks)
			}
		})
	}
}
