package main

import (
	"strings"
	"testing"
	"time"
)

func TestBalance(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	fits := func() accounts {
		return accounts{
			left:    []left{{"E", "ann", at(12)}, {"E", "bob", at(22)}, {"X", "cem", at(12)}},
			intents: []intent{{"E", "u1", at(10), "record"}, {"E", "u2", at(20), "case"}, {"E", "u3", at(30), "void"}, {"E", "u4", at(40), "case"}, {"X", "u5", at(11), "record"}},
			records: map[string]int{"u1": 1, "u5": 1},
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*accounts)
		want  string
	}{
		{"all fits", func(*accounts) {}, ""},
		{"a record is lost", func(a *accounts) { delete(a.records, "u1") }, "0 records of u1"},
		{"a record is there twice", func(a *accounts) { a.records["u5"] = 2 }, "2 records of u5"},
		{"record and case", func(a *accounts) { a.records["u2"] = 1 }, "which is a case"},
		{"an intent is open", func(a *accounts) { a.intents[3].end = "" }, "has no end"},
		{"a void crossing", func(a *accounts) { a.intents[1].end = "void" }, "bob went out, and intent u2 is void"},
		{"no intent", func(a *accounts) { a.left[2].at = at(5) }, "cem went out without an intent"},
		{"two on one", func(a *accounts) { a.left = append(a.left, left{"E", "dan", at(13)}) }, "ann and dan went out on intent u1"},
		{"a record of nobody", func(a *accounts) { a.left = a.left[1:] }, "nobody went out"},
		{"a record of no lane", func(a *accounts) { a.records["u9"] = 1 }, "which no lane knows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := fits()
			c.spoil(&a)
			got := strings.Join(a.balance(), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
