package rollout_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"passage/kiosk/rollout"
)

// keeper is a lane's, whose own configuration takes everything but "bad".
func keeper(t testing.TB, dir string) *rollout.Keeper {
	t.Helper()
	k, err := rollout.OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	k.Check = func(b []byte) error {
		if bytes.Contains(b, []byte("bad")) {
			return errors.New("policy.ees_mode: \"bad\" is none of\n off, full")
		}
		return nil
	}
	k.Rest = func(context.Context) (func(), bool, bool) { return func() {}, false, true }
	k.Again = func(string) {}
	return k
}

// pieces serves a content, and fails when it has given so many pieces.
func pieces(content []byte, most int) func(int64) ([]byte, error) {
	return func(at int64) ([]byte, error) {
		if most--; most < 0 {
			return nil, errors.New("the line is cut")
		}
		return content[at:min(int64(len(content)), at+rollout.PieceSize)], nil
	}
}

func proven(r rollout.Release) rollout.Proven {
	return rollout.Proven{Release: r, Digest: rollout.Digest([]byte(fmt.Sprint(r.Kind, r.Number, r.SHA256)))}
}

// take has the keeper take a release as a lane's client does.
func take(k *rollout.Keeper, v rollout.Proven, content []byte) error {
	wants, err := k.Wants(v)
	if err == nil && !wants {
		return nil
	}
	path := ""
	if err == nil {
		path, err = k.Fetch(v, pieces(content, 1000))
	}
	if err == nil {
		err = k.Take(context.Background(), rollout.Offer{}, v, path)
	}
	if errors.Is(err, rollout.ErrRefused) {
		return errors.Join(err, k.Refuse(v, err))
	}
	return err
}

func has(t *testing.T, k *rollout.Keeper, content string, number uint64) {
	t.Helper()
	b, n, err := k.Begin()
	if err != nil || string(b) != content || n != number {
		t.Fatalf("the lane begins with %q of release %d, %v; want %q of %d", b, n, err, content, number)
	}
}

func TestKeeper(t *testing.T) {
	dir := t.TempDir()
	k := keeper(t, dir)
	has(t, k, "", 0)
	one, two := release(rollout.Configuration, 1, []byte("one")), release(rollout.Configuration, 2, []byte("two"))
	if err := take(k, proven(one), []byte("one")); err != nil {
		t.Fatal(err)
	}
	k = keeper(t, dir)
	has(t, k, "one", 1)
	if err := errors.Join(k.Stood(), take(k, proven(two), []byte("two"))); err != nil {
		t.Fatal(err)
	}
	if err := take(k, proven(one), []byte("one")); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "not newer than 2") {
		t.Errorf("an older one again: %v", err)
	}
	quiet := release(rollout.Configuration, 3, []byte("one"))
	if err := take(k, proven(quiet), []byte("one")); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "must say so") {
		t.Errorf("a way back that does not say so: %v", err)
	}
	lie := release(rollout.Configuration, 4, []byte("evil"))
	lie.Back = 1
	if err := take(k, proven(lie), []byte("evil")); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "not the content of release 1") {
		t.Errorf("a way back to something else: %v", err)
	}
	back := release(rollout.Configuration, 5, []byte("one"))
	back.Back = 1
	if err := take(k, proven(back), []byte("one")); err != nil {
		t.Errorf("a way back: %v", err)
	}
	bad := release(rollout.Configuration, 6, []byte("bad"))
	if err := take(k, proven(bad), []byte("bad")); !errors.Is(err, rollout.ErrRefused) {
		t.Errorf("one that does not hold here: %v", err)
	}
	if err := take(k, proven(bad), nil); err != nil {
		t.Errorf("it was asked for again: %v", err)
	}
	k = keeper(t, dir)
	has(t, k, "one", 5)
	st := k.Status()
	if st[0].Number != 5 || !strings.Contains(st[0].Why, "policy.ees_mode") || st[0].Refused != proven(bad).Digest {
		t.Errorf("the lane reports %+v", st[0])
	}
	if _, err := rollout.ParseStatus(encode(t, st)); err != nil {
		t.Errorf("the site does not take the report: %v", err)
	}
	if err := take(k, proven(release(rollout.Trust, 1, []byte("lists"))), []byte("lists")); !errors.Is(err, rollout.ErrRefused) || !strings.Contains(err.Error(), "trust.persons") {
		t.Errorf("trust for a plain folder: %v", err)
	}
}

// A configuration with which the lane does not come up is given up by the lane
// itself, and stays refused.
func TestTrial(t *testing.T) {
	dir := t.TempDir()
	k := keeper(t, dir)
	for n, content := range []string{"one", "two"} {
		if err := take(k, proven(release(rollout.Configuration, uint64(n+1), []byte(content))), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		has(t, keeper(t, dir), "two", 2)
	}
	k = keeper(t, dir)
	has(t, k, "one", 1)
	if st := k.Status()[0]; st.Number != 1 || !strings.Contains(st.Why, "did not come up") {
		t.Errorf("the lane reports %+v", st)
	}
	if err := take(k, proven(release(rollout.Configuration, 2, []byte("two"))), []byte("two")); err != nil {
		t.Errorf("it was asked for again: %v", err)
	}
	has(t, k, "one", 1)
	for range 5 {
		has(t, keeper(t, dir), "one", 1) // it has stood before
	}
}

// The lane's own file was changed: what no longer holds with it is given up.
func TestOwnFileChanged(t *testing.T) {
	dir := t.TempDir()
	k := keeper(t, dir)
	if err := take(k, proven(release(rollout.Configuration, 1, []byte("one"))), []byte("one")); err != nil {
		t.Fatal(err)
	}
	k = keeper(t, dir)
	k.Check = func([]byte) error { return errors.New("register.extract_key: is needed") }
	has(t, k, "", 0)
	if st := k.Status()[0]; st.Number != 0 || !strings.Contains(st.Why, "extract_key") {
		t.Errorf("the lane reports %+v", st)
	}
}

// A busy lane takes nothing, a cut line is gone on with, and a content that is
// not the one that was signed for is thrown away.
func TestFetch(t *testing.T) {
	k := keeper(t, t.TempDir())
	content := bytes.Repeat([]byte("trust"), 3*rollout.PieceSize/5+7)
	v := proven(release(rollout.Trust, 1, content))
	installed := 0
	k.Install = func(path string) error {
		b, err := os.ReadFile(path)
		if !bytes.Equal(b, content) {
			t.Error("another content was installed")
		}
		installed++
		return err
	}
	if _, err := k.Fetch(v, pieces(content, 2)); err == nil || errors.Is(err, rollout.ErrRefused) {
		t.Fatalf("a cut line: %v", err)
	}
	if st := k.Status()[1]; st.Taking != v.Digest || st.Got != 2*rollout.PieceSize {
		t.Errorf("the lane reports %+v", st)
	}
	asked := 0
	path, err := k.Fetch(v, func(at int64) ([]byte, error) { asked++; return pieces(content, 9)(at) })
	if err != nil || asked != 2 {
		t.Fatalf("%d pieces asked for after the cut, %v", asked, err)
	}
	k.Rest = func(context.Context) (func(), bool, bool) { return func() {}, false, false }
	if err := k.Take(t.Context(), rollout.Offer{}, v, path); !errors.Is(err, rollout.ErrLater) || installed > 0 {
		t.Errorf("a busy lane: %v, installed %d times", err, installed)
	}
	if st := k.Status()[1]; !strings.Contains(st.Waits, "nobody is in the lane") {
		t.Errorf("the lane reports %+v", st)
	}
	undone := 0
	k.Rest = func(context.Context) (func(), bool, bool) { return func() { undone++ }, false, true }
	if err := k.Take(t.Context(), rollout.Offer{}, v, path); err != nil || installed != 1 || undone != 1 || k.Status()[1].Number != 1 {
		t.Errorf("an empty one: %v, installed %d times, opened again %d times", err, installed, undone)
	}
	evil := bytes.Clone(content)
	evil[9] ^= 1
	w := v
	w.Number, w.Digest, w.SHA256 = 2, rollout.Digest([]byte("2")), release(rollout.Trust, 2, []byte("else")).SHA256
	for _, c := range []struct {
		name  string
		piece func(int64) ([]byte, error)
		fatal bool
	}{
		{"tampered", pieces(evil, 9), true},
		{"short pieces", func(int64) ([]byte, error) { return []byte("x"), nil }, false},
		{"pieces that are too long", func(int64) ([]byte, error) { return make([]byte, 1<<20), nil }, false},
		{"nothing", func(int64) ([]byte, error) { return nil, nil }, false},
	} {
		if _, err := k.Fetch(w, c.piece); err == nil || errors.Is(err, rollout.ErrRefused) != c.fatal {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A memory that cannot be read is said so, and nothing is begun on it.
func TestKeeperDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "releases.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rollout.OpenKeeper(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
}

// TestKilled kills a lane with signal 9 while it takes one release after another:
// it always begins anew with one that it took, whole, and forgets none that it
// had said it has.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("PASSAGE_KEEPER"); dir != "" {
		takeForEver(t, dir)
		return
	}
	dir := t.TempDir()
	last := uint64(0)
	for round := range 25 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "PASSAGE_KEEPER="+dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for n := rand.IntN(6); n >= 0 && said.Scan(); n-- {
			if last, err = strconv.ParseUint(strings.TrimPrefix(said.Text(), "took "), 10, 64); err != nil {
				t.Fatalf("round %d: the lane says %q", round, said.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for said.Scan() { // what it said before it died
			if n, err := strconv.ParseUint(strings.TrimPrefix(said.Text(), "took "), 10, 64); err == nil {
				last = n
			}
		}
		_ = cmd.Wait() // killed
		k := keeper(t, dir)
		content, number, err := k.Begin()
		if err != nil || number < last || number > last+1 || !bytes.Equal(content, large(number)) {
			t.Fatalf("round %d: the lane said that it took %d, and begins with %d, %d bytes: %v", round, last, number, len(content), err)
		}
		if err := k.Stood(); err != nil {
			t.Fatal(err)
		}
		last = number
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("%d files are left behind", len(left))
	}
}

// large is the content of a numbered release: so long that writing it takes a
// while.
func large(n uint64) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("# %06d\n", n)), 7000)
}

// takeForEver takes releases until it is killed.
func takeForEver(t *testing.T, dir string) {
	k := keeper(t, dir)
	_, number, err := k.Begin()
	for err == nil {
		number++
		if err = take(k, proven(release(rollout.Configuration, number, large(number))), large(number)); err == nil {
			_, err = io.WriteString(os.Stdout, fmt.Sprintf("took %d\n", number))
		}
	}
	t.Fatal(err)
}
