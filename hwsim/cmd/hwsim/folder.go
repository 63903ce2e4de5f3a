package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// workFolder makes the folder of a run, and empties it first: one that an earlier
// run has marked, or one of .cache, where they are by default. No other is
// emptied: a --dir with a slip in it must not cost anybody their files.
func workFolder(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mark := filepath.Join(dir, ".hwsim")
	if _, err := os.Lstat(mark); err != nil && len(there) > 0 && filepath.Base(filepath.Dir(dir)) != ".cache" {
		return fmt.Errorf("hwsim: %s holds files of somebody else's, and a run begins by emptying its folder: name another one with --dir", dir)
	}
	return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), os.WriteFile(mark, nil, 0o644))
}
