package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStay(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c2 := file("c2.csv", "entry,exit\n2026-01-01,2026-02-14\n2026-04-01,2026-04-30\n")
	for name, c := range map[string]struct {
		cmd  stayCmd
		want string
	}{
		"C2":    {stayCmd{On: "2026-06-20", Stays: c2}, `{"status":"ok","days":60,"last_day":"2026-08-18","used":75,"overstay_days":0}`},
		"C4":    {stayCmd{On: "2026-06-29", Ranges: []string{"2026-01-01..2026-03-31"}}, `{"status":"exhausted","days":0,"last_day":null,"used":90,"overstay_days":0}`},
		"C12":   {stayCmd{On: "2026-07-01", VisaUntil: "2026-07-31", Ranges: []string{"2026-01-01..2026-03-31"}}, `{"status":"ok","days":31,"last_day":"2026-07-31","used":88,"overstay_days":0}`},
		"C13":   {stayCmd{On: "2026-07-01", VisaUntil: "2026-12-31", VisaDays: 15}, `{"status":"ok","days":15,"last_day":"2026-07-15","used":0,"overstay_days":0}`},
		"C26":   {stayCmd{On: "2026-06-01", Stays: c2, Exclude: []string{"2026-01-01..2026-02-14"}}, `{"status":"ok","days":60,"last_day":"2026-07-30","used":30,"overstay_days":0}`},
		"C26 f": {stayCmd{On: "2026-06-01", Stays: c2, Exclude: []string{file("permit.csv", "2026-01-01,2026-02-14\n")}}, `{"status":"ok","days":60,"last_day":"2026-07-30","used":30,"overstay_days":0}`},
		"open":  {stayCmd{On: "2026-06-20", Stays: file("open.csv", "2026-01-01,\n")}, `{"status":"undetermined","days":0,"last_day":null,"used":0,"overstay_days":0}`},
		"X3":    {stayCmd{On: "2026-04-05", Direction: "exit", Ranges: []string{"2026-01-01.."}}, `{"status":"ok","days":0,"last_day":null,"used":95,"overstay_days":5}`},
		"X3 on": {stayCmd{On: "2026-04-05", Direction: "exit", Ranges: []string{"2026-01-01..2026-04-05"}}, `{"status":"ok","days":0,"last_day":null,"used":95,"overstay_days":5}`},
		"X7":    {stayCmd{On: "2026-04-05", Direction: "exit", ExtendedUntil: "2026-04-30", Ranges: []string{"2026-01-01.."}}, `{"status":"ok","days":0,"last_day":null,"used":95,"overstay_days":0}`},
	} {
		c.cmd.JSON = true
		var out, beside bytes.Buffer
		if err := c.cmd.run(&out, &beside); err != nil || strings.TrimSpace(out.String()) != c.want || beside.Len() != 0 {
			t.Errorf("%s: %s%s, %v", name, out.String(), beside.String(), err)
		}
	}
	for name, c := range map[string]stayCmd{
		"no day": {On: "20.6.2026"}, "no file": {On: "2026-06-20", Stays: filepath.Join(dir, "none")}, "no range": {On: "2026-06-20", Ranges: []string{"2026-01-01"}},
		"backwards": {On: "2026-06-20", Ranges: []string{"2026-02-01..2026-01-01"}}, "no end": {On: "2026-06-20", Exclude: []string{"2026-01-01.."}},
		"days": {On: "2026-06-20", VisaDays: -1},
	} {
		if err := c.run(&bytes.Buffer{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var out, beside bytes.Buffer
	c := stayCmd{On: "2026-06-20", Stays: c2, Explain: true, JSON: true, Calendar: filepath.Join(dir, "days.svg")}
	if err := c.run(&out, &beside); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%s, %v", out.String(), err)
	}
	for _, want := range []string{"2026-08-18              allowed    90 used", "2026-08-19              refused    91 used  its window holds 91 days, more than 90"} {
		if !strings.Contains(beside.String(), want) {
			t.Errorf("the explanation lacks %q:\n%s", want, beside.String())
		}
	}
	if b, err := os.ReadFile(c.Calendar); err != nil || !bytes.HasPrefix(b, []byte("<svg")) {
		t.Errorf("no picture: %v", err)
	}
}
