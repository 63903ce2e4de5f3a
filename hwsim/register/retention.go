package register

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"passage/eesclient/api"
	"passage/eesclient/stay"
)

// keyDays is how long an idempotency key is kept. Afterwards the key stays
// taken, and any body gets 409: a record is never made twice.
const keyDays = 30

// rule is one line of what is erased and when: due selects the names of what
// is, erase removes one.
type rule struct {
	what, rule string
	due        func(today stay.Day) step
	erase      string
}

// before is the day that lies years before today.
func before(today stay.Day, years int) int64 {
	return int64(stay.On(today.Date().AddDate(-years, 0, 0)))
}

func nanos(d int64) int64 { return stay.Day(d).Date().UnixNano() }

const eraseRecord = "DELETE FROM record WHERE id=$1"

// rules are the table of retention, in the order in which they are applied.
// Files come after it: what they are kept for may be gone by then.
var rules = []rule{
	{
		"entry", "three years after the exit that followed: Reg. (EU) 2017/2226 Art. 34(1)",
		func(t stay.Day) step {
			return step{sql: "SELECT e.id FROM record e WHERE e.kind='entry' AND EXISTS (SELECT 1 FROM record x WHERE x.file=e.file AND x.kind='exit' AND x.crossed>e.crossed AND x.day<$1)", args: []any{before(t, 3)}}
		}, eraseRecord,
	},
	{
		"exit or refusal", "three years after it: Reg. (EU) 2017/2226 Art. 34(1)",
		func(t stay.Day) step {
			return step{sql: "SELECT id FROM record WHERE kind IN ('exit','refusal') AND day<$1", args: []any{before(t, 3)}}
		}, eraseRecord,
	},
	{
		"entry without exit", "five years after the authorised stay ended: Reg. (EU) 2017/2226 Art. 34(3)",
		func(t stay.Day) step {
			return step{sql: "SELECT id FROM record WHERE kind='entry' AND day<$1", args: []any{before(t, 5) - 90}}
		}, eraseRecord,
	},
	{
		"consultation record", "thirty days, as long as its key: it holds no EES data",
		func(t stay.Day) step {
			return step{sql: "SELECT id FROM record WHERE kind='consultation' AND at<$1", args: []any{nanos(int64(t) - keyDays)}}
		}, eraseRecord,
	},
	{
		"idempotency key", "thirty days",
		func(t stay.Day) step {
			return step{sql: "SELECT id FROM record WHERE hash IS NOT NULL AND at<$1", args: []any{nanos(int64(t) - keyDays)}}
		}, "UPDATE record SET hash=NULL WHERE id=$1",
	},
	{
		"audit", "one year after the longest period of Art. 34: Reg. (EU) 2017/2226 Art. 46(4)",
		func(t stay.Day) step {
			return step{sql: "SELECT CAST(seq AS TEXT) FROM audit WHERE at<$1", args: []any{nanos(before(t, 6) - 90)}}
		}, "DELETE FROM audit WHERE seq=CAST($1 AS BIGINT)",
	},
}

// fileRule is the last of the rules: it needs a file's own stays.
const fileRule = "three years and a day after the last exit, one for family members, five after the authorised stay without an exit: Reg. (EU) 2017/2226 Art. 34(2)-(4)"

// eraseBatch is how much is erased in one transaction.
const eraseBatch = 1000

// Erase erases what may no longer be kept on a day, and writes down how much
// of what by which rule. What it wrote down and what is gone are one
// transaction. It returns the lines that it wrote.
func (g *Register) Erase(ctx context.Context, today stay.Day) ([]api.Erasure, error) {
	var list []api.Erasure
	for _, r := range rules {
		var names []string
		due := r.due(today)
		due.row = func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			names = append(names, name)
			return err
		}
		if err := g.db.do(ctx, due); err != nil {
			return list, fmt.Errorf("register: erase: %s: %w", r.what, err)
		}
		for batch := range slices.Chunk(names, eraseBatch) {
			var steps []step
			for _, name := range batch {
				steps = append(steps, step{sql: r.erase, args: []any{name}})
			}
			e, err := g.erased(ctx, r.what, r.rule, batch, steps)
			if err != nil {
				return list, err
			}
			list = append(list, e)
		}
	}
	e, err := g.eraseFiles(ctx, today)
	list = append(list, e...)
	if err != nil {
		return list, err
	}
	if err := g.db.scrub(ctx); err != nil {
		return list, fmt.Errorf("register: erase: %w", err)
	}
	return list, nil
}

// eraseFiles erases files that are due. A file's day is written when it is
// loaded; whoever crossed since may be kept for longer.
func (g *Register) eraseFiles(ctx context.Context, today stay.Day) ([]api.Erasure, error) {
	var due []history
	if err := g.db.do(ctx, step{
		sql: "SELECT file, sealed FROM individual_file WHERE until<$1", args: []any{int64(today)},
		row: func(scan func(...any) error) error {
			var h history
			err := g.scanFile(scan, &h.Person)
			due = append(due, h)
			return err
		},
	}); err != nil {
		return nil, fmt.Errorf("register: erase: files: %w", err)
	}
	var list []api.Erasure
	for batch := range slices.Chunk(due, eraseBatch) {
		var steps []step
		var names []string
		for _, h := range batch {
			if err := g.db.do(ctx, step{
				sql: "SELECT kind, day FROM record WHERE file=$1 ORDER BY crossed", args: []any{h.Person.File},
				row: func(scan func(...any) error) error {
					var kind string
					var day int64
					err := scan(&kind, &day)
					h.crossed(kind, stay.Day(day))
					return err
				},
			}); err != nil {
				return list, fmt.Errorf("register: erase: files: %w", err)
			}
			if until := h.keep(today); until >= today && len(h.Stays) > 0 {
				steps = append(steps, step{sql: "UPDATE individual_file SET until=$1 WHERE file=$2", args: []any{int64(until), h.Person.File}})
				continue
			}
			steps = append(steps, g.forget(h.Person)...)
			names = append(names, h.Person.File)
		}
		e, err := g.erased(ctx, "individual file", fileRule, names, steps)
		if err != nil {
			return list, err
		}
		if len(names) > 0 {
			list = append(list, e)
		}
	}
	return list, nil
}

// erased runs an erasure and writes its line, chained to the one before. The
// names that it digests are no longer anywhere.
func (g *Register) erased(ctx context.Context, what, by string, names []string, steps []step) (api.Erasure, error) {
	g.erasing.Lock()
	defer g.erasing.Unlock()
	var last string
	if err := g.db.do(ctx, step{sql: "SELECT digest FROM erasure ORDER BY seq DESC LIMIT 1", row: func(scan func(...any) error) error { return scan(&last) }}); err != nil {
		return api.Erasure{}, fmt.Errorf("register: erase: %w", err)
	}
	e := api.Erasure{At: time.Now().UTC(), What: what, Rule: by, Count: len(names)}
	h := sha256.New()
	for _, name := range names {
		_, _ = io.WriteString(h, name+"\n") // a hash takes everything
	}
	e.Digest = link(last, e, hex.EncodeToString(h.Sum(nil)))
	if len(names) > 0 {
		steps = append(steps, step{
			sql:  "INSERT INTO erasure (at, what, rule, count, names, digest) VALUES ($1,$2,$3,$4,$5,$6)",
			args: []any{e.At.UnixNano(), what, by, e.Count, hex.EncodeToString(h.Sum(nil)), e.Digest},
		})
	}
	if err := g.db.do(ctx, steps...); err != nil {
		return e, fmt.Errorf("register: erase: %s: %w", what, err)
	}
	return e, nil
}

// link is the digest of a line and of all before it.
func link(last string, e api.Erasure, names string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%s\n%s\n%d\n%s\n", last, e.At.UnixNano(), e.What, e.Rule, e.Count, names))
	return hex.EncodeToString(sum[:])
}

// ErrChain says that the proof of erasure was changed afterwards.
var ErrChain = errors.New("register: the erasures' chain is broken")

// CheckErasures follows the chain of erasures and returns how many lines it has.
func (g *Register) CheckErasures(ctx context.Context) (int, error) {
	n, last := 0, ""
	err := g.db.do(ctx, step{sql: "SELECT at, what, rule, count, names, digest FROM erasure ORDER BY seq", row: func(scan func(...any) error) error {
		var at int64
		var names string
		var e api.Erasure
		if err := scan(&at, &e.What, &e.Rule, &e.Count, &names, &e.Digest); err != nil {
			return err
		}
		e.At = time.Unix(0, at).UTC()
		if link(last, e, names) != e.Digest {
			return fmt.Errorf("%w at line %d", ErrChain, n+1)
		}
		last = e.Digest
		n++
		return nil
	}})
	return n, err
}
