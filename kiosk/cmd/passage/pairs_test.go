package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"passage/matcher"
	"passage/matcher/pack"
	"passage/matcher/pad"
)

func TestReadPairs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pairs.tsv")
	if err := os.WriteFile(path, []byte("a\tb\tsame\nx.jpg\ty.jpg\t1\r\n\nno tab\n\tz.jpg\nx.jpg\tz.jpg\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := readPairs(path)
	if err != nil || len(list) != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, want := range []pair{{a: "x.jpg", b: "y.jpg", same: "1"}, {a: "no tab"}, {}, {a: "x.jpg", b: "z.jpg"}} {
		got := list[i]
		if bad := want.b == ""; bad != (got.err != nil) || got.a != want.a || got.b != want.b || got.same != want.same {
			t.Errorf("line %d: %+v, want %+v", i, got, want)
		}
	}
}

func FuzzReadPairs(f *testing.F) {
	f.Add("a\tb\tsame\nx.jpg\ty.jpg\t1\n")
	f.Fuzz(func(t *testing.T, s string) {
		path := filepath.Join(t.TempDir(), "p")
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := readPairs(path)
		if err == nil && len(list) > strings.Count(s, "\n")+1 {
			t.Errorf("%d pairs of %q", len(list), s)
		}
	})
}

func TestInOrder(t *testing.T) {
	const n = 500
	var got []int
	if err := inOrder(t.Context(), n, func(_ context.Context, i int) int { return i }, func(i, v int) error {
		if i != v {
			t.Errorf("%d at %d", v, i)
		}
		got = append(got, v)
		return nil
	}); err != nil || len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%d results, %v", len(got), err)
	}
	full := errors.New("full")
	if err := inOrder(t.Context(), n, func(_ context.Context, i int) int { return i }, func(i, _ int) error {
		if i == 3 {
			return full
		}
		return nil
	}); !errors.Is(err, full) {
		t.Errorf("the taker's error is lost: %v", err)
	}
}

// People are what the list joins by 1, over several lines.
func TestGather(t *testing.T) {
	list := []pair{{a: "a1", b: "a2", same: "1"}, {a: "a2", b: "a3", same: "1"}, {a: "b1", b: "a3", same: "0"}, {a: "c1", b: "b1", same: "0"}}
	k, err := gather(list, regexp.MustCompile("^[ab]"), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(k.pictures) != 4 || len(k.pairs) != 6 || k.pictures[0].person != k.pictures[2].person || k.pictures[0].person == k.pictures[3].person {
		t.Errorf("%+v", k)
	}
	axis := func(i int) []float32 { d := make([]float32, 4); d[i] = 1; return d }
	for i := range k.pictures {
		k.pictures[i].d = axis(i / 3)
	}
	f, err := measureUp("p", k, 2)
	if err != nil || f.Single.Genuine != 3 || f.Single.Impostor != 3 || f.Fused.Genuine != 3 || f.Fused.Impostor != 3 || f.Single.EER != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := gather([]pair{{a: "a", b: "b"}}, regexp.MustCompile(""), false); err == nil {
		t.Error("a list without its third column calibrates")
	}
}

// The worker's own answers for a list with what lists have in them.
func TestPairsOfPortraits(t *testing.T) {
	v := worker(t)
	portraits := filepath.Join(filepath.Dir(v.Packs), "portraits")
	a, b := filepath.Join(portraits, "p01.jpg"), filepath.Join(portraits, "p02.jpg")
	if _, err := os.Stat(b); err != nil {
		t.Skipf("%s is missing: make setup", b)
	}
	c := compareCmd{engine: engine{Program: v.Program, Pack: filepath.Join(v.Packs, v.Pack)}, Threshold: .85, Pairs: filepath.Join(portraits, "list.tsv")}
	p, err := pack.Read(c.Pack)
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text.jpg")
	if err := os.WriteFile(text, []byte("not a picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = withGallery(t.Context(), c.engine, func(ctx context.Context, g *gallery) error {
		for _, x := range []struct {
			a, b  string
			same  bool
			fails bool
		}{{a, a, true, false}, {a, b, false, false}, {"p01.jpg", "p02.jpg", false, false}, {a, text, false, true}, {filepath.Join(portraits, "none.jpg"), b, false, true}} {
			r := c.one(ctx, g, p, pair{a: x.a, b: x.b})
			if (r.Error != "") != x.fails || r.Error == "" && (*r.Match != x.same || r.LLR == nil) || r.A != x.a || r.B != x.b {
				t.Errorf("%s, %s: %+v", x.a, x.b, r)
			}
		}
		q := judge(a, g.look(ctx, a))
		if q.Error != "" || q.Unified < 20 || len(q.Components) == 0 || q.Advice == matcher.Look {
			t.Errorf("quality: %+v", q)
		}
		if r := attack(a, g.look(ctx, a)); !r.Evaluated || r.Alarm || r.Cues == nil || len(r.Instruments) != len(pad.Instruments) || !slices.Contains(r.Missing, "light") {
			t.Errorf("attack detection: %+v", r)
		}
		if r := attack(text, g.look(ctx, text)); r.Evaluated || r.Error == "" {
			t.Errorf("attack detection of text: %+v", r)
		}
		frames := padCmd{Images: []string{a, text, a, b}, Every: 100 * time.Millisecond}
		if r := frames.together(ctx, g); !r.Evaluated || r.Frames != 3 || r.Error != "" {
			t.Errorf("frames of one person: %+v", r)
		}
		// Under another name it is the same picture.
		copied := filepath.Join(t.TempDir(), "copy.jpg")
		content, err := os.ReadFile(a)
		if err != nil {
			return err
		}
		if err := os.WriteFile(copied, content, 0o600); err != nil {
			return err
		}
		n := g.looked
		if s := g.look(ctx, copied); s.err != nil || g.looked != n || len(s.faces) != 1 {
			t.Errorf("a copy: %v, looked at %d more", s.err, g.looked-n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
