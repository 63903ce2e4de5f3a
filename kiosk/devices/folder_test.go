package devices

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	zone "passage/drivers/emrtd/mrz"
	"passage/drivers/mrz"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	td3, err := zone.Parse("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	f, err := OpenFolder(dir, func(_ context.Context, b []byte) ([]zone.MRZ, error) {
		if seen = append(seen, string(b)); string(b) != "good" {
			return nil, ErrNoZone
		}
		return []zone.MRZ{td3}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	now := time.Now()
	put := func(name, text string, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	put("1.jpg", "of another document", time.Second)
	put("2.jpg", "good", 0)
	put(".3.jpg", "not whole yet", 0)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "4.jpg")); err != nil {
		t.Fatal(err)
	}
	if m, err := f.Read(t.Context()); err != nil || m.Number != "L898902C3" {
		t.Errorf("%v, %v", m, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "[12]*")); len(left) > 0 {
		t.Errorf("%v are still there", left)
	}
	put("5.jpg", "bad", 0)
	if _, err := f.Read(t.Context()); !errors.Is(err, mrz.ErrUnreadable) || !errors.Is(err, ErrNoZone) {
		t.Errorf("a picture without a zone: %v", err)
	}
	put("6.jpg", "", 0)
	if _, err := f.Read(t.Context()); !errors.Is(err, mrz.ErrUnreadable) {
		t.Errorf("an empty picture: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that is over: %v", err)
	}
	if len(seen) != 3 {
		t.Errorf("%q were read", seen)
	}
	if _, err := OpenFolder(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
