package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// suffix makes the name of a store's marker: the file that says that a store
// was at this path.
const suffix = ".kept"

// ErrGone says that a store was here, and is missing or empty.
var ErrGone = errors.New("a journal was here before, and is gone")

// Present refuses a path at which a store was and is no longer: an empty file,
// as some file systems leave it after a power cut, or none. SQLite would take
// it for a new one and throw away the log beside it; open intents would have no
// end, and numbers would come again. It must be asked before the store is
// opened. A path without a marker is a new lane's.
func Present(path string) error {
	size := func(path string) (int64, error) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("journal: %w", err)
		}
		return info.Size(), nil
	}
	if n, err := size(path); err != nil || n > 0 {
		return err
	}
	_, err := os.Stat(path + suffix)
	marked := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	// A log beside nothing is as good as a marker.
	log, err := size(path + "-wal")
	if err != nil {
		return err
	}
	if !marked && log == 0 {
		return nil
	}
	return fmt.Errorf("journal: %s: %w: put back its last copy; or remove what is left of it, and %s, to begin a new one, and have an officer look at the gate's own counts", path, ErrGone, path+suffix)
}

// Mark notes that a store is at path, for Present. What it writes is on disk
// when it returns.
func Mark(path string) error {
	if _, err := os.Stat(path + suffix); err == nil {
		return nil
	}
	f, err := os.OpenFile(path+suffix, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("journal: mark: %w", err)
	}
	_, err = f.WriteString("A lane's journal is kept beside this file. Without it an empty journal would be taken for a new one.\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("journal: mark: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("journal: mark: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("journal: mark: %w", err)
	}
	return nil
}
