package kiosk

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"passage/kiosk/lane"
	"passage/kiosk/policy"
)

// traveller is what the lane holds of the person it is serving: all of it in
// memory, gone when the transaction is concluded.
type traveller struct {
	number lane.Transaction
	uuid   string
	tag    string // by which the site's lanes know the document
	began  time.Time
	ctx    context.Context
	cancel context.CancelFunc
	policy policy.Policy // in force since the document was laid down

	class    lane.TravellerClass
	found    Inspection
	portrait Portrait
	file     string
	flags    policy.Flags
	searched chan struct{} // closed when flags and file are the register's; nil if it is not asked
	stay     Stay
	face     FaceResult
	prompt   Prompt
	answers  [lane.Checks]DBAnswer
	reminded bool
	camera   *time.Timer // ends the comparison under way
	pictures [][]byte    // all that the lane was given of them
	working  int         // what is being done for them beside the loop

	spans []Span
	phase lane.Phase
	since time.Time
}

// Tag is the keyed hash by which neighbours recognise a document that is in
// use: 32 hexadecimal digits of HMAC-SHA-256 over issuer and number.
func Tag(key []byte, issuer, number string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(issuer))
	m.Write([]byte{0})
	m.Write([]byte(number))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// spansUsual is how many steps the timeline of an ordinary crossing has room
// for without growing.
const spansUsual = 32

// placed notes when a document came to rest: the start of a crossing's time.
func (s *Shell) placed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.placedAt = time.Now()
}

type transactionKey struct{}

// Transaction is the UUID of the transaction that work under ctx belongs to;
// empty for none.
func Transaction(ctx context.Context) string {
	id, _ := ctx.Value(transactionKey{}).(string)
	return id
}

// begin opens a transaction: its UUID is minted at DOC_READ.
func (s *Shell) begin(x lane.Transaction) {
	id := uuid.NewString()
	ctx, cancel := context.WithCancel(context.WithValue(s.ctx, transactionKey{}, id))
	p := &traveller{number: x, uuid: id, began: s.placedAt, ctx: ctx, cancel: cancel, phase: lane.DocRead, since: time.Now(), spans: make([]Span, 0, spansUsual)}
	if p.began.IsZero() || time.Since(p.began) > time.Minute {
		p.began = time.Now()
	}
	s.logged.Store(&id)
	s.mu.Lock()
	p.policy = s.policy()
	s.pax = p
	clear(s.signed)
	if time.Since(s.wished) < wishFor {
		s.events.put(lane.TimeAsked{})
	}
	s.wished = time.Time{}
	s.mu.Unlock()
	s.dev.Store.Begin(x, p.uuid, p.began)
}

// spawn runs work for the current traveller beside the loop, until it is done
// or the transaction is over.
func (s *Shell) spawn(x lane.Transaction, work func(*traveller)) {
	p := s.pax
	if p == nil || p.number != x {
		return
	}
	s.mu.Lock()
	p.working++
	s.mu.Unlock()
	s.group.Go(func() error {
		work(p)
		s.mu.Lock()
		defer s.mu.Unlock()
		p.working--
		s.wipe(p)
		return nil
	})
}

// wipe overwrites the pictures of a traveller whose transaction is over, once
// nobody works with them any more. The lock is held.
func (s *Shell) wipe(p *traveller) {
	if s.pax == p || p.working > 0 {
		return
	}
	for _, picture := range p.pictures {
		clear(picture)
	}
}

// read reads the document and, from the moment its MRZ is known, asks the
// registers beside it.
func (s *Shell) read(p *traveller) {
	x := p.number
	var asking sync.WaitGroup
	early := func(id Identity, d policy.Document) {
		if p.policy.Asks(d, s.today()) {
			searched := make(chan struct{})
			s.mu.Lock()
			p.searched = searched
			s.mu.Unlock()
			asking.Go(func() {
				defer close(searched)
				s.search(p, id, d)
			})
		}
		for _, c := range []lane.Check{lane.CheckSIS, lane.CheckSLTD, lane.CheckFPR, lane.CheckLost} {
			asking.Go(func() {
				s.answer(p, c, func(ctx context.Context) DBAnswer { return s.dev.Register.Consult(ctx, c, id, d) })
			})
		}
	}
	found, err := s.dev.Reader.Read(p.ctx, early)
	s.mu.Lock()
	p.pictures = append(p.pictures, found.Portrait)
	s.mu.Unlock()
	finding := lane.Finding{}
	switch {
	case p.ctx.Err() != nil:
		asking.Wait()
		return
	case errors.Is(err, ErrRemoved):
		finding.Reason = lane.CHIP_READ
	case err != nil:
		s.log.Warn("document not read", "transaction", uint32(x), "error", err)
		finding.Reason = lane.CHIP_READ
	default:
		finding = p.policy.Examine(found.Document, s.today())
	}
	s.mu.Lock()
	p.found, p.class = found, finding.Class
	p.spans = append(p.spans, found.Spans...)
	s.mu.Unlock()
	if finding.Reason == lane.NONE {
		// The portrait is foreign data: only now that it is authentic is it
		// decoded, in a process that may die.
		began := time.Since(p.began)
		portrait, err := s.dev.Vision.Portrait(p.ctx, found.Portrait)
		if err != nil {
			if p.ctx.Err() == nil {
				s.log.Warn("portrait not decoded", "transaction", uint32(x), "error", err)
			}
			finding.Reason = lane.CHIP_READ
		}
		s.mu.Lock()
		p.portrait = portrait
		p.pictures = append(p.pictures, portrait.JPEG)
		p.spans = append(p.spans, Span{"portrait", began, time.Since(p.began)})
		s.mu.Unlock()
	}
	s.events.put(lane.DocumentRead{Transaction: x, Finding: finding})
	asking.Wait()
}

// search looks for the traveller's file.
func (s *Shell) search(p *traveller, id Identity, d policy.Document) {
	began := time.Since(p.began)
	flags, file, found := s.dev.Register.Search(p.ctx, id, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.flags, p.file, p.answers[lane.CheckFile] = flags, file, found
	p.spans = append(p.spans, Span{consulted("search", found), began, time.Since(p.began)})
}

// answer asks one register and passes on what it said.
func (s *Shell) answer(p *traveller, c lane.Check, ask func(context.Context) DBAnswer) {
	began := time.Since(p.began)
	a := ask(p.ctx)
	if p.ctx.Err() != nil {
		return
	}
	if a.Answer == lane.Pending {
		a.Answer = lane.NotConsulted // an answer that is none
	}
	s.mu.Lock()
	p.answers[c] = a
	p.spans = append(p.spans, Span{consulted(c.String(), a), began, time.Since(p.began)})
	s.mu.Unlock()
	s.events.put(lane.Answered{Transaction: p.number, Check: c, Answer: a.Answer})
}

// today is the civil day at the crossing point, as a UTC date.
func (s *Shell) today() time.Time {
	y, m, d := time.Now().In(s.cfg.Location).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// qualify finds class, eligibility and register file, and whether another
// lane has the same document.
func (s *Shell) qualify(p *traveller) {
	s.mu.Lock()
	id, d, searched := p.found.Identity, p.found.Document, p.searched
	s.mu.Unlock()
	day := s.today()
	var elsewhere bool
	var both sync.WaitGroup
	began := time.Since(p.began)
	tag := Tag(s.cfg.SiteKey, d.Issuer, id.Number)
	both.Go(func() { elsewhere = s.dev.Neighbours.Claim(p.ctx, tag) })
	if searched != nil {
		select {
		case <-searched:
		case <-p.ctx.Done():
		}
	}
	both.Wait()
	if p.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	flags, file, found := p.flags, p.file, p.answers[lane.CheckFile]
	s.mu.Unlock()
	finding := p.policy.Qualify(d, flags, day)
	if finding.Reason == lane.NONE && elsewhere {
		finding.Reason, finding.Alert = lane.XGATE, true
	}
	if finding.Reason == lane.NONE && !s.dev.Register.Known(p.ctx) {
		finding.Reason = lane.DB_OFF // known to be away: better outside than inside
	}
	s.mu.Lock()
	p.class, p.tag = finding.Class, tag
	p.spans = append(p.spans, Span{"qualify", began, time.Since(p.began)})
	s.mu.Unlock()
	s.events.put(lane.Qualified{Transaction: p.number, Finding: finding})
	if finding.Reason == lane.NONE && finding.Demands.Has(lane.CheckStay) {
		var asking sync.WaitGroup
		asking.Go(func() {
			s.answer(p, lane.CheckStay, func(ctx context.Context) DBAnswer {
				a, stay := s.dev.Register.Stay(ctx, file, p.policy.Direction, day)
				s.mu.Lock()
				p.stay = stay
				s.mu.Unlock()
				return a
			})
		})
		if finding.Demands.Has(lane.CheckETIAS) {
			asking.Go(func() {
				s.answer(p, lane.CheckETIAS, func(ctx context.Context) DBAnswer { return s.dev.Register.Authorisation(ctx, id, d, day) })
			})
		}
		// The file was found by the search; its flags are the answer.
		s.events.put(lane.Answered{Transaction: p.number, Check: lane.CheckFile, Answer: found.Answer})
		asking.Wait()
	}
}

// capture compares live faces with the chip's portrait and, for the classes
// that demand it, the chosen face with the register's reference.
func (s *Shell) capture(p *traveller) {
	s.mu.Lock()
	portrait, file := p.portrait, p.file
	demands := s.state.Vector.Demands
	s.mu.Unlock()
	ctx, stop := context.WithCancelCause(p.ctx)
	defer stop(nil)
	s.mu.Lock()
	p.camera = time.AfterFunc(s.inside(), func() { stop(context.DeadlineExceeded) })
	defer p.camera.Stop()
	s.mu.Unlock()
	began := time.Since(p.began)
	r, err := s.dev.Vision.Compare(ctx, portrait, func(x Prompt) {
		s.mu.Lock()
		changed := p.prompt != x
		p.prompt = x
		s.mu.Unlock()
		if changed {
			s.notify()
		}
	})
	s.mu.Lock()
	p.pictures = append(p.pictures, r.JPEG)
	s.mu.Unlock()
	if p.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.log.Warn("face not compared", "transaction", uint32(p.number), "error", err)
		r.Face = lane.FaceUnavailable
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			r.Face = lane.FaceQuality
		}
	}
	s.log.Info("face compared", "transaction", uint32(p.number), "result", r.Face.String(), "score", r.Score, "threshold", r.Threshold, "attempts", r.Attempts, "attack_detection", r.PAD)
	s.mu.Lock()
	p.face, p.prompt = r, Prompt{}
	p.spans = append(p.spans, Span{"face", began, time.Since(p.began)})
	s.mu.Unlock()
	s.events.put(lane.FaceCompared{Transaction: p.number, Face: r.Face})
	if demands.Has(lane.CheckRefFace) && len(r.JPEG) > 0 {
		s.answer(p, lane.CheckRefFace, func(ctx context.Context) DBAnswer { return s.dev.Register.VerifyFace(ctx, file, r.JPEG) })
	}
}

// inside is the time that the lane still gives a comparison. The lock is held.
func (s *Shell) inside() time.Duration {
	if s.state.Phase != lane.Inside {
		return s.cfg.Rules.Inside
	}
	return time.Duration(s.state.Deadline - s.now())
}

// prolong lets a comparison under way go on for as long as the lane does, once
// its traveller has asked for more time.
func (s *Shell) prolong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pax != nil && s.pax.camera != nil && s.state.Phase == lane.Inside {
		s.pax.camera.Reset(s.inside())
	}
}

// entered notes a change of phase on the traveller's timeline. A case that an
// officer had is noted with its reason, too: statistics ask how often which
// check called somebody for a traveller who was then released.
func (s *Shell) entered(before, after lane.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phaseAt = time.Now()
	p := s.pax
	if p == nil {
		return
	}
	now := s.phaseAt
	start, end := p.since.Sub(p.began), now.Sub(p.began)
	p.spans = append(p.spans, Span{"lane." + before.Phase.String(), start, end})
	if before.Phase == lane.Review && before.Reason != lane.NONE {
		p.spans = append(p.spans, Span{"officer." + before.Reason.String(), start, end})
	}
	p.phase, p.since = after.Phase, now
}

// span notes a step of the current traveller; times are since it began.
func (s *Shell) span(name string, start, end time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pax != nil {
		s.pax.spans = append(s.pax.spans, Span{name, start, end})
	}
}

// sinceStart is the time since the current traveller's document was placed.
func (s *Shell) sinceStart() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pax == nil {
		return 0
	}
	return time.Since(s.pax.began)
}

// conclude ends a transaction. What the lane knew of the traveller goes; what
// stays names nobody.
func (s *Shell) conclude(f lane.Conclude) {
	s.mu.Lock()
	p := s.pax
	if p == nil || p.number != f.Transaction {
		s.mu.Unlock()
		return
	}
	s.pax = nil
	p.cancel()
	now := time.Now()
	p.spans = append(p.spans, Span{"lane." + p.phase.String(), p.since.Sub(p.began), now.Sub(p.began)})
	e := Ended{At: now, Class: p.class, Outcome: f.Outcome, Reason: f.Reason, Took: now.Sub(p.began), Timeline: p.spans}
	s.remember(p.uuid, e)
	s.wipe(p)
	clear(s.signed)
	s.mu.Unlock()
	s.dev.Store.Conclude(f.Transaction, e)
	if f.Outcome == lane.OutcomeReleased && p.tag != "" {
		s.group.Go(func() error {
			s.dev.Neighbours.Passed(s.ctx, p.tag)
			return nil
		})
	}
	s.log.Info("concluded", "transaction", uint32(f.Transaction), "outcome", f.Outcome.String(), "reason", f.Reason.String(), "took", e.Took)
	s.logged.Store(nil)
}
