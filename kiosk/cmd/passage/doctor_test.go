package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Programs read doctor's list by these names, and its end by the exit status:
// an error is 1.
func TestDoctorJSON(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lane.toml")
	if err := os.WriteFile(path, []byte("[lane]\nidd = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	was := os.Stdout
	os.Stdout = out
	err = doctorCmd{Config: path, JSON: true}.Run(t.Context())
	os.Stdout = was
	if err == nil || !strings.Contains(err.Error(), "1 of 1") {
		t.Errorf("a bad configuration ends with %v", err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if len(list) != 1 || list[0]["check"] != "configuration" || list[0]["state"] != "bad" || list[0]["found"] == "" || list[0]["todo"] == "" || len(list[0]) != 4 {
		t.Errorf("%v", list)
	}
}
