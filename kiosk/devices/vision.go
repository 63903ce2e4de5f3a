package devices

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
	"passage/matcher"
)

// Vision joins camera, matcher and decoder to what the lane needs.
type Vision struct {
	program matcher.Program
	capture matcher.Capture
	match   matcher.Matcher
	policy  matcher.Policy
	pad     string // URL of the attack detection engine

	mu     sync.Mutex
	wanted chan matcher.Frame // a comparison under way takes frames here
	camera string
	worker string
}

// NewVision is the sight of a configuration, with the workers of p.
func NewVision(c config.Config, p matcher.Program) *Vision {
	v := &Vision{program: p, capture: matcher.Capture{Program: p, URL: c.Camera}, policy: matcher.DefaultPolicy(), pad: c.Vision.PAD, camera: "camera: not seen yet", worker: "matcher: starting"}
	v.match = matcher.Matcher{Program: p, Pack: filepath.Join(c.Vision.Packs, c.Vision.Pack)}
	if c.Vision.Threshold > 0 {
		v.policy.Threshold = c.Vision.Threshold
	}
	return v
}

// Run supervises both workers.
func (v *Vision) Run(ctx context.Context, health func(camera, matcher string)) error {
	tell := func(set func()) {
		v.mu.Lock()
		was := [2]string{v.camera, v.worker}
		set()
		now := [2]string{v.camera, v.worker}
		v.mu.Unlock()
		if was != now {
			health(now[0], now[1])
		}
	}
	health(v.camera, v.worker)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return v.capture.Run(ctx, v.frame, func(s string) { tell(func() { v.camera = s }) })
	})
	group.Go(func() error {
		return v.match.Run(ctx, func(s string) { tell(func() { v.worker = s }) })
	})
	return group.Wait()
}

// frame hands the newest frame to a comparison that wants one.
func (v *Vision) frame(f matcher.Frame) {
	v.mu.Lock()
	c := v.wanted
	v.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case <-c:
	default:
	}
	c <- f
}

// Portrait decodes a chip's code stream in a throw-away process and describes
// its face.
func (v *Vision) Portrait(ctx context.Context, stream []byte) (kiosk.Portrait, error) {
	f, err := v.program.Decode(ctx, stream)
	if err != nil {
		return kiosk.Portrait{}, err
	}
	a, err := v.match.Analyse(ctx, f)
	if err != nil {
		return kiosk.Portrait{}, err
	}
	if a.Descriptor == nil {
		return kiosk.Portrait{}, errors.New("no face in the chip's portrait")
	}
	j, err := encode(f)
	return kiosk.Portrait{JPEG: j, Template: a.Descriptor}, err
}

// encode writes a frame as JPEG for people and the register.
func encode(f matcher.Frame) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	for i, n := 0, f.Width*f.Height; i < n; i++ {
		img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2], img.Pix[4*i+3] = f.Pixels[3*i+2], f.Pixels[3*i+1], f.Pixels[3*i], 255
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 88}); err != nil {
		return nil, fmt.Errorf("jpeg: %w", err)
	}
	return b.Bytes(), nil
}

// Compare takes live frames until the policy has decided. A camera that shows
// nothing (black, covered, frozen) is not the traveller's fault.
func (v *Vision) Compare(ctx context.Context, p kiosk.Portrait, hint func(kiosk.Hint)) (kiosk.FaceResult, error) {
	out := kiosk.FaceResult{Threshold: v.policy.Threshold, PAD: "not evaluated"}
	reference, ok := p.Template.([]float32)
	if !ok {
		return out, errors.New("no reference")
	}
	frames := make(chan matcher.Frame, 1)
	v.mu.Lock()
	v.wanted = frames
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		if v.wanted == frames {
			v.wanted = nil
		}
		v.mu.Unlock()
	}()
	broken := errors.New("the camera shows nothing")
	analyse := func(ctx context.Context, f matcher.Frame) (matcher.Analysis, error) {
		v.mu.Lock()
		camera := v.camera
		v.mu.Unlock()
		if camera != "" {
			return matcher.Analysis{}, broken
		}
		return v.match.Analyse(ctx, f)
	}
	r, err := v.policy.Compare(ctx, reference, frames, analyse, func(a matcher.Advice) { hint(kiosk.Hint(a)) })
	if err != nil {
		return out, err
	}
	out.Score, out.Attempts, out.Shown = r.Score, r.Attempts, matcher.Shown(r.Score, v.policy.Threshold)
	out.Face = map[matcher.Outcome]lane.Face{
		matcher.Match: lane.FaceMatch, matcher.NonMatch: lane.FaceNonMatch, matcher.Quality: lane.FaceQuality, matcher.Several: lane.FaceSeveral,
	}[r.Outcome]
	if r.Frame.Pixels == nil {
		return out, nil
	}
	if out.JPEG, err = encode(r.Frame); err != nil || v.pad == "" {
		return out, err
	}
	score, err := v.attack(ctx, out.JPEG)
	if err != nil {
		out.PAD = "not evaluated: the engine does not answer" // said, never assumed to be genuine
		return out, nil
	}
	out.PAD = fmt.Sprintf("%.2f", score)
	if score >= padAlarm {
		out.Face = lane.FaceAttack // it calls an officer, and never lets anybody in
	}
	return out, nil
}

// padAlarm is the score from which an officer is called; the scale is 0 for
// genuine to 1 (BSI TR-03121-3 §4.8.1).
const (
	padAlarm  = 0.5
	padWithin = 1500 * time.Millisecond
)

// attack asks the engine about the very picture that was compared.
func (v *Vision) attack(ctx context.Context, picture []byte) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, padWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.pad, bytes.NewReader(picture))
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
