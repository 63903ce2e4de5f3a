package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"passage/drivers/emrtd/pki"
)

// poll is how often a running lane looks for a newer store.
const poll = 2 * time.Second

// Live is the store that counts, kept up to date while a lane works. A reading
// takes the store once, at its beginning; a newer one is for the next document.
type Live struct {
	dir Dir
	log *slog.Logger
	now atomic.Pointer[pki.Store]

	sequence int      // of the activation that is loaded
	marks    []string // of a plain folder: what was seen, newest last
}

// Open loads the store at a path: the active version of a signed store where
// the rule names persons, else a folder of files that counts as it is.
func Open(path string, rule Rule, log *slog.Logger) (*Live, error) {
	l := &Live{dir: Dir{path, rule}, log: log}
	if len(rule.Persons) == 0 && Is(path) {
		return nil, fmt.Errorf("trust: %s holds signed versions: the configuration must name whose signatures count (trust.persons)", path)
	}
	mark, err := l.mark()
	if err != nil {
		return nil, err
	}
	l.marks = []string{mark}
	return l, l.load()
}

// Store returns the store that counts now.
func (l *Live) Store() *pki.Store { return l.now.Load() }

// load replaces the store as a whole.
func (l *Live) load() error {
	var s *pki.Store
	var err error
	if len(l.dir.Rule.Persons) == 0 {
		if s, err = pki.LoadDir(l.dir.Path); err != nil {
			return err
		}
		l.log.Info("trust folder loaded", "authorities", s.Len(), "revocation_lists", s.CRLs(), "newest", s.Newest.Format(time.RFC3339))
	} else {
		var a *Active
		if s, a, err = l.dir.Load(); err != nil {
			return err
		}
		if a.Sequence < l.sequence {
			return fmt.Errorf("%w: %d, not %d", ErrRolledBack, a.Sequence, l.sequence)
		}
		l.sequence = a.Sequence
		l.log.Info("trust store loaded", "version", a.Version.Version, "activation", a.Sequence, "imported_by", a.By, "activated_by", a.Activator,
			"authorities", s.Len(), "revocation_lists", s.CRLs(), "created", a.Created.Format(time.RFC3339))
	}
	for _, err := range s.Refused {
		l.log.Warn("trust material refused", "error", err)
	}
	for _, n := range Notices(s, time.Now()) {
		l.log.Warn("trust store", "notice", n)
	}
	l.now.Store(s)
	return nil
}

// mark tells one state of the disk from another.
func (l *Live) mark() (string, error) {
	if len(l.dir.Rule.Persons) > 0 {
		numbers, err := numbered(l.dir.Path+"/activations", ".json")
		return fmt.Sprint(numbers), err
	}
	files, err := os.ReadDir(l.dir.Path)
	if err != nil {
		return "", fmt.Errorf("trust: %w", err)
	}
	mark := ""
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("trust: %w", err)
		}
		mark += fmt.Sprintln(f.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return mark, nil
}

// Watch loads newer stores until the context ends. What cannot be loaded is
// logged and the store that counts stays.
func (l *Live) Watch(ctx context.Context) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			l.look()
		}
	}
}

// look loads the store anew if the disk changed. A plain folder, into which
// files are copied, must have been quiet for one look.
func (l *Live) look() {
	mark, err := l.mark()
	if err != nil {
		l.log.Warn("trust store", "error", err)
		return
	}
	last := l.marks[len(l.marks)-1]
	loaded := l.marks[0]
	switch {
	case mark == loaded:
		l.marks = l.marks[:1]
		return
	case len(l.dir.Rule.Persons) == 0 && mark != last:
		l.marks = append(l.marks[:1], mark)
		return
	}
	l.marks = []string{mark}
	if err := l.load(); err != nil {
		l.log.Error("trust store not replaced", "error", err)
	}
}

// IsOld says that a store's lists were not confirmed for too long. One whose
// age is not told is not old.
func IsOld(s *pki.Store, now time.Time) bool {
	return !s.Newest.IsZero() && now.Sub(s.Newest) > Old
}

// Notices are what an officer should know of a store's age at a time.
func Notices(s *pki.Store, now time.Time) []string {
	switch age := now.Sub(s.Newest); {
	case s.Newest.IsZero():
	case age > Old:
		return []string{fmt.Sprintf("trust lists are %d days old: travellers of the EES classes are diverted", int(age.Hours()/24))}
	case age > Aging:
		return []string{fmt.Sprintf("trust lists are %d hours old: import newer ones within %d hours", int(age.Hours()), int((Old - age).Hours()))}
	}
	return nil
}
