package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"passage/hwsim/canary"
	"passage/hwsim/persona"
	"passage/sqlite"
)

var walk = flag.String("walk", "", "walk these travellers, such as P01,P10, or all, through lanes of real processes, and search what is left of them; needs make build, root and a minute or more")

// walked are the tests' view of a demonstration.
type walked struct {
	*demo
	t    *testing.T
	find canary.Finder

	planting sync.RWMutex // guards find, which learns faces while it searches

	mu       sync.Mutex
	said     map[string][]byte // messages and pages, by where they were heard
	keys     map[string]bool   // wrapped keys of transactions that were seen in the stores
	control  sync.Once
	inside   bool // a name was seen in the memory of a lane at work: the search can find one
	looks    int
	fetched  map[string]int // tries to fetch a picture
	have     map[string]int // pictures fetched
	pictures int
}

// TestWalk walks travellers with names, numbers and faces that are nowhere else
// through lanes of the shipped programs. While they are under way nothing of
// them may be on a disk. Afterwards nothing may be left of them: in no file or
// freed page, log, figure, message of the fleet, in no page that needs no
// officer, and in no byte of the memory of the programs that served them.
func TestWalk(t *testing.T) {
	if *walk == "" {
		t.Skip("walks with -walk P01,P07 or -walk all; see make privacy")
	}
	t.Chdir("../../..")
	// The unit's setting: what is freed is overwritten.
	unit, err := os.ReadFile("packaging/passage-kioskd.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nEnvironment=GODEBUG=clobberfree=1\n") {
		t.Error("the lane's unit does not have freed memory overwritten")
	}
	t.Setenv("GODEBUG", "clobberfree=1")
	list, err := persona.All()
	if err != nil {
		t.Fatal(err)
	}
	if *walk != "all" {
		list = slices.DeleteFunc(list, func(p persona.Persona) bool { return !slices.Contains(strings.Split(*walk, ","), p.ID) })
	}
	w := &walked{t: t, said: map[string][]byte{}, keys: map[string]bool{}, fetched: map[string]int{}, have: map[string]int{}}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz"[r.IntN(26)]
		}
		return strings.ToUpper(string(b[:1])) + string(b[1:])
	}
	for i := range list {
		p := &list[i]
		p.Name = []string{word(12), word(10)}
		if p.DocumentOf != "" {
			continue // the number is another's
		}
		w.find.Plant("surname of "+p.ID, []byte(p.Name[0]))
		w.find.Plant("given names of "+p.ID, []byte(p.Name[1]))
		w.find.Plant("number of "+p.ID, []byte(p.Number()))
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	w.demo = newDemo(demoCmd{Once: true, Lanes: 3, Dir: filepath.Join(dir, "demo"), Port: 9680, VPCD: true}, list)
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	w.opened, w.closing = w.listen, w.search
	if err := w.run(ctx, list); err != nil {
		t.Log(err) // how travellers fared is the demonstration's to judge
	}
	w.report("files of the lanes and the site, after they ended", w.files())
	w.gone()
	t.Logf("%d travellers; %d looks at the disks while they were under way; %d pictures of them", len(list), w.looks, w.pictures)
}

// report makes findings errors.
func (w *walked) report(where string, found []string) {
	for _, f := range found {
		w.t.Errorf("%s: the %s", where, f)
	}
}

func (w *walked) note(where string, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[where] = append(w.said[where], b...)
}

// listen hears all messages of the fleet, follows the pages, and looks at disks
// and memory while travellers are under way.
func (w *walked) listen(ctx context.Context) error {
	nc, err := w.tap()
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, nc.Close)
	if _, err := nc.Subscribe(">", func(m *nats.Msg) { w.note("messages of the fleet", append([]byte(m.Subject+" "), m.Data...)) }); err != nil {
		return err
	}
	for i, l := range w.places {
		base := fmt.Sprintf("http://127.0.0.1:%d", w.Port+i)
		go w.follow(ctx, http.DefaultClient, base+"/traveller/events", func(b []byte) { w.note("the traveller's screen", b) })
		go w.follow(ctx, http.DefaultClient, base+"/lane/events", func(b []byte) { w.note("the lane's page without an officer", b) })
		officer, err := w.signIn(ctx, base)
		if err != nil {
			return err
		}
		go w.follow(ctx, officer, base+"/lane/events", func(b []byte) { w.faces(ctx, officer, base, l.name, b) })
		go w.look(ctx, l.name)
	}
	return nil
}

// tap joins the site's server as somebody who hears everything: with the site's
// own keys.
func (w *walked) tap() (*nats.Conn, error) {
	dir := filepath.Join(w.Dir, "site")
	seed, err := os.ReadFile(filepath.Join(dir, "keys", "account.seed"))
	if err != nil {
		return nil, err
	}
	account, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, err
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	public, err := user.PublicKey()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(public)
	claims.Pub.Deny.Add(">")
	token, err := claims.Encode(account)
	if err != nil {
		return nil, err
	}
	lane := filepath.Join(dir, "lane-"+"entry")
	pair, err := certificateIn(lane)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "keys", "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return nats.Connect(fmt.Sprintf("tls://127.0.0.1:%d", w.Port+51), nats.Secure(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}),
		nats.UserJWT(func() (string, error) { return token, nil }, user.Sign))
}

// certificateIn finds a lane's certificate and key.
func certificateIn(dir string) (tls.Certificate, error) {
	pairs, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		return tls.Certificate{}, err
	}
	keys, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil {
		return tls.Certificate{}, err
	}
	for _, c := range pairs {
		for _, k := range append(keys, pairs...) {
			if pair, err := tls.LoadX509KeyPair(c, k); err == nil {
				return pair, nil
			}
		}
	}
	return tls.Certificate{}, fmt.Errorf("%s has no certificate with its key", dir)
}

func (w *walked) signIn(ctx context.Context, base string) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Jar: jar}
	body, err := json.Marshal(map[string]string{"officer": "bert", "pin": pin})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/lane/api/sign-in", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return nil, fmt.Errorf("sign-in: %s", resp.Status)
	}
	return c, nil
}

// follow reads an event stream to its end.
func (w *walked) follow(ctx context.Context, c *http.Client, url string, see func([]byte)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	resp, err := c.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	b := make([]byte, 1<<20)
	for {
		n, err := resp.Body.Read(b)
		if n > 0 {
			see(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// faces fetches the pictures of whoever is in the lane, as an officer may, so
// that their bytes can be looked for later.
func (w *walked) faces(ctx context.Context, c *http.Client, base, lane string, view []byte) {
	_, id, ok := bytes.Cut(view, []byte(`"transaction":"`))
	if !ok || len(id) < 36 {
		return
	}
	for _, which := range []string{"chip", "live"} {
		w.mu.Lock()
		w.fetched[string(id[:36])+which]++
		enough := w.fetched[string(id[:36])+which] > 60 || w.have[string(id[:36])+which] > 1
		w.mu.Unlock()
		if enough {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/lane/face/%s/%s", base, id[:36], which), nil)
		if err != nil {
			return
		}
		resp, err := c.Do(req)
		if err != nil {
			return
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(b) < 1000 {
			continue
		}
		w.planting.Lock()
		for i := 1; i < 4; i++ {
			at := len(b) * i / 4
			w.find.Plant(which+" picture", b[at:at+24])
		}
		w.pictures++
		w.planting.Unlock()
		w.control.Do(func() { // once: it costs the lane time
			found, err := w.memory(w.kiosks[lane].pid())
			w.inside = err == nil && len(found) > 0
		})
		w.mu.Lock()
		w.have[string(id[:36])+which]++
		w.mu.Unlock()
	}
}

// look searches a lane's files for who is under way, and takes down which keys
// its store holds.
func (w *walked) look(ctx context.Context, lane string) {
	for ctx.Err() == nil {
		path := filepath.Join(w.Dir, lane+".db")
		var all []byte
		for _, suffix := range []string{"", "-wal", "-shm"} {
			b, err := os.ReadFile(path + suffix)
			if err == nil {
				all = append(all, b...)
			}
		}
		for _, k := range w.wrapped(ctx, path) {
			w.mu.Lock()
			w.keys[k] = true
			w.mu.Unlock()
		}
		w.mu.Lock()
		w.looks++
		w.mu.Unlock()
		found := w.in(all)
		w.report("the store of lane "+lane+" while it works", found)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// wrapped are the keys of single transactions in a lane's store.
func (w *walked) wrapped(ctx context.Context, path string) (list []string) {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	if err != nil {
		return nil
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT key FROM intent_key UNION ALL SELECT key FROM outbox_key")
	if err != nil {
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var k []byte
		if rows.Scan(&k) == nil {
			list = append(list, string(k[8:])) // the ring's key names itself first
		}
	}
	return list
}

// search looks everywhere once everybody has left, while the programs still
// run.
func (w *walked) search(ctx context.Context) error {
	if !w.inside {
		w.t.Error("a lane's memory never held a name: the search proves nothing")
	}
	select { // what is under way to the register and the site
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(15 * time.Second):
	}
	for i := range w.places {
		for _, what := range []string{"metrics", "debug/pprof/goroutine?debug=2", "debug/pprof/heap?debug=1"} {
			resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/%s", w.Port+60+i, what))
			if err != nil {
				return err
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || len(b) < 100 {
				return fmt.Errorf("%s: %d bytes, %s, %w", what, len(b), resp.Status, err)
			}
			w.note("figures", b)
		}
	}
	w.mu.Lock()
	for where, b := range w.said {
		w.t.Logf("%s: %d bytes", where, len(b))
		if len(b) == 0 {
			w.t.Errorf("%s: nothing was heard", where)
		}
		w.report(where, w.in(b))
	}
	w.mu.Unlock()
	w.report("files of the lanes and the site", w.files())
	for _, l := range w.places {
		pid := w.kiosks[l.name].pid()
		family := append(children(pid), pid)
		for _, p := range family {
			found, err := w.memory(p)
			if err != nil {
				return err
			}
			w.report(fmt.Sprintf("memory of %s of lane %s", name(p), l.name), found)
		}
	}
	found, err := w.memory(w.site.program.pid())
	w.report("memory of consoled", found)
	return err
}

// files searches everything that lanes, site and register have written: the
// register may know, but seals what it writes.
func (w *walked) files() (list []string) {
	n := 0
	root := filepath.Dir(w.Dir)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		found, err := w.file(path)
		for _, f := range found {
			list = append(list, f+" in "+strings.TrimPrefix(path, root))
		}
		n++
		return err
	})
	if err != nil || n < 20 {
		w.t.Errorf("only %d files were searched: %v", n, err)
	}
	w.t.Logf("%d files searched", n)
	return list
}

func (w *walked) file(path string) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a log that was emptied meanwhile
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return w.through(f)
}

func (w *walked) in(b []byte) []string {
	found, _ := w.through(bytes.NewReader(b)) // no reader to fail
	return found
}

func (w *walked) through(r io.Reader) ([]string, error) {
	w.planting.RLock()
	defer w.planting.RUnlock()
	return w.find.Through(r)
}

// memory searches all that a core dump of a process would hold.
func (w *walked) memory(pid int) ([]string, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	var all []string
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		found, err := w.through(io.NewSectionReader(mem, from, to-from))
		if err != nil && !strings.Contains(err.Error(), "input/output error") { // a guard page
			return all, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func name(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return strconv.Itoa(pid)
	}
	f := bytes.Split(b, []byte{0})
	return strings.TrimSpace(filepath.Base(string(f[0])) + " " + string(f[min(1, len(f)-1)]))
}

// gone proves erasure: no wrapped key of a transaction that is over is in any
// byte of a store, and nothing sealed is left but open cases.
func (w *walked) gone() {
	if len(w.keys) == 0 {
		w.t.Error("no key of a transaction was ever seen: this proves nothing")
	}
	for _, l := range w.places {
		path := filepath.Join(w.Dir, l.name+".db")
		db, err := sqlite.Open(w.t.Context(), path)
		if err != nil {
			w.t.Fatal(err)
		}
		var records, waiting, intents, cases int
		err = errors.Join(
			db.Reader.QueryRow("SELECT count(*), count(sealed) FROM outbox").Scan(&records, &waiting),
			db.Reader.QueryRow("SELECT count(sealed) FROM intent").Scan(&intents),
			db.Reader.QueryRow("SELECT count(*) FROM settlement WHERE kind='case' AND closed IS NULL").Scan(&cases),
			db.Close())
		if err != nil {
			w.t.Fatal(err)
		}
		if records == 0 || waiting != 0 || intents > cases {
			w.t.Errorf("lane %s: %d records, %d still sealed; %d sealed intents, %d open cases", l.name, records, waiting, intents, cases)
		}
		left := 0
		var all []byte
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if b, err := os.ReadFile(path + suffix); err == nil {
				all = append(all, b...)
			}
		}
		for k := range w.keys {
			if bytes.Contains(all, []byte(k)) {
				left++
			}
		}
		if left > intents {
			w.t.Errorf("lane %s: %d destroyed keys are still in its file", l.name, left-intents)
		}
	}
	w.t.Logf("%d keys were seen in the stores, and destroyed", len(w.keys))
}
