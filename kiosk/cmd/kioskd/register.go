package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// registerAdapter asks the register in the lane's words.
type registerAdapter struct {
	client *eesclient.Client
	known  atomic.Bool
}

func newRegister(c *eesclient.Client) *registerAdapter {
	r := &registerAdapter{client: c}
	r.known.Store(true)
	return r
}

// watch looks now and then whether the mandatory registers answer.
func (r *registerAdapter) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		up, err := r.client.Health(ctx)
		if ctx.Err() == nil {
			r.known.Store(err == nil && slices.Contains(up, "SIS") && slices.Contains(up, "SLTD") && slices.Contains(up, "FPR") && slices.Contains(up, "LOST"))
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
	return nil
}

// Known says whether the registers that every traveller needs answered at the
// last look.
func (r *registerAdapter) Known(context.Context) bool { return r.known.Load() }

func apiDocument(id kiosk.Identity, d policy.Document) api.Document {
	return api.Document{Type: d.Code, Issuer: d.Issuer, Number: id.Number}
}

func apiIdentity(id kiosk.Identity, d policy.Document) api.Identity {
	i := api.Identity{Surname: id.Surname, GivenNames: id.GivenNames, Birth: openapi_types.Date{Time: d.Birth}, Nationality: d.Nationality}
	if id.Sex != "" {
		sex := api.IdentitySex(id.Sex)
		i.Sex = &sex
	}
	return i
}

var answers = map[eesclient.Answer]lane.Answer{
	eesclient.Clear: lane.Clear, eesclient.HitAction: lane.HitAction, eesclient.HitInquiry: lane.HitInquiry, eesclient.Possible: lane.Possible,
	eesclient.NotConsulted: lane.NotConsulted, eesclient.Malformed: lane.Malformed,
}

// Consult asks one watch list.
func (r *registerAdapter) Consult(ctx context.Context, c lane.Check, id kiosk.Identity, d policy.Document) kiosk.DBAnswer {
	a := r.client.Consult(ctx, api.Consultation{List: api.ConsultationList(c.String()), Document: apiDocument(id, d), Identity: apiIdentity(id, d)})
	return kiosk.DBAnswer{Answer: answers[a]}
}

// Search looks for the traveller's file.
func (r *registerAdapter) Search(ctx context.Context, id kiosk.Identity, d policy.Document) (policy.Flags, string) {
	f, err := r.client.Search(ctx, api.Search{Document: apiDocument(id, d), Identity: apiIdentity(id, d)})
	if err != nil {
		return policy.Flags{}, ""
	}
	flags := policy.Flags{Searched: true, Found: map[api.FoundOutcome]int{"one": 1, "several": 2}[f.Outcome]}
	if f.Outcome != "one" {
		return flags, ""
	}
	flags.FamilyStatus = f.FamilyStatus != nil && *f.FamilyStatus
	flags.Reference = f.FaceReference != nil && *f.FaceReference
	if f.Visa != nil {
		flags.ShortVisa, flags.LongStayVisa = *f.Visa == "short", *f.Visa == "long"
	}
	return flags, *f.File
}

// VerifyFace compares the live picture with the register's.
func (r *registerAdapter) VerifyFace(ctx context.Context, file string, live []byte) kiosk.DBAnswer {
	result, err := r.client.VerifyFace(ctx, file, live)
	if err != nil {
		return kiosk.DBAnswer{Answer: lane.NotConsulted}
	}
	return kiosk.DBAnswer{Answer: map[string]lane.Answer{
		"match": lane.Clear, "no_match": lane.FaceDiffers, "no_reference": lane.FaceNoUse, "low_quality": lane.FaceNoUse,
	}[result]}
}

// Stay asks the calculator.
func (r *registerAdapter) Stay(ctx context.Context, file string, dir policy.Direction, day time.Time) (kiosk.DBAnswer, kiosk.Stay) {
	s, err := r.client.Stay(ctx, file, string(dir), day)
	if err != nil {
		return kiosk.DBAnswer{Answer: lane.NotConsulted}, kiosk.Stay{}
	}
	out := kiosk.Stay{Status: string(s.Status), Days: s.Days, Overstay: s.Overstay}
	if s.LastDay != nil {
		out.LastDay = s.LastDay.Format(time.DateOnly)
	}
	a := lane.Clear
	switch {
	case s.Status == "undetermined":
		a = lane.Undetermined
	case s.Overstay > 0:
		a = lane.Overstayed
	case s.Status == "exhausted":
		a = lane.Exhausted
	case s.Status == "not_applicable":
		a = lane.NotApplicable
	}
	return kiosk.DBAnswer{Answer: a}, out
}

// Put makes the record of a crossing, in the transaction that settles its
// intent: an EES record, or for other classes a sealed consultation record
// without EES data.
func (r *records) Put(tx *sql.Tx, f kiosk.Facts, at time.Time) error {
	id, err := uuid.Parse(f.UUID)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	rec := api.Record{Kind: "consultation", Transaction: id, At: at.UTC(), CrossingPoint: r.crossingPoint, Class: f.Class.String(), Level: api.RecordLevel(f.Level)}
	names := answerNames(f.Answers)
	rec.Answers = &names
	dir := api.Direction(f.Direction)
	rec.Direction = &dir
	if policy.InEES(f.Class) && f.File != "" {
		rec.Kind = api.RecordKind(f.Direction)
		doc := apiDocument(f.Identity, f.Document)
		rec.File, rec.Document, rec.Days = &f.File, &doc, &f.Stay.Days
	}
	body, err := marshal(rec)
	if err != nil {
		return err
	}
	return r.box.Put(tx, f.UUID+":"+string(rec.Kind), at, body)
}

// neighbours asks the other lanes of the site whether they have a document,
// and answers them, over mutual TLS.
type neighbours struct {
	listen string
	peers  []string
	tls    *tls.Config
	client *http.Client

	mu   sync.Mutex
	seen map[string]time.Time
}

const usedFor = 2 * time.Minute

func newNeighbours(c config.Config) (*neighbours, error) {
	n := &neighbours{listen: c.Site.Listen, peers: c.Site.Peers, seen: map[string]time.Time{}}
	if n.listen == "" && len(n.peers) == 0 {
		return n, nil
	}
	t, err := eesclient.TLS(eesclient.Files{CA: c.Register.CA, Cert: c.Register.Cert, Key: c.Register.Key})
	if err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	n.tls = t.Clone() // a server adds its own protocols to its copy
	n.client = &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: t, MaxIdleConnsPerHost: 4}}
	return n, nil
}

// Claim notes the document as used here and asks the neighbours. One who does
// not answer cannot hold up a lane: correlation is an aid, not a condition.
func (n *neighbours) Claim(ctx context.Context, tag string) bool {
	n.mu.Lock()
	for t, at := range n.seen {
		if time.Since(at) > usedFor {
			delete(n.seen, t)
		}
	}
	n.seen[tag] = time.Now()
	n.mu.Unlock()
	var asking sync.WaitGroup
	var elsewhere atomic.Bool
	for _, p := range n.peers {
		asking.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, p+"/site/v1/document", bytes.NewReader([]byte(tag)))
			if err != nil {
				return
			}
			resp, err := n.client.Do(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			var a struct{ Used bool }
			if json.NewDecoder(io.LimitReader(resp.Body, 1024)).Decode(&a) == nil && a.Used {
				elsewhere.Store(true)
			}
		})
	}
	asking.Wait()
	return elsewhere.Load()
}

func (n *neighbours) serve(ctx context.Context) error {
	if n.listen == "" {
		<-ctx.Done()
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /site/v1/document", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(io.LimitReader(r.Body, 128))
		if err != nil {
			return
		}
		n.mu.Lock()
		at, ok := n.seen[string(b)]
		n.mu.Unlock()
		_ = json.NewEncoder(w).Encode(struct{ Used bool }{ok && time.Since(at) <= usedFor}) // the peer has gone otherwise
	})
	s := &http.Server{Addr: n.listen, Handler: mux, TLSConfig: n.tls, ReadTimeout: 3 * time.Second}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.ListenAndServeTLS("", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("site: %w", err)
	}
	return nil
}
