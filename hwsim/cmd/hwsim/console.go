package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/kiosk/site"
)

// siteConsole is the site's console of the demonstration: the shipped consoled,
// set up by the shipped commands, as an operator does it. Only one thing is
// not as it should be: the roster key lies on the same machine, and whoever
// registers a passkey is put on the roster at once.
type siteConsole struct {
	dir   string
	conf  string
	key   string // the roster key's private half
	pages string
	// public is the roster key as configurations have it.
	public  string
	program *program
}

// run starts a command of bin and returns what it printed.
func run(ctx context.Context, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, filepath.Join("bin", name), args...)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: make build makes it, and hwsim looks for it from the repository's folder", err)
	}
	if err != nil {
		return "", fmt.Errorf("demo: %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// area is a row of lanes on the console's plan.
type area struct {
	name  string
	lanes []string
}

// startConsole starts consoled with its files below dir and returns when it
// answers. It takes three ports from port on. again is how soon consoled is
// started again when it ends; 0 makes that an error.
func startConsole(ctx context.Context, group *errgroup.Group, dir string, port int, plan []area, again time.Duration) (*siteConsole, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &siteConsole{dir: dir, conf: filepath.Join(dir, "console.toml"), key: filepath.Join(dir, "roster.key"), pages: fmt.Sprintf("http://localhost:%d", port)}
	line, err := run(ctx, "passage", "roster", "key", "--out", s.key)
	if err != nil {
		return nil, err
	}
	s.public = strings.TrimSpace(line)
	conf := fmt.Sprintf(`[site]
name = "Simulation"
training = true
dir = %q
%s

[pages]
listen = "127.0.0.1:%d"
url = %q

[fleet]
listen = "127.0.0.1:%d"
enrol = "127.0.0.1:%d"
hosts = ["127.0.0.1"]
`, dir, s.public, port, s.pages, port+1, port+2)
	for _, a := range plan {
		conf += fmt.Sprintf("\n[[area]]\nname = %q\nlanes = [\"%s\"]\n", a.name, strings.Join(a.lanes, `", "`))
	}
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	s.program = &program{name: "console: consoled", args: []string{"consoled", "serve", "--config", s.conf}, log: filepath.Join(dir, "console.log"), again: again}
	group.Go(func() error { return s.program.run(ctx) })
	for range 100 {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", port))
		if err == nil {
			return s, resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("console: it did not start")
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, errors.New("console: it did not start within ten seconds")
}

// enrol joins a lane and returns the part of its configuration.
func (s *siteConsole) enrol(ctx context.Context, lane string) (string, error) {
	line, err := run(ctx, "consoled", "enrol", "--config", s.conf, "--lane", lane)
	if err != nil {
		return "", err
	}
	f := strings.Fields(line)
	if len(f) < 6 {
		return "", fmt.Errorf("demo: consoled enrol says %q", line)
	}
	out := filepath.Join(s.dir, "lane-"+lane)
	if _, err := run(ctx, "passage", append(f[1:len(f)-1], out)...); err != nil {
		return "", err
	}
	return fmt.Sprintf("[fleet]\ndir = %q\n%s\n", out, s.public), nil
}

// invite returns the address at which an officer registers a passkey.
func (s *siteConsole) invite(ctx context.Context, id, name, role string) (string, error) {
	line, err := run(ctx, "consoled", "invite", "--config", s.conf, "--officer", id, "--name", name, "--role", role)
	return strings.TrimSpace(line), err
}

// sign puts whoever has registered on the roster, until ctx ends. It looks into
// the site's database itself: a process every two seconds, all day, is what a hall
// of fifty lanes on two processors has no room for; gates answer late.
func (s *siteConsole) sign(ctx context.Context) error {
	db, closing, err := site.OpenDatabase(ctx, s.dir)
	if err != nil {
		return err
	}
	defer closing()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		waiting := 0
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM applicant").Scan(&waiting)
		if err == nil && waiting > 0 {
			err = s.roster(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// roster signs the draft of a roster and gives it to the site.
func (s *siteConsole) roster(ctx context.Context) error {
	file := filepath.Join(s.dir, "draft.json")
	text, err := run(ctx, "consoled", "roster", "draft", "--config", s.conf)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err == nil {
		text, err = run(ctx, "passage", "roster", "sign", "--yes", "--key", s.key, file)
	}
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err == nil {
		_, err = run(ctx, "consoled", "roster", "import", "--config", s.conf, file)
	}
	return err
}
