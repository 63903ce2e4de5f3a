package register

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/eesclient/stay"
)

// populateBatch is how many people Populate adds at once.
const populateBatch = 20_000

// Populate adds n people, fast: into an empty register, without looking whether
// they are there. person makes the one with a number; it is called from several
// goroutines. done is told how many have been added.
func (g *Register) Populate(ctx context.Context, n int, person func(i int) Person, done func(int)) error {
	finish, err := g.db.bulk(ctx, tables...)
	if err != nil {
		return fmt.Errorf("register: populate: %w", err)
	}
	var mu sync.Mutex // done's
	var next atomic.Int64
	added := 0
	group, working := errgroup.WithContext(ctx)
	// One more than there are cores: while one waits for the database, the
	// others make people.
	for range runtime.GOMAXPROCS(0) + 1 {
		group.Go(func() error {
			b := newBatch()
			for {
				from := int(next.Add(populateBatch)) - populateBatch
				if from >= n {
					return nil
				}
				to := min(from+populateBatch, n)
				if err := g.fill(b, from, to, person); err != nil {
					return err
				}
				for _, r := range b {
					if err := g.db.load(working, r); err != nil {
						return err
					}
				}
				mu.Lock()
				added += to - from
				done(added)
				mu.Unlock()
			}
		})
	}
	// Whatever happened, a register without its indices must not stay behind.
	if err := errors.Join(group.Wait(), finish(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("register: populate: %w", err)
	}
	return nil
}

// The tables that Populate fills, in a batch's order.
const (
	tableFile = iota
	tableDocument
	tablePerson
	tablePermission
	tableEntry
	tableTag
)

var tables = []string{
	tableFile: "individual_file", tableDocument: "document", tablePerson: "person",
	tablePermission: "permission", tableEntry: "list_entry", tableTag: "list_tag",
}

// rows are rows of one table in the tuples of PostgreSQL's binary COPY: the
// number of fields, and each field behind its length. Rows are millions, and
// this way they hold no pointer that the collector would follow.
type rows struct {
	table   string
	columns []column
	tuples  []byte
	n       int
}

type column struct {
	name string
	kind kind
}

type kind byte

const (
	text kind = iota
	blob
	number
)

func newBatch() []*rows {
	return []*rows{
		tableFile:       {table: tables[tableFile], columns: []column{{"file", text}, {"until", number}, {"sealed", blob}}},
		tableDocument:   {table: tables[tableDocument], columns: []column{{"tag", blob}, {"file", text}}},
		tablePerson:     {table: tables[tablePerson], columns: []column{{"tag", blob}, {"file", text}}},
		tablePermission: {table: tables[tablePermission], columns: []column{{"tag", blob}, {"status", text}, {"until", number}, {"days", number}}},
		tableEntry:      {table: tables[tableEntry], columns: []column{{"entry", text}, {"list", text}, {"answer", text}, {"discreet", number}, {"sealed", blob}}},
		tableTag:        {table: tables[tableTag], columns: []column{{"tag", blob}, {"entry", text}, {"answer", text}, {"discreet", number}}},
	}
}

// begin begins a row, whose fields then follow in the order of the columns.
func (r *rows) begin() *rows {
	r.n++
	r.tuples = binary.BigEndian.AppendUint16(r.tuples, uint16(len(r.columns)))
	return r
}

func (r *rows) text(s string) *rows {
	r.tuples = append(binary.BigEndian.AppendUint32(r.tuples, uint32(len(s))), s...)
	return r
}

func (r *rows) blob(b []byte) *rows {
	r.tuples = append(binary.BigEndian.AppendUint32(r.tuples, uint32(len(b))), b...)
	return r
}

func (r *rows) number(n int64) *rows {
	r.tuples = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(r.tuples, 8), uint64(n))
	return r
}

// each yields the rows as a driver's arguments.
func (r *rows) each(yield func(args []any) error) error {
	b := r.tuples
	args := make([]any, len(r.columns))
	for range r.n {
		b = b[2:]
		for i, c := range r.columns {
			size := binary.BigEndian.Uint32(b)
			field := b[4 : 4+size]
			b = b[4+size:]
			switch c.kind {
			case text:
				args[i] = string(field)
			case blob:
				args[i] = field
			case number:
				args[i] = int64(binary.BigEndian.Uint64(field))
			}
		}
		if err := yield(args); err != nil {
			return err
		}
	}
	return nil
}

// fill makes people the rows of a batch, in the place of what it had.
func (g *Register) fill(b []*rows, from, to int, person func(int) Person) error {
	for _, r := range b {
		r.tuples, r.n = r.tuples[:0], 0
	}
	today := stay.On(time.Now())
	for i := from; i < to; i++ {
		p := person(i)
		sealed, err := g.keys.sealed(p, p.File)
		if err != nil {
			return err
		}
		b[tableFile].begin().text(p.File).number(int64(p.keep(today))).blob(sealed)
		b[tableDocument].begin().blob(g.keys.document(p.Issuer, p.Number)).text(p.File)
		b[tablePerson].begin().blob(g.keys.person(p.Surname, p.GivenNames, p.Birth, p.Nationality)).text(p.File)
		for _, r := range g.permissions(p) {
			b[tablePermission].begin().blob(r.tag).text(r.status).number(int64(r.until)).number(int64(r.days))
		}
		for list, hit := range p.Hits {
			e := g.entry(p, list, hit)
			if sealed, err = g.keys.sealed(p, e.entry); err != nil {
				return err
			}
			b[tableEntry].begin().text(e.entry).text(list).text(e.answer).number(int64(e.discreet)).blob(sealed)
			for _, t := range e.tags {
				b[tableTag].begin().blob(t.tag).text(e.entry).text(t.answer).number(int64(e.discreet))
			}
		}
	}
	return nil
}
