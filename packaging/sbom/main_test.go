package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A program's bill names what is linked into it: this test's own does.
func TestOwnBill(t *testing.T) {
	var out bytes.Buffer
	if err := (cli{Version: "1", Time: 1, Program: os.Args[0], Library: []string{"libc6=2.36"}}).run(&out); err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	found := map[string]component{}
	for _, c := range b.Components {
		found[c.Name] = c
	}
	if kong := found["github.com/alecthomas/kong"]; kong.Version == "" || len(kong.Hashes) != 1 || found["libc6"].PURL != "pkg:deb/debian/libc6@2.36" || found["Go standard library"].Version == "" {
		t.Errorf("%+v", found)
	}
	if b.Spec != "1.6" || len(b.Serial) != len("urn:uuid:")+36 || b.Metadata.Timestamp != "1970-01-01T00:00:01Z" {
		t.Errorf("%+v", b)
	}
	var again bytes.Buffer
	if err := (cli{Version: "1", Time: 1, Program: os.Args[0], Library: []string{"libc6=2.36"}}).run(&again); err != nil || !bytes.Equal(out.Bytes(), again.Bytes()) {
		t.Error("the same program gives another bill")
	}
	if err := (cli{Program: "main.go"}).run(&out); err == nil {
		t.Error("a text has a bill")
	}
	if err := (cli{Program: os.Args[0], Library: []string{"libc6"}}).run(&out); err == nil || !strings.Contains(err.Error(), "libc6") {
		t.Errorf("%v", err)
	}
}
