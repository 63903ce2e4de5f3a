package trust

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// MaxBundle is how large a bundle may be, in bytes.
const MaxBundle = 64 << 20

// files of a version, in the order of a bundle; the signers' are missing from
// versions without any.
var files = []string{"manifest.json", "manifest.sig", "material.bin", "signers.der", "signers.idx"}

// Bundle writes the version that counts and its activation as one tar file, for
// lanes that take them from afar. The same store gives the same bytes.
func (d Dir) Bundle(w io.Writer) (*Active, error) {
	a, err := d.Active()
	if a == nil {
		return nil, err
	}
	if _, err := d.store(a.Version); err != nil {
		return nil, err
	}
	out := tar.NewWriter(w)
	version := fmt.Sprintf("versions/%06d/", a.Version.Version)
	names := []string{fmt.Sprintf("activations/%06d.json", a.Sequence)}
	for _, f := range slices.Backward(files) {
		names = append([]string{version + f}, names...)
	}
	total := 0
	for _, name := range names {
		b, err := readFile(filepath.Join(d.Path, name), MaxBundle)
		if errors.Is(err, os.ErrNotExist) && a.Signers == 0 {
			continue
		}
		if err != nil {
			return nil, err
		}
		if total += len(b); total > MaxBundle {
			return nil, fmt.Errorf("trust: bundle: more than %d bytes", MaxBundle)
		}
		if err := out.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
			return nil, fmt.Errorf("trust: bundle: %w", err)
		}
		if _, err := out.Write(b); err != nil {
			return nil, fmt.Errorf("trust: bundle: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return nil, fmt.Errorf("trust: bundle: %w", err)
	}
	return a, nil
}

// bundled is what a bundle may hold.
var bundled = regexp.MustCompile(`^(versions/\d{6}/(manifest\.json|manifest\.sig|material\.bin|signers\.der|signers\.idx)|activations/\d{6}\.json)$`)

// Install brings a bundle's version and activation into the store, once both are
// proven by the store's own rule: who carried them is nobody's matter. An
// activation that is older than the one in force is ErrRolledBack; the one in
// force is installed already. A power cut leaves the old state or the new one.
func (d Dir) Install(r io.Reader) (*Active, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	torn, _ := filepath.Glob(filepath.Join(d.Path, ".new-*")) // the pattern is a good one
	for _, path := range torn {
		if err := os.RemoveAll(path); err != nil {
			return nil, fmt.Errorf("trust: install: %w", err)
		}
	}
	temp, err := os.MkdirTemp(d.Path, ".new-")
	if err != nil {
		return nil, fmt.Errorf("trust: install: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := unpack(io.LimitReader(r, MaxBundle+1), temp); err != nil {
		return nil, err
	}
	in := Dir{temp, d.Rule}
	a, err := in.Active()
	if a == nil {
		return nil, err
	}
	s, err := in.store(a.Version)
	if err != nil {
		return nil, err
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("%w: version %d holds no authority", ErrDamaged, a.Version.Version)
	}
	if now, _ := d.Active(); now != nil && a.Sequence <= now.Sequence {
		if same, err := d.holds(in, a); err != nil || same && a.Sequence == now.Sequence {
			return now, err
		}
		return nil, fmt.Errorf("%w: %d, and %d counts here", ErrRolledBack, a.Sequence, now.Sequence)
	}
	return a, d.put(in, a)
}

func activationName(n int) string {
	return filepath.Join("activations", fmt.Sprintf("%06d.json", n))
}

// holds says whether the store has an activation, octet for octet.
func (d Dir) holds(in Dir, a *Active) (bool, error) {
	b, err := readFile(filepath.Join(in.Path, activationName(a.Sequence)), maxManifest)
	if err != nil {
		return false, err
	}
	own, err := readFile(filepath.Join(d.Path, activationName(a.Sequence)), maxManifest)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return bytes.Equal(b, own), err
}

// put moves a proven version and its activation to their places. A cut before
// the last rename leaves a version that does not count.
func (d Dir) put(in Dir, a *Active) error {
	n := a.Version.Version
	if err := os.MkdirAll(filepath.Join(d.Path, "activations"), 0o755); err != nil {
		return fmt.Errorf("trust: install: %w", err)
	}
	switch own, hash, err := d.version(n); {
	case err == nil:
		if _, theirs, err := in.version(n); err != nil || theirs != hash {
			return errors.Join(fmt.Errorf("trust: install: the store has another version %d, imported by %s", n, own.By), err)
		}
		if _, err := d.store(own); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist):
		if err := os.Rename(in.versionPath(n), d.versionPath(n)); err != nil {
			return fmt.Errorf("trust: install: %w", err)
		}
		if err := syncDir(filepath.Join(d.Path, "versions")); err != nil {
			return err
		}
	default:
		return err
	}
	if err := os.Rename(filepath.Join(in.Path, activationName(a.Sequence)), filepath.Join(d.Path, activationName(a.Sequence))); err != nil {
		return fmt.Errorf("trust: install: %w", err)
	}
	return syncDir(filepath.Join(d.Path, "activations"))
}

// unpack writes a bundle's files into a folder: one version and one activation,
// each file once.
func unpack(r io.Reader, dir string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: bundle: %w", ErrDamaged, fmt.Errorf(format, args...))
	}
	in := tar.NewReader(r)
	folders := map[string]bool{}
	for total := int64(0); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad("%w", err)
		}
		if h.Typeflag != tar.TypeReg || !bundled.MatchString(h.Name) {
			return bad("%.60q does not belong there", h.Name)
		}
		if total += h.Size; h.Size < 0 || total > MaxBundle {
			return bad("more than %d bytes", MaxBundle)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if folders[filepath.Dir(path)] = true; len(folders) > 2 {
			return bad("more than one version and one activation")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("trust: install: %w", err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, os.ErrExist) {
			return bad("%q is there twice", h.Name)
		}
		if err != nil {
			return fmt.Errorf("trust: install: %w", err)
		}
		_, err = io.Copy(f, in)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.Join(bad("cut short"), f.Close())
		}
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("trust: install: %w", err)
		}
	}
	for folder := range folders {
		if err := syncDir(folder); err != nil {
			return err
		}
	}
	return nil
}
