package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"passage/sqlite"
)

// The walk can fail: whatever leaks, wherever and in whatever form, it finds.
// Each leak is made as a program of ours would make it.
func TestLeaksAreFound(t *testing.T) {
	if held := os.Getenv("PASSAGE_HOLDS"); held != "" {
		hold(held)
	}
	const name = "Quokkaberg"
	var wide []byte
	for _, u := range utf16.Encode([]rune(name)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for form, leak := range map[string][]byte{
		"as it is": []byte(name), "in base64": []byte(base64.StdEncoding.EncodeToString([]byte("of " + name + "."))),
		"in hexadecimal": []byte(hex.EncodeToString([]byte(name))), "in UTF-16": wide,
	} {
		t.Run(form, func(t *testing.T) {
			w := &walked{t: t, said: map[string][]byte{}}
			w.find.Plant("surname", []byte(name))
			dir := t.TempDir()
			found := func(where string, list []string, err error) {
				t.Helper()
				if err != nil || len(list) == 0 {
					t.Errorf("%s: not found: %v", where, err)
				}
			}
			clean := func(where string, list []string, err error) {
				t.Helper()
				if err != nil || len(list) > 0 {
					t.Errorf("%s, where it is not: %q, %v", where, list, err)
				}
			}

			// A row, in the log beside the database; then in the database; then
			// deleted, in a page that is free.
			path := filepath.Join(dir, "lane.db")
			db, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			must := func(q string, args ...any) {
				t.Helper()
				if _, err := db.Writer.Exec(q, args...); err != nil {
					t.Fatal(err)
				}
			}
			must("PRAGMA wal_autocheckpoint = 0")
			must("CREATE TABLE note (b BLOB)")
			must("PRAGMA wal_checkpoint(TRUNCATE)")
			must("INSERT INTO note VALUES (?)", append(bytes.Repeat([]byte("-"), 6000), leak...)) // on a page of its own
			list, err := w.file(path)
			clean("the database before its log is taken over", list, err)
			list, err = w.file(path + "-wal")
			found("the log beside the database", list, err)
			must("PRAGMA secure_delete = OFF")
			must("PRAGMA wal_checkpoint(TRUNCATE)")
			must("DELETE FROM note")
			must("PRAGMA wal_checkpoint(TRUNCATE)")
			var free int
			if err := db.Reader.QueryRow("PRAGMA freelist_count").Scan(&free); err != nil || free == 0 {
				t.Fatalf("%d free pages, %v", free, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			list, err = w.file(path)
			found("a free page", list, err)

			log := filepath.Join(dir, "lane.log")
			if err := os.WriteFile(log, fmt.Appendf(nil, "level=INFO msg=step of=%s\n", leak), 0o600); err != nil {
				t.Fatal(err)
			}
			list, err = w.file(log)
			found("a log", list, err)
			found("a figure", w.in(fmt.Appendf(nil, "passage_lane{of=\"%s\"} 1\n", leak)), nil)
			message, err := json.Marshal(map[string]any{"lane": "E1", "step": leak}) // bytes in JSON: base64 once more
			if err != nil {
				t.Fatal(err)
			}
			if form == "as it is" {
				found("a message", w.in(message), nil)
			}
			found("a page", w.in(fmt.Appendf(nil, "data: {\"name\":\"%s\"}\n\n", leak)), nil)

			// The memory of a program at work, and what is left when it crashes.
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestLeaksAreFound$")
			c.Env, c.Dir = append(os.Environ(), "PASSAGE_HOLDS="+inverted(leak)), dir
			in, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "holds it\n" {
				t.Fatalf("%q, %v", line, err)
			}
			list, err = w.memory(c.Process.Pid)
			found("the memory of a program", list, err)
			in.Close()
			var ended *exec.ExitError
			if err := c.Wait(); !errors.As(err, &ended) {
				t.Fatal(err)
			}
			cores, err := filepath.Glob(filepath.Join(dir, "core*"))
			if err != nil || len(cores) != 1 {
				t.Skipf("this machine writes no cores into a program's folder: %v", cores)
			}
			list, err = w.file(cores[0])
			found("a core", list, err)
		})
	}
}

// inverted keeps a leak out of a program's arguments and environment, where it
// would be found as well.
func inverted(b []byte) string {
	c := bytes.Clone(b)
	for i := range c {
		c[i] = ^c[i]
	}
	return hex.EncodeToString(c)
}

// hold has the leak in memory until its input ends, and crashes.
func hold(held string) {
	b, err := hex.DecodeString(held)
	if err != nil {
		os.Exit(3)
	}
	for i := range b {
		b[i] = ^b[i]
	}
	most := uint64(1 << 30)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: most, Max: most}) // there may be no cores here
	fmt.Println("holds it")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until it is closed
	debug.SetTraceback("crash")
	defer runtime.KeepAlive(b)
	panic("as it happens")
}
