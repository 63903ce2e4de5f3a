package devices

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"passage/kiosk"
	"passage/matcher"
	"passage/matcher/pad"
	"passage/matcher/quality"
)

// Attack detection has two parts. The one that is built in looks at every frame
// of a comparison and at what the face does with the screen's light. It is
// weak, and is treated so: an alarm calls an officer, its silence means
// nothing. The other one is an engine that an installation adds, certified or
// not, asked about the very picture that was compared. Either may raise the
// alarm; what was not evaluated is said, and never taken for genuine.

// watch looks at a face over the time of a comparison.
type watch struct {
	analyse func(context.Context, matcher.Frame) (matcher.Analysis, error)
	show    func(kiosk.Prompt)
	expose  func(matcher.Frame, matcher.Face, time.Time)
	lit     bool // the screen changes its light
	began   time.Time
	prompt  kiosk.Prompt
	deaths  int  // of the worker, during this comparison
	seen    bool // attack detection can measure here, though perhaps not every frame
	judge   pad.Judge
}

// patience is how long a face that matches is looked at for attack detection
// alone, since the beginning of the comparison.
const patience = 2 * time.Second

// spared is how many deaths of the worker a comparison survives: one frame each.
const spared = 2

// detail is the least sharpness of a frame that attack detection may judge: more
// than a comparison needs. A picture out of focus has no pores and no moiré: it
// would pass for a mask, and hide a print. Where no frame has it, the officer
// reads that nothing was evaluated.
const detail = 40

// look analyses a frame, and remembers what attack detection wants of it.
func (w *watch) look(ctx context.Context, f matcher.Frame) (matcher.Analysis, error) {
	at := time.Since(w.began)
	if w.lit {
		w.shine(map[pad.Light]kiosk.Light{pad.Warm: kiosk.LightWarm, pad.Cool: kiosk.LightCool}[pad.Shining(at)])
	}
	a, err := w.analyse(ctx, f)
	if errors.Is(err, matcher.ErrWorker) && w.deaths < spared {
		w.deaths++ // the next frame has a new worker, its models loaded
		return matcher.Analysis{}, nil
	}
	if err == nil && len(a.Faces) == 1 {
		w.expose(f, a.Faces[0], time.Now())
	}
	if err != nil || a.Cues == nil || len(a.Faces) != 1 {
		return a, err
	}
	w.seen = true
	if a.Faces[0].Quality.Values[quality.Sharpness] < detail {
		return a, nil
	}
	if at -= time.Duration(f.AgeMS) * time.Millisecond; at >= 0 {
		w.judge.Add(pad.Sample{At: at, Cues: *a.Cues, Marks: a.Faces[0].Marks, Lids: a.Faces[0].Lids, Lit: w.lit})
	}
	return a, nil
}

// rest goes on looking until attack detection has seen both lights. Where
// nothing can be measured, or nothing is lit, there is nothing to wait for.
func (w *watch) rest(ctx context.Context, frames <-chan matcher.Frame) {
	ctx, cancel := context.WithDeadline(ctx, w.began.Add(patience))
	defer cancel()
	for w.lit && w.seen && !w.judge.Enough() {
		select {
		case <-ctx.Done():
			return
		case f := <-frames:
			if _, err := w.look(ctx, f); err != nil {
				return // the comparison has its result
			}
		}
	}
}

func (w *watch) advise(a matcher.Advice) {
	w.prompt.Hint = kiosk.Hint(a)
	w.show(w.prompt)
}

func (w *watch) shine(l kiosk.Light) {
	if w.prompt.Light != l {
		w.prompt.Light = l
		w.show(w.prompt)
	}
}

// dark gives the screen its usual light back.
func (w *watch) dark() { w.shine(kiosk.LightNone) }

// judge joins both parts to what an officer reads, and says whether to call
// one.
func (v *Vision) judge(ctx context.Context, own pad.Verdict, picture []byte) (text string, alarm bool) {
	text, alarm = own.String(), own.Evaluated && own.Score >= pad.Alarm
	if v.PAD == "" {
		return text, alarm
	}
	score, err := v.engine(ctx, picture)
	if err != nil {
		return text + "; the engine does not answer", alarm
	}
	return fmt.Sprintf("%s; engine %.2f", text, score), alarm || score >= pad.Alarm
}

const engineWithin = 1500 * time.Millisecond

// engine asks the added engine about a picture.
func (v *Vision) engine(ctx context.Context, picture []byte) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, engineWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.PAD, bytes.NewReader(picture))
	if err != nil {
		return 0, fmt.Errorf("pad: %w", err)
	}
	req.Header.Set("Content-Type", "image/jpeg")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("pad: %w", err)
	}
	defer resp.Body.Close()
	var a struct {
		Score *float64 `json:"score"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&a); err != nil {
		return 0, fmt.Errorf("pad: %w", err)
	}
	if resp.StatusCode != http.StatusOK || a.Score == nil || !(*a.Score >= 0 && *a.Score <= 1) {
		return 0, errors.New("pad: no score between 0 and 1")
	}
	return *a.Score, nil
}
