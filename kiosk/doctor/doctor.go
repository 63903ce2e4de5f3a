// Package doctor looks at the devices of a lane and says of each what is wrong
// and what to do about it.
package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"passage/drivers/camera"
	"passage/drivers/emrtd/trust"
	"passage/drivers/gate"
	"passage/drivers/mrz"
	"passage/drivers/pcsc"
	"passage/eesclient"
	"passage/keys"
	"passage/kiosk/config"
	"passage/kiosk/devices"
	"passage/matcher"
	"passage/sqlite"
)

// Finding is what looking at one device gave.
type Finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, warn, bad
	Found string `json:"found"`
	Todo  string `json:"todo,omitempty"`
}

func good(format string, args ...any) Finding {
	return Finding{State: "ok", Found: fmt.Sprintf(format, args...)}
}

func warn(todo, format string, args ...any) Finding {
	return Finding{State: "warn", Found: fmt.Sprintf(format, args...), Todo: todo}
}

func bad(err error, todo string) Finding {
	return Finding{State: "bad", Found: err.Error(), Todo: todo}
}

// Check is one thing to look at.
type Check struct {
	Name string
	Look func(context.Context, config.Config) Finding
}

// Checks are all of them, in the order in which a lane needs what they look at.
func Checks() []Check {
	return []Check{
		{"clock", lookClock},
		{"power", lookPower},
		{"store", lookStore},
		{"trust store", lookTrust},
		{"gate", lookGate},
		{"MRZ reader", lookMRZ},
		{"document reader", lookReader},
		{"camera", lookCamera},
		{"model pack", lookPack},
		{"register", lookRegister},
		{"console", lookConsole},
	}
}

// Look looks at the configuration at path and at every device that it names,
// and tells what it finds, one after the other. It changes nothing: no leaf
// moves and nothing is sent.
func Look(ctx context.Context, path string, tell func(Finding)) {
	say := func(name string, f Finding) {
		f.Check = name
		tell(f)
	}
	conf, err := config.Load(path)
	switch {
	case err != nil:
		say("configuration", bad(err, "mend the file; examples/lane.toml explains every option"))
		return // without a configuration nobody knows where the devices are
	case len(conf.Officers) == 0:
		say("configuration", warn("add an [[officer]]; passage pin makes the hash", "lane %s, %s, but nobody may sign in: it will never open", conf.Kiosk.Lane, conf.Kiosk.Policy.Direction))
	default:
		say("configuration", good("lane %s, %s; %d may sign in", conf.Kiosk.Lane, conf.Kiosk.Policy.Direction, len(conf.Officers)))
	}
	for _, d := range Checks() {
		if ctx.Err() != nil {
			return
		}
		say(d.Name, d.Look(ctx, conf))
	}
}

// lowDisk is little room for a journal that must never stop.
const lowDisk = 1 << 30

func lookStore(ctx context.Context, c config.Config) Finding {
	key, err := keys.Load(c.Store.Key)
	clear(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad(err, "make the key once, as the user of kioskd: passage keys new "+c.Store.Key)
	case err != nil:
		return bad(err, "bring back the right key; a new one cannot read an old store")
	}
	dir := filepath.Dir(c.Store.Path)
	// A store that is not there yet is not made here: it would belong to
	// whoever runs the doctor.
	switch _, err := os.Stat(c.Store.Path); {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.CreateTemp(dir, ".doctor-")
		if err != nil {
			return bad(err, fmt.Sprintf("make %s, owned by the user of kioskd", dir))
		}
		if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
			return bad(err, "look at the file system of "+dir)
		}
	case err != nil:
		return bad(err, "let the user of kioskd reach "+dir)
	default:
		if err := writable(ctx, c.Store.Path); err != nil {
			if sqlite.Corrupt(err) {
				return bad(err, "put the file aside, keep it for the officer's cases, and start with a new one")
			}
			return bad(err, fmt.Sprintf("let the user of kioskd write %s and its folder, on a local disk that is not full", c.Store.Path))
		}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return bad(err, "look at the file system of "+dir)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < lowDisk {
		return warn("make room: a full disk takes the lane out of service", "%s can be written, but only %d MB are free", c.Store.Path, free>>20)
	}
	// Root's key, which the lane's group may read, is the best of its kind.
	if info, err := os.Stat(c.Store.Key); err == nil && info.Mode().Perm()&0o037 != 0 {
		return warn("chmod 640 "+c.Store.Key, "%s can be written, but others can use its key", c.Store.Path)
	}
	return good("%s can be written", c.Store.Path)
}

// writable takes a store's write lock and gives it back.
func writable(ctx context.Context, path string) error {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	return tx.Rollback()
}

func lookTrust(_ context.Context, c config.Config) Finding {
	renew := "import the state's newest master list and revocation lists: passage trust import, into " + c.Trust.Dir
	rule, err := trust.ReadRule(c.Trust.Persons, c.Trust.TwoPersons)
	if err != nil {
		return bad(err, "trust.persons names public keys: passage trust key makes them")
	}
	live, err := trust.Open(c.Trust.Dir, rule, slog.New(slog.DiscardHandler))
	if err != nil {
		return bad(err, renew)
	}
	s := live.Store()
	age := time.Since(s.Newest)
	what := fmt.Sprintf("%d authorities, %d revocation lists, confirmed %.0f h ago", s.Len(), s.CRLs(), age.Hours())
	switch {
	case age > trust.Old:
		return bad(errors.New(what), renew)
	case age > trust.Aging:
		return warn(renew, "%s", what)
	case s.CRLs() == 0:
		return warn(renew, "%s: a revoked signer would not be noticed", what)
	case len(s.Refused) > 0:
		return warn("passage trust list "+c.Trust.Dir+" names them; fetch them again", "%s, %d entries refused", what, len(s.Refused))
	}
	return good("%s", what)
}

func lookGate(_ context.Context, c config.Config) Finding {
	line := fmt.Sprintf("%s at %d %s, address %d", c.Gate.TTY, c.Gate.Baud, c.Gate.Format, c.Gate.Address)
	port, err := gate.OpenPort(c.Gate.TTY, c.Gate.Baud, c.Gate.Format)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return bad(err, "stop kioskd, or whoever else holds the line, and look again")
	case err != nil:
		return bad(err, serialTodo("gate.tty"))
	}
	defer port.Close()
	p, err := gate.Probe(port, gate.Config{Address: byte(c.Gate.Address), Baud: c.Gate.Baud, Map: c.Gate.Map, FallbackFrees: c.Gate.FallbackFrees})
	switch {
	case errors.Is(err, gate.ErrSilent):
		return bad(fmt.Errorf("%s: %w", line, err), "check the gate's power, A and B of the cable, and that gate.baud, gate.format and gate.address are the gate's")
	case errors.Is(err, gate.ErrLink):
		return bad(fmt.Errorf("%s: %w", line, err), "somebody answers, and nobody can read it: check gate.baud and gate.format, termination and shield, and that no other device has the gate's address")
	case err != nil:
		return bad(fmt.Errorf("%s: %w", line, err), gateTodo(c))
	}
	what := fmt.Sprintf("%s, %v, entry %v, exit %v, boot %d", p.Name, p.Snapshot.State, p.Snapshot.Entry, p.Snapshot.Exit, p.Snapshot.Boots)
	if c.Gate.Map != nil {
		if f := readPoints(port, c, what); f.State != "ok" {
			return f
		}
		what += fmt.Sprintf(", all %d points of map %q", len(c.Gate.Map.Points()), c.Gate.Map.Name)
	}
	return gateFinding(what, p)
}

// gateTodo is what to do about a gate that says something unexpected.
func gateTodo(c config.Config) string {
	if c.Gate.Map != nil {
		return "check that this is the gate's line and that gate.map is its map: passage gate check with --tty shows every register"
	}
	return "check that this is the gate's line and that its firmware speaks ABC-LANE 1.x; another maker's gate needs gate.map"
}

// readPoints reads every point of a register map on the line.
func readPoints(line gate.Line, c config.Config, what string) Finding {
	_, list, err := gate.ReadMap(line, gate.Config{Address: byte(c.Gate.Address), Baud: c.Gate.Baud, Map: c.Gate.Map})
	if err != nil {
		return bad(err, "check the gate's power and cable, and look again")
	}
	var wrong []string
	for _, p := range list {
		if p.Wrong != "" {
			wrong = append(wrong, fmt.Sprintf("%s in %s holds %d: %s", p.Name, p.At, p.Raw, p.Wrong))
		}
	}
	if len(wrong) > 0 {
		return bad(fmt.Errorf("%s; %s", what, strings.Join(wrong, "; ")), "mend gate.map; passage gate check with --tty shows every register, raw and in words")
	}
	return good("%s", what)
}

// serialTodo is what to do about a serial device that does not open.
func serialTodo(key string) string {
	return fmt.Sprintf("plug the device in, set %s to its name (ls -l /dev/serial/by-id), put the user of kioskd into the group dialout", key)
}

func lookMRZ(_ context.Context, c config.Config) Finding {
	if c.MRZ.Pages != "" {
		f, err := devices.OpenFolder(c.MRZ.Pages, nil)
		if err != nil {
			return bad(err, "make the folder mrz.pages, and let the page reader's software and the user of kioskd write there")
		}
		if err := f.Close(); err != nil {
			return bad(err, "look at the folder mrz.pages")
		}
		return good("pictures of pages come from %s; whether they are read shows when a document lies there", c.MRZ.Pages)
	}
	_, line, err := mrz.Open(c.MRZ.TTY, c.MRZ.Baud, mrz.Framing(c.MRZ.Framing))
	if err != nil {
		return bad(err, serialTodo("mrz.tty")+", and stop kioskd if it runs")
	}
	if err := line.Close(); err != nil {
		return bad(err, serialTodo("mrz.tty"))
	}
	return good("%s opens at %d, framing %s; whether it reads shows when a document lies there", c.MRZ.TTY, c.MRZ.Baud, c.MRZ.Framing)
}

func lookReader(_ context.Context, c config.Config) Finding {
	if c.Reader.Type == "vpcd" {
		l, err := net.Listen("tcp", c.Reader.Address)
		if err != nil {
			return bad(err, "stop kioskd, or whoever else listens there, and look again")
		}
		if err := l.Close(); err != nil {
			return bad(err, "look again")
		}
		return good("%s is free for a remote card, which is for simulations", c.Reader.Address)
	}
	names, err := pcsc.List()
	switch {
	case err != nil:
		return bad(err, "start the service: systemctl start pcscd.socket")
	case len(names) == 0:
		return bad(errors.New("the PC/SC service knows no reader"), "plug the reader in; lsusb shows whether the machine sees it, and its driver (libccid for most) must be there")
	}
	i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, c.Reader.Name) })
	if i < 0 {
		return bad(fmt.Errorf("no reader's name contains %q", c.Reader.Name), fmt.Sprintf("set reader.name to a part of one of %q", names))
	}
	return good("%s", names[i])
}

const (
	cameraWithin = 10 * time.Second        // visiond starts, the camera answers and is watched
	frameWatch   = 2500 * time.Millisecond // a frozen picture shows after 2 s
)

func lookCamera(ctx context.Context, c config.Config) Finding {
	const todo = "open the URL with another program (ffplay, a browser); check power, network and camera.url"
	ctx, stop := context.WithTimeout(ctx, cameraWithin)
	defer stop()
	var mu sync.Mutex
	var last camera.Frame
	frames, health := 0, ""
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(ended)
		_ = devices.Camera(matcher.Program{Path: c.Vision.Program}, c.Camera).Run(ctx, func(f camera.Frame) {
			mu.Lock()
			defer mu.Unlock()
			if last = f; frames == 0 {
				time.AfterFunc(frameWatch, func() { close(watched) })
			}
			frames++
		}, func(s string) {
			mu.Lock()
			defer mu.Unlock()
			health = s
		}) // it ends with ctx
	}()
	select {
	case <-watched:
	case <-ctx.Done():
	}
	mu.Lock()
	why, n, f := health, frames, last
	mu.Unlock()
	stop()
	<-ended
	switch {
	case n == 0:
		if err := reach(c.Camera); err != nil {
			return bad(err, todo)
		}
		return bad(fmt.Errorf("%s: no frame within %v; %s says %q", c.Camera, cameraWithin, c.Vision.Program, why), todo)
	case why != "":
		return bad(fmt.Errorf("%s: %s", c.Camera, why), "uncover the lens, switch the light on, start the camera again")
	}
	what := fmt.Sprintf("%s: %d × %d, %.1f frames a second, %d ms old", c.Camera, f.Width, f.Height, float64(n)/frameWatch.Seconds(), f.Age.Milliseconds())
	if todo, seen := light(f); todo != "" {
		return warn(todo, "%s, %s", what, seen)
	}
	if f.Width < 600 || f.Height < 800 {
		return warn("set the camera to 600 × 800 or more, upright", "%s", what)
	}
	return good("%s", what)
}

// reach dials the host of a camera's URL, for a better word than the vision
// worker's end of file.
func reach(camera string) error {
	u, err := url.Parse(camera)
	if err != nil || u.Host == "" {
		_, err := os.Stat(camera) // a device or a file
		return err
	}
	host := u.Host
	if port := map[string]string{"http": "80", "https": "443", "rtsp": "554"}[u.Scheme]; u.Port() == "" && port != "" {
		host = net.JoinHostPort(u.Hostname(), port)
	}
	conn, err := net.DialTimeout("tcp", host, 3*time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

func lookPack(ctx context.Context, c config.Config) Finding {
	m := &matcher.Matcher{Program: matcher.Program{Path: c.Vision.Program}, Pack: filepath.Join(c.Vision.Packs, c.Vision.Pack)}
	var took time.Duration
	err := m.Warm(ctx, func(ctx context.Context) error {
		const side = 320
		began := time.Now()
		_, err := m.Analyse(ctx, matcher.Frame{Width: side, Height: side, Pixels: make([]byte, 3*side*side)})
		took = time.Since(began)
		return err
	})
	if err != nil {
		return bad(fmt.Errorf("%s: %w", m.Pack, err), fmt.Sprintf("make setup fetches the default pack and make build makes visiond; vision.program is %s", c.Vision.Program))
	}
	return good("%s loads, an empty picture takes %.0f ms", m.Pack, float64(took.Microseconds())/1000)
}

// registerTodo is what to do about a register that cannot be asked.
func registerTodo(c config.Config, err error) string {
	var host x509.HostnameError
	var ended x509.CertificateInvalidError
	var refused tls.AlertError
	switch {
	case foreign(err):
		return "another register answers there, or this one has a new authority: check register.url, and put the authority of its certificate into " + c.Register.CA
	case errors.As(err, &host):
		return "its certificate is for another name: write register.url as the certificate has it, or look whether another register answers there"
	case errors.As(err, &ended) && ended.Reason == x509.Expired:
		return "the register's certificate has ended, or this machine's clock is wrong: tell its operator"
	case errors.As(err, &refused), strings.Contains(err.Error(), "remote error: tls"):
		return "the register does not take this lane's certificate: is " + c.Register.Cert + " of the authority that it trusts? Ask its operator"
	}
	return "check the network, the register's address and name, and that it knows this lane's certificate"
}

const certificateSoon = 14 * 24 * time.Hour

func lookRegister(ctx context.Context, c config.Config) Finding {
	files := eesclient.Files{CA: c.Register.CA, Cert: c.Register.Cert, Key: c.Register.Key}
	t, err := eesclient.TLS(files)
	if err != nil {
		return bad(err, "put the lane's certificate and key and the register's authority where [register] says")
	}
	client, err := eesclient.New(c.Register.URL, files)
	if err != nil {
		return bad(err, "look at [register]")
	}
	until := t.Certificates[0].Leaf.NotAfter
	if time.Now().After(until) {
		return bad(fmt.Errorf("the lane's certificate ended on %s", until.Format(time.DateOnly)), "renew "+c.Register.Cert)
	}
	var clock eesclient.Clock
	var up []string
	for range 3 {
		if up, err = client.Health(ctx, &clock); err != nil {
			break
		}
	}
	if err != nil {
		return bad(fmt.Errorf("%s: %w", c.Register.URL, err), registerTodo(c, err))
	}
	for _, need := range []string{"SIS", "SLTD", "FPR", "LOST"} {
		if !slices.Contains(up, need) {
			return bad(fmt.Errorf("%s answers, but %s does not: only %v", c.Register.URL, need, up), "ask the register's operator; without it nobody enters")
		}
	}
	what := fmt.Sprintf("%s answers, with %s", c.Register.URL, strings.Join(up, ", "))
	apart, known := clock.Apart()
	if known && apart.Abs() > eesclient.MostApart {
		return bad(fmt.Errorf("%s; its clock and this one are %v apart", what, apart.Abs().Round(100*time.Millisecond)), "let this machine follow the site's time server; at more than two seconds nobody enters")
	}
	if known {
		what += fmt.Sprintf("; clocks %d ms apart", apart.Abs().Milliseconds())
	}
	switch {
	case !slices.Contains(up, "EES"):
		return warn("ask the register's operator; until then third-country nationals are diverted", "%s, without EES", what)
	case time.Until(until) < certificateSoon:
		return warn("renew "+c.Register.Cert, "%s; the lane's certificate ends on %s", what, until.Format(time.DateOnly))
	}
	return good("%s", what)
}
