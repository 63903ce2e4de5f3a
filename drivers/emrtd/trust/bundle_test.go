package trust

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func (o *office) bundle() []byte {
	o.t.Helper()
	var b bytes.Buffer
	if _, err := o.dir.Bundle(&b); err != nil {
		o.t.Fatal(err)
	}
	return b.Bytes()
}

// A lane's store takes what the office's activated, and goes forward only.
func TestBundle(t *testing.T) {
	o := newOffice(t, true)
	state := newAuthority(t, "XA", nil)
	first := o.importing(Import{Pin: true}, o.file("xa.cer", state.cert.Raw))
	if err := o.dir.Activate(first.Version, o.keys["bert"], now, "compared"); err != nil {
		t.Fatal(err)
	}
	one := o.bundle()
	if again := o.bundle(); !bytes.Equal(one, again) {
		t.Error("the same store makes another bundle")
	}
	second := o.importing(Import{Pin: true, Now: now.Add(time.Hour)}, o.file("xb.cer", newAuthority(t, "XB", nil).cert.Raw))
	if err := o.dir.Activate(second.Version, o.keys["bert"], now.Add(time.Hour), ""); err != nil {
		t.Fatal(err)
	}
	two := o.bundle()

	lane := Dir{filepath.Join(t.TempDir(), "trust"), o.dir.Rule}
	if err := os.MkdirAll(filepath.Join(lane.Path, ".new-9", "versions"), 0o755); err != nil { // the power failed once
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		bundle  []byte
		version int
		err     error
	}{{"the first", one, 1, nil}, {"the first again", one, 1, nil}, {"the second", two, 2, nil}, {"back", one, 2, ErrRolledBack}, {"the second again", two, 2, nil}} {
		a, err := lane.Install(bytes.NewReader(c.bundle))
		if !errors.Is(err, c.err) || err == nil && a.Version.Version != c.version {
			t.Fatalf("%s: %v, %v", c.name, a, err)
		}
		s, a, err := lane.Load()
		if err != nil || a.Version.Version != c.version || s.Len() != c.version {
			t.Fatalf("%s: the store has %v, %v", c.name, a, err)
		}
	}
	if err := o.dir.Activate(first.Version, o.keys["bert"], now.Add(2*time.Hour), "the new list is wrong"); err != nil {
		t.Fatal(err)
	}
	if a, err := lane.Install(bytes.NewReader(o.bundle())); err != nil || a.Version.Version != 1 {
		t.Errorf("a signed way back: %v, %v", a, err)
	}
	left, err := filepath.Glob(filepath.Join(lane.Path, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// repack changes a bundle file by file; nil leaves one out.
func repack(t testing.TB, b []byte, change func(name string, content []byte) (string, []byte)) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name, content := change(h.Name, content)
		if content == nil {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Whatever a bundle says, a store's own rule decides, and what is refused leaves
// the store as it was.
func TestBundleRefuses(t *testing.T) {
	o := newOffice(t, true)
	v := o.importing(Import{Pin: true}, o.file("xa.cer", newAuthority(t, "XA", nil).cert.Raw))
	if err := o.dir.Activate(v.Version, o.keys["bert"], now, ""); err != nil {
		t.Fatal(err)
	}
	good := o.bundle()
	alone := newOffice(t, false) // its anna and bert are strangers to the lane
	alone.importing(Import{Pin: true}, alone.file("xm.cer", newAuthority(t, "XM", nil).cert.Raw))
	same := func(name string, b []byte) (string, []byte) { return name, b }
	for _, c := range []struct {
		name   string
		bundle []byte
		err    error
	}{
		{"by strangers", alone.bundle(), ErrSignature},
		{"without its activation", repack(t, good, func(n string, b []byte) (string, []byte) {
			if strings.HasPrefix(n, "activations") {
				return n, nil
			}
			return n, b
		}), ErrNothing},
		{"an authority changed", repack(t, good, func(n string, b []byte) (string, []byte) {
			if strings.HasSuffix(n, "material.bin") {
				b[len(b)-1] ^= 1
			}
			return n, b
		}), ErrDamaged},
		{"a path out of the store", repack(t, good, func(n string, b []byte) (string, []byte) { return "../" + n, b }), ErrDamaged},
		{"a file of its own", repack(t, good, func(n string, b []byte) (string, []byte) {
			return strings.Replace(n, "material.bin", "run.sh", 1), b
		}), ErrDamaged},
		{"under another number", repack(t, good, func(n string, b []byte) (string, []byte) { return strings.Replace(n, "000001", "000009", 1), b }), ErrNothing},
		{"cut short", good[:len(good)/2], ErrDamaged},
		{"twice the same", append(repack(t, good, same)[:len(repack(t, good, same))-1024], repack(t, good, same)...), ErrDamaged},
		{"nothing", nil, ErrNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			lane := Dir{filepath.Join(t.TempDir(), "trust"), o.dir.Rule}
			if _, err := lane.Install(bytes.NewReader(c.bundle)); !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if a, err := lane.Active(); a != nil || !errors.Is(err, ErrNothing) {
				t.Errorf("the store has %v, %v", a, err)
			}
		})
	}
}

// FuzzInstall: no bundle puts anything into a store but one that its people have
// signed.
func FuzzInstall(f *testing.F) {
	o := newOffice(f, false)
	o.importing(Import{Pin: true}, o.file("xa.cer", newAuthority(f, "XA", nil).cert.Raw))
	good := o.bundle()
	f.Add(good)
	f.Add(good[:700])
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		lane := Dir{filepath.Join(dir, "trust"), o.dir.Rule}
		defer os.RemoveAll(lane.Path)
		a, err := lane.Install(bytes.NewReader(b))
		if err == nil && (a.Version.Version != 1 || a.Sequence != 1) {
			t.Errorf("installed %+v", a)
		}
		if outside, _ := filepath.Glob(filepath.Join(dir, "*")); len(outside) > 1 {
			t.Errorf("wrote outside the store: %v", outside)
		}
	})
}
