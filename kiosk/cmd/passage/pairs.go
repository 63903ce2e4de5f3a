package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"passage/matcher"
	"passage/matcher/pack"
)

// pair is one line of a list.
type pair struct {
	a, b string
	same string // third column: 1 for one person, 0 for two; may be missing
	err  error
}

// maxPairs bounds a list.
const maxPairs = 5_000_000

// readPairs reads a list of pairs. A line that is none becomes a pair with an
// error, so that lines and answers agree.
func readPairs(path string) ([]pair, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []pair
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimRight(s.Text(), "\r")
		if line == "" || n == 1 && strings.HasPrefix(line+"\t", "a\tb\t") {
			continue
		}
		if len(list) == maxPairs {
			return nil, fmt.Errorf("%s: more than %d pairs", path, maxPairs)
		}
		c := strings.Split(line, "\t")
		p := pair{a: c[0]}
		switch {
		case len(c) < 2 || c[0] == "" || c[1] == "":
			p.err = fmt.Errorf("line %d is not two paths with a tab between", n)
		default:
			p.b = c[1]
			if len(c) > 2 {
				p.same = c[2]
			}
		}
		list = append(list, p)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no pairs", path)
	}
	return list, nil
}

// pairReport is one answer of a list. A pair without a score has an error.
type pairReport struct {
	A     string   `json:"a"`
	B     string   `json:"b"`
	Score *float64 `json:"score,omitempty"`
	LLR   *float64 `json:"llr,omitempty"`
	Match *bool    `json:"match,omitempty"`
	Error string   `json:"error,omitempty"`
}

// list compares a list's pairs, as many at a time as there are workers, and
// answers in the list's order.
func (c compareCmd) list(ctx context.Context, p *pack.Manifest) error {
	pairs, err := readPairs(c.Pairs)
	if err != nil {
		return err
	}
	began, failed, looked := time.Now(), 0, 0
	c.bare = true
	out := bufio.NewWriter(os.Stdout)
	err = withGallery(ctx, c.engine, func(ctx context.Context, g *gallery) error {
		began = time.Now()
		enc := json.NewEncoder(out)
		err := inOrder(ctx, len(pairs), func(ctx context.Context, i int) pairReport { return c.one(ctx, g, p, pairs[i]) },
			func(i int, r pairReport) error {
				if r.Error != "" {
					failed++
				}
				if took := time.Since(began); i%100 == 99 {
					fmt.Fprintf(os.Stderr, "\r%d of %d pairs, %.0f/s ", i+1, len(pairs), float64(i+1)/took.Seconds())
				}
				if c.JSON {
					return enc.Encode(r)
				}
				_, err := fmt.Fprintf(out, "%s\t%s\t%s\n", r.A, r.B, r.text())
				return err
			})
		looked = g.looked
		return err
	})
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(os.Stderr, "\r%d pairs in %.1f s, %.1f/s; %d could not be compared; %d pictures were analysed, %.0f ms of CPU time each\n", len(pairs), took.Seconds(), float64(len(pairs))/took.Seconds(), failed, looked, ms(spent())/float64(max(looked, 1)))
	return nil
}

// spent is the CPU time of this process and of its workers that have ended.
func spent() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

func (r pairReport) text() string {
	if r.Error != "" {
		return r.Error
	}
	if *r.Match {
		return fmt.Sprintf("%.4f\tmatch", *r.Score)
	}
	return fmt.Sprintf("%.4f\tnon_match", *r.Score)
}

func (c compareCmd) one(ctx context.Context, g *gallery, p *pack.Manifest, x pair) pairReport {
	r := pairReport{A: x.a, B: x.b}
	if x.err != nil {
		r.Error = x.err.Error()
		return r
	}
	var d [2][]float32
	for i, path := range []string{x.a, x.b} {
		s := g.look(ctx, find(path, c.Pairs))
		if s.err != nil {
			r.Error = fmt.Sprintf("%s: %v", path, s.err)
			return r
		}
		d[i] = s.d
	}
	score := matcher.Cosine(d[0], d[1])
	match := score >= c.Threshold
	r.Score, r.Match = &score, &match
	if p.Calibration != nil {
		llr := p.Calibration.Likelihood(score)
		r.LLR = &llr
	}
	return r
}

// inOrder does n things, several at a time, and hands their results on in
// their order.
func inOrder[T any](ctx context.Context, n int, do func(context.Context, int) T, take func(int, T) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// A place for each that is under way or waits for an earlier one.
	window := make(chan chan T, 8*runtime.NumCPU())
	tokens := make(chan struct{}, 2*runtime.NumCPU())
	go func() {
		defer close(window)
		for i := range n {
			result := make(chan T, 1)
			select {
			case window <- result:
			case <-ctx.Done():
				return
			}
			tokens <- struct{}{}
			go func() {
				result <- do(ctx, i)
				<-tokens
			}()
		}
	}()
	i := 0
	var failed error
	for result := range window { // to its end, so that nobody is left behind
		v := <-result
		if failed == nil {
			if failed = take(i, v); failed != nil {
				stop()
			}
		}
		i++
	}
	if failed != nil {
		return failed
	}
	return ctx.Err()
}
