package register

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"passage/eesclient/api"
	"passage/eesclient/stay"
)

// recorded takes a body once under a caller's key: the same key and body get
// the same answer, another body gets 409. So does a key that is older than it
// is kept, whatever the body.
func (g *Register) recorded(w http.ResponseWriter, r *http.Request, key, kind string, txn uuid.UUID, file string, at time.Time, body []byte) {
	var was string
	var hash []byte
	id, sum := uuid.NewString(), sha256.Sum256(body)
	steps, err := g.recording(callerOf(r.Context()).name, id, key, kind, file, at, body, &was, &hash)
	if !g.done(w, r, err, steps...) {
		return
	}
	switch {
	case !bytes.Equal(hash, sum[:]):
		problem(w, http.StatusConflict, nil)
	case was == id:
		reply(w, http.StatusCreated, api.Recorded{Record: was, Transaction: txn, Kind: api.RecordedKind(kind)})
	default:
		reply(w, http.StatusOK, api.Recorded{Record: was, Transaction: txn, Kind: api.RecordedKind(kind)})
	}
}

func (g *Register) recording(caller, id, key, kind, file string, at time.Time, body []byte, was *string, hash *[]byte) ([]step, error) {
	sum := sha256.Sum256(body)
	sealed, err := g.keys.sealed(json.RawMessage(body), "record "+id)
	// A key that is there already keeps its row, which answers: one statement
	// for what is new and what is not.
	return []step{{
		sql: `INSERT INTO record (id, caller, key, hash, kind, file, day, crossed, at, sealed) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)
			ON CONFLICT (caller, key) DO UPDATE SET key=excluded.key RETURNING id, hash`,
		args: []any{id, caller, key, sum[:], kind, file, int64(stay.On(at)), at.UnixNano(), time.Now().UnixNano(), sealed},
		row:  func(scan func(...any) error) error { return scan(was, hash) },
	}}, err
}

// Record takes an entry, an exit or a consultation.
func (g *Register) Record(w http.ResponseWriter, r *http.Request, q api.RecordParams) {
	body, err := io.ReadAll(r.Body)
	var rec api.Record
	if err != nil || json.Unmarshal(body, &rec) != nil {
		problem(w, http.StatusBadRequest, nil)
		return
	}
	if q.IdempotencyKey != rec.Transaction.String()+":"+string(rec.Kind) {
		problem(w, http.StatusUnprocessableEntity, nil)
		return
	}
	file := ""
	if rec.File != nil && rec.Kind != "consultation" {
		file = *rec.File
	}
	g.recorded(w, r, q.IdempotencyKey, string(rec.Kind), rec.Transaction, file, rec.At, body)
}

// Refusal takes a refusal of entry (EES Art. 18): an officer's, never a lane's.
func (g *Register) Refusal(w http.ResponseWriter, r *http.Request, q api.RefusalParams) {
	body, err := io.ReadAll(r.Body)
	var rec api.Refusal
	if err != nil || json.Unmarshal(body, &rec) != nil {
		problem(w, http.StatusBadRequest, nil)
		return
	}
	if q.IdempotencyKey != rec.Transaction.String()+":refusal" {
		problem(w, http.StatusUnprocessableEntity, nil)
		return
	}
	file := ""
	if rec.File != nil {
		file = *rec.File
	}
	g.recorded(w, r, q.IdempotencyKey, "refusal", rec.Transaction, file, rec.At, body)
}

// Records returns what was recorded of crossings, oldest first.
func (g *Register) Records(ctx context.Context) ([]api.Record, error) {
	var list []api.Record
	err := g.db.do(ctx, step{sql: "SELECT id, sealed FROM record WHERE kind<>'refusal' ORDER BY seq", row: func(scan func(...any) error) error {
		var rec api.Record
		if err := g.scanRecord(scan, &rec); err != nil {
			return err
		}
		list = append(list, rec)
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("register: records: %w", err)
	}
	return list, nil
}

func (g *Register) scanRecord(scan func(...any) error, v any) error {
	var id string
	var b []byte
	if err := scan(&id, &b); err != nil {
		return err
	}
	return g.keys.unseal(b, "record "+id, v)
}

// page is where a page begins and how long it is.
func page(cursor *api.Cursor, limit *api.Limit) (after int64, n int, ok bool) {
	n = 100
	if limit != nil {
		n = *limit
	}
	if cursor == nil {
		return 0, n, true
	}
	b, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil {
		return 0, 0, false
	}
	after, err = strconv.ParseInt(string(b), 10, 64)
	return after, n, err == nil && after >= 0
}

// cursor is where the page after seq begins.
func cursor(seq int64) *api.PageCursor {
	c := base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, seq, 10))
	return &c
}

// paged answers with a page of rows. query selects seq first; it ends in a
// condition on seq, and the order and limit are added. add is called for each
// row of the page.
func (g *Register) paged(w http.ResponseWriter, r *http.Request, c *api.Cursor, l *api.Limit, query string, args []any, add func(scan func(...any) error) (int64, error), audit ...step) (next *api.PageCursor, ok bool) {
	after, n, ok := page(c, l)
	if !ok {
		problem(w, http.StatusBadRequest, nil)
		return nil, false
	}
	k := len(args)
	rows := step{
		sql:  query + fmt.Sprintf(" AND seq>$%d ORDER BY seq LIMIT $%d", k+1, k+2),
		args: append(args, after, n+1),
	}
	got := 0
	var last int64
	rows.row = func(scan func(...any) error) error {
		if got++; got > n {
			next = cursor(last)
			return nil
		}
		var err error
		last, err = add(scan)
		return err
	}
	return next, g.done(w, r, nil, append([]step{rows}, audit...)...)
}

// FileRecords gives a file's entries, exits and refusals.
func (g *Register) FileRecords(w http.ResponseWriter, r *http.Request, file api.File, q api.FileRecordsParams) {
	if _, ok := g.history(w, r, file); !ok {
		return
	}
	out := api.RecordPage{Items: []api.StoredRecord{}}
	var ok bool
	out.Next, ok = g.paged(w, r, q.Cursor, q.Limit, "SELECT seq, id, kind, sealed FROM record WHERE file=$1", []any{file}, func(scan func(...any) error) (int64, error) {
		var seq int64
		var id, kind string
		var b []byte
		if err := scan(&seq, &id, &kind, &b); err != nil {
			return 0, err
		}
		var rec struct {
			Transaction   uuid.UUID
			At            time.Time
			CrossingPoint string `json:"crossing_point"`
			Grounds       []string
		}
		if err := g.keys.unseal(b, "record "+id, &rec); err != nil {
			return 0, err
		}
		item := api.StoredRecord{Record: id, Kind: api.StoredRecordKind(kind), Transaction: rec.Transaction, At: rec.At, CrossingPoint: rec.CrossingPoint}
		if kind == "refusal" {
			grounds := make([]api.StoredRecordGrounds, len(rec.Grounds))
			for i, l := range rec.Grounds {
				grounds[i] = api.StoredRecordGrounds(l)
			}
			item.Grounds = &grounds
		}
		out.Items = append(out.Items, item)
		return seq, nil
	})
	if ok {
		reply(w, http.StatusOK, out)
	}
}

// alert reads a row of the audit that met a discreet entry.
func (g *Register) alert(scan func(...any) error) (int64, api.Alert, error) {
	var seq, at int64
	var a api.Alert
	var list, crossing string
	var b []byte
	var about subject
	if err := scan(&seq, &at, &a.Lane, &list, &crossing, &b); err != nil {
		return 0, a, err
	}
	if err := g.keys.unseal(b, "audit", &about); err != nil {
		return 0, a, err
	}
	a.At, a.List = time.Unix(0, at).UTC(), api.List(list)
	if id, err := uuid.Parse(crossing); err == nil {
		a.Crossing = &id
	}
	if about.Document != nil && about.Identity != nil {
		a.Document, a.Identity = *about.Document, *about.Identity
	}
	return seq, a, nil
}

const alertRows = "SELECT seq, at, caller, list, crossing, sealed FROM audit WHERE alert>0"

// Alerts gives officers the discreet hits.
func (g *Register) Alerts(w http.ResponseWriter, r *http.Request, q api.AlertsParams) {
	out := api.AlertPage{Items: []api.Alert{}}
	var ok bool
	out.Next, ok = g.paged(w, r, q.Cursor, q.Limit, alertRows, nil, func(scan func(...any) error) (int64, error) {
		seq, a, err := g.alert(scan)
		out.Items = append(out.Items, a)
		return seq, err
	})
	if ok {
		reply(w, http.StatusOK, out)
	}
}

// Alerted returns what the register's officers are told.
func (g *Register) Alerted(ctx context.Context) ([]api.Alert, error) {
	var list []api.Alert
	err := g.db.do(ctx, step{sql: alertRows + " ORDER BY seq", row: func(scan func(...any) error) error {
		_, a, err := g.alert(scan)
		list = append(list, a)
		return err
	}})
	if err != nil {
		return nil, fmt.Errorf("register: alerts: %w", err)
	}
	return list, nil
}

// Audit gives supervisors who consulted what. Whom it was about stays sealed:
// that takes a court's order, not a page.
func (g *Register) Audit(w http.ResponseWriter, r *http.Request, q api.AuditParams) {
	out := api.AuditPage{Items: []api.Audited{}}
	own, err := g.audited(r.Context(), "", subject{}, "0")
	if err != nil {
		problem(w, http.StatusInternalServerError, nil)
		return
	}
	var ok bool
	out.Next, ok = g.paged(w, r, q.Cursor, q.Limit, "SELECT seq, at, caller, role, operation, article, purpose, crossing FROM audit WHERE 1=1", nil, func(scan func(...any) error) (int64, error) {
		var seq, at int64
		var a api.Audited
		var role, crossing string
		if err := scan(&seq, &at, &a.Caller, &role, &a.Operation, &a.Article, &a.Purpose, &crossing); err != nil {
			return 0, err
		}
		a.At, a.Role = time.Unix(0, at).UTC(), api.AuditedRole(role)
		if id, err := uuid.Parse(crossing); err == nil {
			a.Crossing = &id
		}
		out.Items = append(out.Items, a)
		return seq, nil
	}, own)
	if ok {
		reply(w, http.StatusOK, out)
	}
}

// Erasures gives the proof of what was erased.
func (g *Register) Erasures(w http.ResponseWriter, r *http.Request, q api.ErasuresParams) {
	out := api.ErasurePage{Items: []api.Erasure{}}
	var ok bool
	out.Next, ok = g.paged(w, r, q.Cursor, q.Limit, "SELECT seq, at, what, rule, count, digest FROM erasure WHERE 1=1", nil, func(scan func(...any) error) (int64, error) {
		var seq, at int64
		var e api.Erasure
		if err := scan(&seq, &at, &e.What, &e.Rule, &e.Count, &e.Digest); err != nil {
			return 0, err
		}
		e.At = time.Unix(0, at).UTC()
		out.Items = append(out.Items, e)
		return seq, nil
	})
	if ok {
		reply(w, http.StatusOK, out)
	}
}
