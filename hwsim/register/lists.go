package register

import (
	"crypto/rand"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"

	"passage/eesclient/watchlist"
)

// lists are the copies of the watch lists that lanes have been given. They live
// in memory: after a restart lanes get a whole copy, under a new salt.
type lists struct {
	mu      sync.Mutex
	salt    watchlist.Salt
	version int64 // 0: none yet
	made    time.Time
	rows    []watchlist.Row
	changes []change // oldest first
}

// change leads from the version base to the next one.
type change struct {
	base int64
	rows []watchlist.Row
}

const (
	// madeFor is how long a version is good enough for whoever asks.
	madeFor = time.Minute
	// mostChanges are the versions that a delta can begin at: a day of lanes
	// that ask every quarter of an hour.
	mostChanges = 96
)

var finds = map[string]watchlist.Find{"HIT_ACTION": watchlist.Action, "HIT_INQUIRY": watchlist.Inquiry, "POSSIBLE": watchlist.Possible}

// sendLists gives a lane the lists, or what has changed since the version that
// it holds. What is discreet is not read at all.
func (g *Register) sendLists(w http.ResponseWriter, r *http.Request, since int64) {
	h, rows, ok := g.listed(w, r, since)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("ETag", fmt.Sprintf(`"lists-%d-%d"`, h.Version, h.Base))
	_ = watchlist.Write(w, h, each(rows), g.keys.sign) // the client has gone otherwise
}

// listed is the newest version, as a delta to since if that is known.
func (g *Register) listed(w http.ResponseWriter, r *http.Request, since int64) (watchlist.Head, []watchlist.Row, bool) {
	l := &g.lists
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.version == 0 || since == l.version || now.Sub(l.made) > madeFor {
		if !g.makeLists(w, r, now) {
			return watchlist.Head{}, nil, false
		}
	} else if audit, err := g.audited(r.Context(), "", subject{}, "0"); !g.done(w, r, err, audit) {
		return watchlist.Head{}, nil, false
	}
	h, rows := l.since(since)
	return h, rows, true
}

// makeLists makes a version of what the lists say now.
func (g *Register) makeLists(w http.ResponseWriter, r *http.Request, now time.Time) bool {
	l := &g.lists
	if l.version == 0 {
		rand.Read(l.salt[:])
	}
	tagger := watchlist.NewTagger(l.salt)
	var rows []watchlist.Row
	audit, err := g.audited(r.Context(), "", subject{}, "0")
	if !g.done(w, r, err, audit, step{sql: "SELECT entry, list, answer, sealed FROM list_entry WHERE discreet=0", row: func(scan func(...any) error) error {
		var entry, list, answer string
		var sealed []byte
		if err := scan(&entry, &list, &answer, &sealed); err != nil {
			return err
		}
		var p Person
		if err := g.keys.unseal(sealed, entry, &p); err != nil {
			return err
		}
		who := watchlist.Subject{Issuer: p.Issuer, Number: p.Number}
		if list == "SIS" || list == "FPR" { // lists of persons; the others are of documents
			birth, err := time.Parse(time.DateOnly, p.Birth)
			if err != nil {
				return fmt.Errorf("register: %s: a birth date that is none", entry)
			}
			who.Surname, who.GivenNames, who.Birth, who.Nationality = p.Surname, p.GivenNames, birth, p.Nationality
		}
		rows = append(rows, tagger.Rows(list, who, finds[answer])...)
		return nil
	}}) {
		return false
	}
	rows = watchlist.Sort(rows)
	if l.version != 0 {
		l.changes = append(l.changes, change{l.version, differences(l.rows, rows)})
		l.changes = l.changes[max(0, len(l.changes)-mostChanges):]
	}
	l.version, l.made, l.rows = max(l.version+1, now.UnixMilli()), now, rows
	return true
}

// differences are the rows that lead from one version to the next, both sorted.
func differences(from, to []watchlist.Row) []watchlist.Row {
	var rows []watchlist.Row
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && from[0].Tag < to[0].Tag:
			rows = append(rows, watchlist.Row{Tag: from[0].Tag, Find: watchlist.None})
			from = from[1:]
		case len(from) == 0 || to[0].Tag < from[0].Tag:
			rows = append(rows, to[0])
			to = to[1:]
		default:
			if from[0] != to[0] {
				rows = append(rows, to[0])
			}
			from, to = from[1:], to[1:]
		}
	}
	return rows
}

// since is the newest version, as a delta to another one if that is known.
func (l *lists) since(base int64) (watchlist.Head, []watchlist.Row) {
	h := watchlist.Head{Version: l.version, At: l.made, Salt: l.salt[:], Rows: len(l.rows)}
	at := slices.IndexFunc(l.changes, func(c change) bool { return c.base == base })
	if base == 0 || at < 0 {
		return h, l.rows
	}
	last := map[watchlist.Tag]watchlist.Find{}
	for _, c := range l.changes[at:] {
		for _, r := range c.rows {
			last[r.Tag] = r.Find
		}
	}
	rows := make([]watchlist.Row, 0, len(last))
	for tag, find := range last {
		rows = append(rows, watchlist.Row{Tag: tag, Find: find})
	}
	h.Base, h.Rows = base, len(rows)
	return h, watchlist.Sort(rows)
}

func each(rows []watchlist.Row) iter.Seq2[watchlist.Row, error] {
	return func(yield func(watchlist.Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}
