// Package pgtest starts a PostgreSQL server of one's own, from Debian's
// binaries, as an unprivileged user, in a temporary folder, on no network.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"passage/child"
)

// ErrMissing says that the binaries are not there: scripts/setup installs them.
var ErrMissing = errors.New("pgtest: PostgreSQL is not installed")

// Server is a running server.
type Server struct {
	DSN string
	dir string

	process *os.Process
	ended   <-chan error
}

// binaries is the folder of the newest version that Debian has installed.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// unprivileged is who the server runs as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("pgtest: user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("pgtest: no unprivileged user to run PostgreSQL as")
}

// Start starts a server with settings such as "fsync=off", in a new folder
// below parent ("" for the system's). It answers on a socket in that folder,
// which only its user and root can reach.
func Start(ctx context.Context, parent string, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "passage-pg-")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s := &Server{dir: dir, DSN: "host=" + dir + " user=passage dbname=postgres sslmode=disable"}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return nil, errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(dir))
		}
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Env = dir, []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		return cmd
	}
	if out, err := run("initdb", "-D", filepath.Join(dir, "data"), "-U", "passage", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync").CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	args := []string{"-D", filepath.Join(dir, "data"), "-k", dir, "-c", "listen_addresses="}
	for _, c := range settings {
		args = append(args, "-c", c)
	}
	cmd := run("postgres", args...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(dir))
	}
	defer log.Close()
	cmd.Stderr = log
	if s.ended, err = child.Start(cmd, syscall.SIGINT); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(dir))
	}
	s.process = cmd.Process
	for range 600 {
		if run("pg_isready", "-q", "-h", dir).Run() == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.Stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	return nil, errors.Join(fmt.Errorf("pgtest: PostgreSQL did not start: %s", text), err, s.Stop())
}

// Stop ends the server at once and removes its folder.
func (s *Server) Stop() error {
	err := s.process.Signal(syscall.SIGINT)
	<-s.ended // it says how it was ended
	return errors.Join(err, os.RemoveAll(s.dir))
}
