package keys

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"passage/sqlite"
)

var (
	master = bytes.Repeat([]byte{7}, Size)
	place  = Place{"thing", "id", "key"}
)

func open(t *testing.T, path string, master []byte) (*Ring, *sqlite.DB) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Writer.Exec("CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, key BLOB)"); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), db, master)
	if err != nil {
		t.Fatal(err)
	}
	return r, db
}

func put(t *testing.T, db *sqlite.DB, id int64, sealed []byte) {
	t.Helper()
	if _, err := db.Writer.Exec("INSERT INTO thing VALUES (?,?)", id, sealed); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, r *Ring, db *sqlite.DB, id int64) ([]byte, error) {
	t.Helper()
	var sealed []byte
	if err := db.Reader.QueryRow("SELECT key FROM thing WHERE id=?", id).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	return r.Unseal(place, id, sealed)
}

func TestBoundToItsPlace(t *testing.T) {
	r, err := Fixed(master)
	if err != nil {
		t.Fatal(err)
	}
	sealed := r.Seal(place, 4, []byte("secret"))
	if got, err := r.Unseal(place, 4, sealed); err != nil || string(got) != "secret" {
		t.Fatalf("%q, %v", got, err)
	}
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	unknown := bytes.Clone(sealed)
	unknown[7]++
	for name, f := range map[string]func() ([]byte, error){
		"another row":    func() ([]byte, error) { return r.Unseal(place, 5, sealed) },
		"another table":  func() ([]byte, error) { return r.Unseal(Place{"other", "id", "key"}, 4, sealed) },
		"altered":        func() ([]byte, error) { return r.Unseal(place, 4, altered) },
		"an unknown key": func() ([]byte, error) { return r.Unseal(place, 4, unknown) },
		"short":          func() ([]byte, error) { return r.Unseal(place, 4, sealed[:5]) },
	} {
		if got, err := f(); !errors.Is(err, ErrUnsealed) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A running lane's ring, opened before the rotation, seals and opens through
// all of it; afterwards the old key opens nothing.
func TestReplaceWhileALaneWorks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	lane, db := open(t, path, master)
	put(t, db, 1, lane.Seal(place, 1, []byte("one")))
	tool, _ := open(t, path, master)
	if n, err := tool.Replace(t.Context(), []Place{place, {"absent", "id", "key"}}); err != nil || n != 1 {
		t.Fatalf("%d wrapped anew, %v", n, err)
	}
	// The lane has not looked yet: it still seals with the old key, and opens
	// what was wrapped with the new one.
	put(t, db, 2, lane.Seal(place, 2, []byte("two")))
	if got, err := get(t, lane, db, 1); err != nil || string(got) != "one" {
		t.Fatalf("after the rotation: %q, %v", got, err)
	}
	put(t, db, 3, lane.Seal(place, 3, []byte("three")))
	if _, err := tool.Retire(t.Context(), []Place{place}); err == nil {
		t.Error("retired at once, although a lane may seal with the old key")
	}
	list, err := tool.List(t.Context(), []Place{place})
	if err != nil || len(list) != 2 || list[0].Retired.IsZero() || list[0].Wraps["thing"] != 1 || list[1].Wraps["thing"] != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := db.Writer.Exec("UPDATE ring_key SET retired = retired - ? WHERE retired IS NOT NULL", int64(Adopted)); err != nil {
		t.Fatal(err)
	}
	if n, err := tool.Retire(t.Context(), []Place{place}); err != nil || n != 1 {
		t.Fatalf("%d wrapped anew, %v", n, err)
	}
	if err := lane.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int64]string{1: "one", 2: "two", 3: "three"} {
		if got, err := get(t, lane, db, id); err != nil || string(got) != want {
			t.Errorf("%d: %q, %v", id, got, err)
		}
	}
	if list, err := tool.List(t.Context(), []Place{place}); err != nil || len(list) != 1 || list[0].ID != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAnotherMaster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lane.db")
	r, db := open(t, path, master)
	put(t, db, 1, r.Seal(place, 1, []byte("one")))
	other := bytes.Repeat([]byte{8}, Size)
	if _, err := Open(t.Context(), db, other); !errors.Is(err, ErrKey) {
		t.Errorf("another master key: %v", err)
	}
	if err := r.Rewrap(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), db, master); !errors.Is(err, ErrKey) {
		t.Errorf("the former master key: %v", err)
	}
	again, err := Open(t.Context(), db, other)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, again, db, 1); err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestKeepEnds(t *testing.T) {
	r, err := Fixed(master)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Keep(ctx); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.key32")
	if err := New(path); err != nil {
		t.Fatal(err)
	}
	key, err := Load(path)
	if err != nil || len(key) != Size || bytes.Equal(key, make([]byte, Size)) {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if err := New(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second key over the first: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if got, err := Load("credential:lane.key32"); err != nil || !bytes.Equal(got, key) {
		t.Errorf("credential: %v", err)
	}
	for name, size := range map[string]int{"short": 16, "long": 33, "open": Size} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "open"), 0o604); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "short"), filepath.Join(dir, "long"), filepath.Join(dir, "open"), "credential:", "credential:../" + filepath.Base(dir) + "/lane.key32", "tpm:" + path + "?device=" + filepath.Join(dir, "none"), "tpm:" + path} {
		if _, err := Load(s); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := Load("credential:lane.key32"); err == nil {
		t.Error("a credential without systemd")
	}
}

// startTPM runs an emulated TPM 2.0 and returns its socket.
func startTPM(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("needs an emulated TPM: apt-get install swtpm")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "tpm.sock")
	c := exec.CommandContext(t.Context(), program, "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for end := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		if time.Now().After(end) {
			t.Fatal("the emulated TPM does not start")
		}
	}
}

func TestTPM(t *testing.T) {
	socket := startTPM(t)
	path := filepath.Join(t.TempDir(), "lane.tpm")
	source := "tpm:" + path + "?device=" + socket
	if err := New(source); err != nil {
		t.Fatal(err)
	}
	key, err := Load(source)
	if err != nil || len(key) != Size {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if again, err := Load(source); err != nil || !bytes.Equal(again, key) {
		t.Errorf("the second time: %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, key) {
		t.Error("the file shows the key")
	}
	if _, err := Load("tpm:" + path + "?device=" + startTPM(t)); err == nil {
		t.Error("another TPM opened it")
	}
	if err := os.WriteFile(path, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(source); err == nil {
		t.Error("half a file was taken for a key")
	}
}

// A lane's ring moves from a key in a file to one in a TPM, and gets a new key
// of its own, while the lane works; started again, the lane opens it with the
// TPM alone.
func TestRotateToATPM(t *testing.T) {
	source := "tpm:" + filepath.Join(t.TempDir(), "lane.tpm") + "?device=" + startTPM(t)
	if err := New(source); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lane.db")
	lane, db := open(t, path, master)
	put(t, db, 1, lane.Seal(place, 1, []byte("one")))
	tool, _ := open(t, path, master)
	sealed, err := Load(source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tool.Replace(t.Context(), []Place{place}); err != nil {
		t.Fatal(err)
	}
	put(t, db, 2, lane.Seal(place, 2, []byte("two"))) // it has not heard of it
	if err := lane.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tool.Rewrap(t.Context(), sealed); err != nil {
		t.Fatal(err)
	}
	put(t, db, 3, lane.Seal(place, 3, []byte("three")))
	again, err := Load(source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), db, master); !errors.Is(err, ErrKey) {
		t.Errorf("the key of the file: %v", err)
	}
	restarted, err := Open(t.Context(), db, again)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Ring{lane, restarted} {
		for id, want := range map[int64]string{1: "one", 2: "two", 3: "three"} {
			if got, err := get(t, r, db, id); err != nil || string(got) != want {
				t.Errorf("%d: %q, %v", id, got, err)
			}
		}
	}
}
