package register

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient/api"
	"passage/eesclient/stay"
)

// subject is whom a consultation was about, as the audit keeps it, sealed.
type subject struct {
	Document *api.Document `json:"document,omitempty"`
	Identity *api.Identity `json:"identity,omitempty"`
	File     string        `json:"file,omitempty"`
}

// audited is the row of a consultation: who asked what about whom, by which
// article and for what. met is SQL that counts the discreet entries it meets,
// with the arguments that it needs.
func (g *Register) audited(ctx context.Context, list string, about subject, met string, args ...any) (step, error) {
	c := callerOf(ctx)
	sealed, err := g.keys.sealed(about, "audit")
	if err != nil {
		return step{}, err
	}
	return step{
		sql:  "INSERT INTO audit (at, caller, role, operation, article, purpose, crossing, list, sealed, alert) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9," + met + ")",
		args: append([]any{time.Now().UnixNano(), c.name, c.role, c.operation.ID, c.operation.Article, c.operation.Purpose, c.crossing, list, sealed}, args...),
	}, nil
}

// decode reads a body that the contract has allowed.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		problem(w, http.StatusBadRequest, nil)
		return false
	}
	return true
}

// done runs a transaction and answers for it if it fails.
func (g *Register) done(w http.ResponseWriter, r *http.Request, err error, steps ...step) bool {
	if err == nil {
		err = g.db.do(r.Context(), steps...)
	}
	if err != nil {
		problem(w, http.StatusInternalServerError, nil)
	}
	return err == nil
}

// Health lists what answers.
func (g *Register) Health(w http.ResponseWriter, _ *http.Request, _ api.HealthParams) {
	now := time.Now().UTC()
	reply(w, http.StatusOK, api.Health{Up: g.up(), At: &now})
}

// Search looks for a file by document and identity. A document that leads to
// another person, or a person found without this document, is a desk's task
// (EES Art. 14(2)).
func (g *Register) Search(w http.ResponseWriter, r *http.Request, _ api.SearchParams) {
	var q api.Search
	if !decode(w, r, &q) {
		return
	}
	var f finding
	steps, err := g.searching(r.Context(), q, &f)
	if !g.done(w, r, err, steps...) {
		return
	}
	switch {
	case len(f.files) == 0 && f.others == 0:
		reply(w, http.StatusOK, api.Found{Outcome: api.FoundOutcomeNone})
	case len(f.files) != 1 || f.same == 0:
		reply(w, http.StatusOK, api.Found{Outcome: api.FoundOutcomeSeveral})
	default:
		p := f.files[0]
		visa := p.visa()
		reply(w, http.StatusOK, api.Found{Outcome: api.FoundOutcomeOne, File: &p.File, FamilyStatus: &p.FamilyStatus, Visa: &visa, FaceReference: &p.Reference})
	}
}

// finding is what a search found: files by document, and how many files the
// person has, the first of those among them.
type finding struct {
	files        []Person
	same, others int
}

func (g *Register) searching(ctx context.Context, q api.Search, f *finding) ([]step, error) {
	audit, err := g.audited(ctx, "", subject{Document: &q.Document, Identity: &q.Identity}, "0")
	return []step{
		{
			sql:  "SELECT f.file, f.sealed FROM document d JOIN individual_file f ON f.file=d.file WHERE d.tag=$1 LIMIT 3",
			args: []any{g.keys.document(q.Document.Issuer, q.Document.Number)},
			row: func(scan func(...any) error) error {
				var p Person
				err := g.scanFile(scan, &p)
				f.files = append(f.files, p)
				return err
			},
		},
		{
			sql:  "SELECT file FROM person WHERE tag=$1 LIMIT 3",
			args: []any{g.keys.person(q.Identity.Surname, q.Identity.GivenNames, q.Identity.Birth.String(), q.Identity.Nationality)},
			row: func(scan func(...any) error) error {
				var file string
				if err := scan(&file); err != nil {
					return err
				}
				if f.others++; len(f.files) == 1 && f.files[0].File == file {
					f.same++
				}
				return nil
			},
		},
		audit,
	}, err
}

func (p Person) visa() api.Visa {
	if p.Visa == "" {
		return "none"
	}
	return api.Visa(p.Visa)
}

// scanFile reads a row of file and sealed person.
func (g *Register) scanFile(scan func(...any) error, p *Person) error {
	var file string
	var b []byte
	if err := scan(&file, &b); err != nil {
		return err
	}
	return g.keys.unseal(b, file, p)
}

// weight orders the answers of several entries.
var weight = map[string]int{"CLEAR": 0, "POSSIBLE": 1, "HIT_INQUIRY": 2, "HIT_ACTION": 3}

// Consult answers a list. A discreet entry is counted in the row that every
// consultation writes, and left out of what every consultation reads: the same
// work, words and size whether there is one or not.
func (g *Register) Consult(w http.ResponseWriter, r *http.Request, _ api.ConsultParams) {
	var q api.Consultation
	if !decode(w, r, &q) {
		return
	}
	answer := "CLEAR"
	steps, err := g.consulting(r.Context(), q, &answer)
	if !g.done(w, r, err, steps...) {
		return
	}
	reply(w, http.StatusOK, api.Answer{List: q.List, Answer: api.AnswerAnswer(answer), At: time.Now().UTC()})
}

func (g *Register) consulting(ctx context.Context, q api.Consultation, answer *string) ([]step, error) {
	document, person, sound := g.keys.listed(string(q.List), q.Document.Issuer, q.Document.Number, q.Identity.Surname, q.Identity.GivenNames, q.Identity.Birth.String(), q.Identity.Nationality)
	audit, err := g.audited(ctx, string(q.List), subject{Document: &q.Document, Identity: &q.Identity},
		"(SELECT count(*) FROM list_tag WHERE tag IN ($10,$11,$12) AND discreet=1)", document, person, sound)
	return []step{audit, {
		sql: "SELECT answer FROM list_tag WHERE tag IN ($1,$2,$3) AND discreet=0", args: []any{document, person, sound},
		row: func(scan func(...any) error) error {
			var a string
			err := scan(&a)
			if weight[a] > weight[*answer] {
				*answer = a
			}
			return err
		},
	}}, err
}

// permission answers for a visa or a travel authorisation.
func (g *Register) permission(w http.ResponseWriter, r *http.Request, kind, sticker string, d api.Document) {
	out := api.Permission{Status: "none"}
	audit, err := g.audited(r.Context(), "", subject{Document: &d}, "0")
	if !g.done(w, r, err, audit, step{
		sql: "SELECT status, until, days FROM permission WHERE tag=$1", args: []any{g.keys.permission(kind, sticker, d.Issuer, d.Number)},
		row: func(scan func(...any) error) error {
			var status string
			var until int64
			var days int
			if err := scan(&status, &until, &days); err != nil {
				return err
			}
			if status == "valid" && stay.Day(until) < stay.On(time.Now()) {
				status = "expired"
			}
			out = api.Permission{Status: api.PermissionStatus(status), Until: &openapi_types.Date{Time: stay.Day(until).Date()}}
			if kind == "visa" {
				out.Days = &days
			}
			return nil
		},
	}) {
		return
	}
	reply(w, http.StatusOK, out)
}

// Visa answers for a visa sticker in a document.
func (g *Register) Visa(w http.ResponseWriter, r *http.Request, _ api.VisaParams) {
	var q api.VisaQuestion
	if decode(w, r, &q) {
		g.permission(w, r, "visa", q.Sticker, q.Document)
	}
}

// Authorisation answers for a travel authorisation.
func (g *Register) Authorisation(w http.ResponseWriter, r *http.Request, _ api.AuthorisationParams) {
	var q api.AuthorisationQuestion
	if decode(w, r, &q) {
		g.permission(w, r, "etias", "", q.Document)
	}
}

// history is a file with what was recorded after it was loaded.
type history struct {
	Person
	found bool
	etag  string
}

// history reads a file, its crossings put after its stays, and writes the
// audit's row.
func (g *Register) history(w http.ResponseWriter, r *http.Request, file string) (history, bool) {
	var h history
	sum := sha256.New()
	steps, err := g.reading(r.Context(), file, &h, sum)
	ok := g.done(w, r, err, steps...)
	if ok && !h.found {
		problem(w, http.StatusNotFound, nil)
		return h, false
	}
	if ok {
		plain, err := json.Marshal(h.Person)
		if err != nil {
			problem(w, http.StatusInternalServerError, nil)
			return h, false
		}
		_, _ = sum.Write(plain)
		h.etag = `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:18]) + `"`
	}
	return h, ok
}

// reading are the steps of history; sum is told what makes a version.
func (g *Register) reading(ctx context.Context, file string, h *history, sum io.Writer) ([]step, error) {
	audit, err := g.audited(ctx, "", subject{File: file}, "0")
	return []step{
		{
			sql: "SELECT file, sealed FROM individual_file WHERE file=$1", args: []any{file},
			row: func(scan func(...any) error) error {
				h.found = true
				return g.scanFile(scan, &h.Person)
			},
		},
		{
			sql: "SELECT id, kind, day FROM record WHERE file=$1 ORDER BY crossed", args: []any{file},
			row: func(scan func(...any) error) error {
				var id, kind string
				var day int64
				if err := scan(&id, &kind, &day); err != nil {
					return err
				}
				_, _ = io.WriteString(sum, id) // a hash takes everything
				h.crossed(kind, stay.Day(day))
				return nil
			},
		},
		audit,
	}, err
}

// crossed moves the stays on by a recorded crossing: an entry opens one, an
// exit closes the one that is open.
func (h *history) crossed(kind string, day stay.Day) {
	if h.Still {
		return
	}
	switch kind {
	case "entry":
		h.Stays = append(h.Stays, stay.Stay{First: day})
	case "exit":
		for i := range h.Stays {
			if h.Stays[i].Last == 0 {
				h.Stays[i].Last = day
				return
			}
		}
	}
}

// File gives an individual file.
func (g *Register) File(w http.ResponseWriter, r *http.Request, file api.File, q api.FileParams) {
	h, ok := g.history(w, r, file)
	if !ok {
		return
	}
	w.Header().Set("ETag", h.etag)
	if q.IfNoneMatch != nil && *q.IfNoneMatch == h.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	birth, err := time.Parse(time.DateOnly, h.Birth)
	if err != nil {
		problem(w, http.StatusInternalServerError, nil)
		return
	}
	kind := h.Type
	if kind == "" {
		kind = "P"
	}
	out := api.IndividualFile{
		File: h.Person.File, Document: api.Document{Type: kind, Issuer: h.Issuer, Number: h.Number},
		Identity:     api.Identity{Surname: h.Surname, GivenNames: h.GivenNames, Birth: openapi_types.Date{Time: birth}, Nationality: h.Nationality},
		FamilyStatus: h.FamilyStatus, Visa: h.visa(), FaceReference: h.Reference, Stays: []api.StayPeriod{},
	}
	if h.Sex != "" {
		sex := api.IdentitySex(h.Sex)
		out.Identity.Sex = &sex
	}
	if !h.VisaEnd.IsZero() {
		out.VisaEnd = &openapi_types.Date{Time: h.VisaEnd}
	}
	for _, s := range h.Stays {
		p := api.StayPeriod{First: openapi_types.Date{Time: s.First.Date()}}
		if s.Last != 0 {
			p.Last = &openapi_types.Date{Time: s.Last.Date()}
		}
		out.Stays = append(out.Stays, p)
	}
	reply(w, http.StatusOK, out)
}

// VerifyFace compares a live picture with the file's reference. The reference
// register has no engine: what comparing gives is the person's data.
func (g *Register) VerifyFace(w http.ResponseWriter, r *http.Request, file api.File, _ api.VerifyFaceParams) {
	h, ok := g.history(w, r, file)
	if !ok {
		return
	}
	if h.FaceDelay > 0 {
		wait := time.NewTimer(h.FaceDelay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			problem(w, http.StatusServiceUnavailable, nil)
			return
		}
	}
	result := h.Face
	if !h.Reference {
		result = "no_reference"
	}
	reply(w, http.StatusOK, api.FaceResult{File: file, Result: api.FaceResultResult(result)})
}

// Stay computes the authorised stay.
func (g *Register) Stay(w http.ResponseWriter, r *http.Request, file api.File, q api.StayParams) {
	h, ok := g.history(w, r, file)
	if !ok {
		return
	}
	v := stay.Visa{}
	if !h.VisaEnd.IsZero() {
		v.End = stay.On(h.VisaEnd)
	}
	day := stay.On(q.Date.Time)
	out := api.Stay{File: file, Date: q.Date, Direction: q.Direction, Status: api.StayStatus(stay.NotSubject)}
	if !h.FamilyStatus { // EES Art. 11(1): no calculator for them
		compute := stay.Entry
		if q.Direction == "exit" {
			compute = stay.Exit
		}
		s := compute(h.Stays, day, v)
		bilateral := s.Bilateral()
		out.Status, out.Days, out.Overstay, out.BilateralPossible = api.StayStatus(s.Status), s.Days, s.Overstay, &bilateral
		if s.LastDay != 0 {
			out.LastDay = &openapi_types.Date{Time: s.LastDay.Date()}
		}
	}
	reply(w, http.StatusOK, out)
}

// Extract gives a signed copy of the individual files.
func (g *Register) Extract(w http.ResponseWriter, r *http.Request, q api.ExtractParams) {
	if q.Part != nil && *q.Part == "lists" {
		since := int64(0)
		if q.Since != nil {
			since = int64(*q.Since)
		}
		g.sendLists(w, r, since)
		return
	}
	g.sendFiles(w, r)
}
