package devices

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"passage/eesclient"
	"passage/eesclient/api"
	"passage/eesclient/extract"
	"passage/eesclient/stay"
	"passage/kiosk"
	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// Register asks the register in the lane's words.
type Register struct {
	client *eesclient.Client
	local  *extract.Extract // nil: a lane without its register diverts
	known  atomic.Bool
}

// NewRegister asks by c; Watch keeps looking whether it answers. A copy of the
// files answers in its place where that is permitted; nil for none.
func NewRegister(c *eesclient.Client, local *extract.Extract) *Register {
	r := &Register{client: c, local: local}
	r.known.Store(true)
	return r
}

// Watch looks now and then whether the mandatory registers answer, and holds
// this machine's clock against theirs. clock is told why it is not to be
// trusted, or "" when it is; while nobody tells the time, nothing changes.
func (r *Register) Watch(ctx context.Context, clock func(why string)) error {
	var c eesclient.Clock
	for ctx.Err() == nil {
		up, err := r.client.Health(ctx, &c)
		if ctx.Err() == nil {
			r.known.Store(err == nil && slices.Contains(up, "SIS") && slices.Contains(up, "SLTD") && slices.Contains(up, "FPR") && slices.Contains(up, "LOST"))
		}
		wait := 5 * time.Second
		switch apart, known := c.Apart(); {
		case !known && err == nil:
			wait = time.Second // a lane that starts with a wrong clock is not to take many travellers
		case known && apart.Abs() > eesclient.MostApart:
			clock(fmt.Sprintf("the register's clock and this one are %v apart", apart.Abs().Round(100*time.Millisecond)))
		case known:
			clock("")
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// Known says whether the registers that every traveller needs answered at the
// last look.
func (r *Register) Known(context.Context) bool { return r.known.Load() }

// crossing tells the register which transaction a question belongs to.
func crossing(ctx context.Context) context.Context {
	return eesclient.WithCrossing(ctx, kiosk.Transaction(ctx))
}

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
func (r *Register) Consult(ctx context.Context, c lane.Check, id kiosk.Identity, d policy.Document) kiosk.DBAnswer {
	a := r.client.Consult(crossing(ctx), api.Consultation{List: api.List(c.String()), Document: apiDocument(id, d), Identity: apiIdentity(id, d)})
	return kiosk.DBAnswer{Answer: answers[a]}
}

// Search looks for the traveller's file.
func (r *Register) Search(ctx context.Context, id kiosk.Identity, d policy.Document) (policy.Flags, string, kiosk.DBAnswer) {
	f, err := r.client.Search(crossing(ctx), api.Search{Document: apiDocument(id, d), Identity: apiIdentity(id, d)})
	if err != nil {
		return r.searchLocally(ctx, id, d)
	}
	flags := policy.Flags{Searched: true, Found: map[api.FoundOutcome]int{"one": 1, "several": 2}[f.Outcome]}
	if f.Outcome != "one" {
		return flags, "", kiosk.DBAnswer{Answer: lane.Clear}
	}
	flags.FamilyStatus = f.FamilyStatus != nil && *f.FamilyStatus
	flags.Reference = f.FaceReference != nil && *f.FaceReference
	if f.Visa != nil {
		flags.ShortVisa, flags.LongStayVisa = *f.Visa == "short", *f.Visa == "long"
	}
	return flags, *f.File, kiosk.DBAnswer{Answer: lane.Clear}
}

// searchLocally asks the copy. Somebody whom it does not know may have been
// registered since: that is no answer.
func (r *Register) searchLocally(ctx context.Context, id kiosk.Identity, d policy.Document) (policy.Flags, string, kiosk.DBAnswer) {
	if r.local == nil || ctx.Err() != nil {
		return policy.Flags{}, "", kiosk.DBAnswer{}
	}
	f, age, err := r.local.Search(ctx, d.Issuer, id.Number, time.Now())
	if err != nil {
		return policy.Flags{}, "", kiosk.DBAnswer{}
	}
	return policy.Flags{
		Searched: true, Found: 1, FamilyStatus: f.Family, Reference: f.Reference, ShortVisa: f.Visa == "short", LongStayVisa: f.Visa == "long",
	}, f.File, kiosk.DBAnswer{Answer: lane.LocalCopy, Age: age}
}

// Refresh takes over the register's copy of the files now and every hour, and
// erases one that has become too old, until ctx ends.
func (r *Register) Refresh(ctx context.Context, log *slog.Logger) error {
	if r.local == nil {
		return nil
	}
	for ctx.Err() == nil {
		wait := time.Hour + rand.N(10*time.Minute) // a country's lanes do not come all at once
		n, err := r.fetch(ctx)
		switch {
		case err == nil:
			log.Info("extract taken over", "files", n)
		case ctx.Err() == nil && !errors.Is(err, extract.ErrOld):
			log.Warn("extract", "error", err)
			wait = time.Minute
		}
		if err := r.local.Expire(ctx, time.Now()); err != nil && ctx.Err() == nil {
			log.Warn("extract", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

func (r *Register) fetch(ctx context.Context) (int, error) {
	in, err := r.client.Extract(ctx)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return r.local.Import(ctx, in, time.Now())
}

// VerifyFace compares the live picture with the register's.
func (r *Register) VerifyFace(ctx context.Context, file string, live []byte) kiosk.DBAnswer {
	result, err := r.client.VerifyFace(crossing(ctx), file, live)
	if err != nil {
		return kiosk.DBAnswer{Answer: lane.NotConsulted}
	}
	return kiosk.DBAnswer{Answer: map[string]lane.Answer{
		"match": lane.Clear, "no_match": lane.FaceDiffers, "no_reference": lane.FaceNoUse, "low_quality": lane.FaceNoUse,
	}[result]}
}

// Authorisation asks for the document's travel authorisation. No copy knows
// them.
func (r *Register) Authorisation(ctx context.Context, id kiosk.Identity, d policy.Document, day time.Time) kiosk.DBAnswer {
	valid, err := r.client.Authorisation(crossing(ctx), apiDocument(id, d), day)
	switch {
	case errors.Is(err, eesclient.ErrMalformed):
		return kiosk.DBAnswer{Answer: lane.Malformed}
	case err != nil:
		return kiosk.DBAnswer{Answer: lane.NotConsulted}
	case !valid:
		return kiosk.DBAnswer{Answer: lane.Unauthorised}
	}
	return kiosk.DBAnswer{Answer: lane.Clear}
}

// Stay asks the calculator.
func (r *Register) Stay(ctx context.Context, file string, dir policy.Direction, day time.Time) (kiosk.DBAnswer, kiosk.Stay) {
	// The file is for the officer's picture alone: the answer does not wait for
	// one that is late.
	picture := make(chan string, 1)
	within, cancel := context.WithTimeout(crossing(ctx), pictureWithin)
	defer cancel()
	go func() { picture <- r.calendar(within, file, dir, day) }()
	s, err := r.client.Stay(crossing(ctx), file, string(dir), day)
	if err != nil {
		cancel()
		<-picture
		return r.stayLocally(ctx, file, dir, day)
	}
	out := kiosk.Stay{Status: string(s.Status), Days: s.Days, Overstay: s.Overstay, Bilateral: s.BilateralPossible != nil && *s.BilateralPossible}
	if s.LastDay != nil {
		out.LastDay = s.LastDay.Format(time.DateOnly)
	}
	out.Calendar = <-picture
	return kiosk.DBAnswer{Answer: stayed(out, lane.Clear)}, out
}

// stayed is what a stay means for the decision; good is the answer for one
// that is in order.
func stayed(s kiosk.Stay, good lane.Answer) lane.Answer {
	switch {
	case s.Status == string(stay.Undetermined):
		return lane.Undetermined
	case s.Overstay > 0:
		return lane.Overstayed
	case s.Status == string(stay.Exhausted):
		return lane.Exhausted
	case s.Status == string(stay.NotSubject):
		return lane.NotApplicable
	}
	return good
}

// stayLocally computes the stay from the copy.
func (r *Register) stayLocally(ctx context.Context, file string, dir policy.Direction, day time.Time) (kiosk.DBAnswer, kiosk.Stay) {
	if r.local == nil || ctx.Err() != nil {
		return kiosk.DBAnswer{Answer: lane.NotConsulted}, kiosk.Stay{}
	}
	f, age, err := r.local.ByName(ctx, file, time.Now())
	if err != nil {
		return kiosk.DBAnswer{Answer: lane.NotConsulted}, kiosk.Stay{}
	}
	s, calendar := computed(f.All(), stay.On(day), stay.Visa{End: f.VisaEnd}, dir)
	out := kiosk.Stay{Status: string(s.Status), Days: s.Days, Overstay: s.Overstay, Bilateral: s.Bilateral(), Calendar: calendar}
	if s.LastDay != 0 {
		out.LastDay = s.LastDay.String()
	}
	return kiosk.DBAnswer{Answer: stayed(out, lane.LocalCopy), Age: age}, out
}

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return b, nil
}

// answerNames is the answers' words in a record.
func answerNames(a [lane.Checks]lane.Answer) map[string]string {
	m := map[string]string{}
	for c, v := range a {
		if v != lane.Pending {
			m[lane.Check(c).String()] = v.String()
		}
	}
	return m
}

// Put makes the record of a crossing, in the transaction that settles its
// intent: an EES record, or for other classes a sealed consultation record
// without EES data.
func (r *Records) Put(tx *sql.Tx, f kiosk.Facts, at time.Time) error {
	id, err := uuid.Parse(f.UUID)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	at = at.In(time.UTC)
	if r.Location != nil {
		at = at.In(r.Location)
	}
	rec := api.Record{Kind: "consultation", Transaction: id, At: at, CrossingPoint: r.CrossingPoint, Class: f.Class.String(), Level: api.Level(f.Level)}
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
	return r.Box.Put(tx, f.UUID+":"+string(rec.Kind), traveller(f), at, body)
}
