package devices

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/drivers/camera"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
	"passage/matcher"
	"passage/matcher/pack"
	"passage/matcher/picture"
	"passage/matcher/quality"
)

// Vision joins camera, matcher and decoder to what the lane needs.
type Vision struct {
	Camera  *camera.Camera
	Matcher Matcher
	Decoder Decoder
	Policy  matcher.Policy
	// Calibration is what the pack's scores mean, for showing them to people.
	Calibration *pack.Calibration
	PAD         string // URL of the attack detection engine; empty for none
	Light       bool   // the traveller's screen is bright enough to light the face

	mu     sync.Mutex
	wanted chan matcher.Frame // a comparison under way takes frames here
	broken context.CancelCauseFunc
	camera string
	worker string
	// decoder is why no portrait could be decoded; it is asked until the first
	// process has come up.
	decoder string
	screens map[chan camera.Frame]struct{} // that show the traveller's picture
}

// Matcher is the worker that holds the models; matcher.Matcher is one.
type Matcher interface {
	Run(ctx context.Context, health func(string)) error
	Analyse(ctx context.Context, f matcher.Frame) (matcher.Analysis, error)
}

// Decoder turns untrusted images into pixels in processes that may die;
// matcher.Decoder is one. Ready waits until one is there, Close ends it.
type Decoder interface {
	Ready(ctx context.Context) error
	Decode(ctx context.Context, stream []byte) (matcher.Frame, error)
	Close()
}

// source is a capture worker as the camera's source.
type source struct{ *matcher.Capture }

func (s source) Next() (camera.Frame, error) {
	f, err := s.Capture.Next()
	return camera.Frame{Width: f.Width, Height: f.Height, Pixels: f.Pixels, Age: time.Duration(f.AgeMS) * time.Millisecond}, err
}

// Adjust tells the worker how bright the face is.
func (s source) Adjust(mean, want float64) error {
	return s.Capture.Adjust(matcher.Light{Mean: mean, Want: want})
}

// Camera is the camera at url, read by a worker of p.
func Camera(p matcher.Program, url string) *camera.Camera {
	return &camera.Camera{Open: func(ctx context.Context) (camera.Source, error) {
		worker, err := p.Capture(ctx, url)
		return source{worker}, err
	}}
}

// NewVision is the sight of a configuration, with the workers of p. It fails
// for a pack that must not decide: without a calibration nobody knows what its
// scores mean, and what the quality policy asks for must be measured.
func NewVision(c config.Config, p matcher.Program) (*Vision, error) {
	dir := filepath.Join(c.Vision.Packs, c.Vision.Pack)
	m, err := pack.Read(dir) // the worker compares the models with their hashes
	if err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	policy, err := facePolicy(c.Vision, m)
	if err != nil {
		return nil, fmt.Errorf("vision: %w", err)
	}
	return &Vision{
		Camera:  Camera(p, c.Camera),
		Matcher: &matcher.Matcher{Program: p, Pack: dir, Socket: c.Vision.Matcher},
		Decoder: &matcher.Decoder{Program: p}, Policy: policy, Calibration: m.Calibration, PAD: c.Vision.PAD, Light: c.Vision.Light,
	}, nil
}

// facePolicy is the configured policy with the pack's thresholds.
func facePolicy(c config.Vision, m *pack.Manifest) (matcher.Policy, error) {
	p := matcher.DefaultPolicy()
	p.Attempts, p.Frames = c.Attempts, c.Frames
	var err error
	if p.Threshold, err = m.Threshold(c.FMR); err != nil {
		return p, err
	}
	if c.Threshold > 0 {
		p.Threshold = c.Threshold
	}
	// A match before the attempt is complete needs a tenth of the rate. A pack
	// for which that was not measured never decides early.
	if early, err := m.Threshold(c.FMR / 10); err == nil {
		p.Early = max(early, p.Threshold)
	}
	for name, least := range c.Quality {
		if name == "unified" {
			p.Unified = least
			continue
		}
		component, err := quality.Parse(name)
		if err != nil {
			return p, err
		}
		p.Quality[component] = least
	}
	if m.Landmarks == nil {
		for _, component := range quality.NeedMesh {
			if p.Quality[component] > 0 {
				return p, fmt.Errorf("%s cannot measure %s: set vision.quality.%s = 0, or take a pack with landmarks", m.Name, component, component)
			}
		}
	}
	return p, nil
}

// errBlind ends a comparison under way: a camera that shows nothing is not the
// traveller's fault.
var errBlind = errors.New("the camera shows nothing")

// Run supervises camera and matcher.
func (v *Vision) Run(ctx context.Context, health func(camera, matcher string)) error {
	tell := func(set func()) {
		v.mu.Lock()
		was := [2]string{v.camera, cmp.Or(v.worker, v.decoder)}
		set()
		now := [2]string{v.camera, cmp.Or(v.worker, v.decoder)}
		if now[0] != "" && v.broken != nil {
			v.broken(errBlind)
		}
		v.mu.Unlock()
		if was != now {
			health(now[0], now[1])
		}
	}
	tell(func() { v.camera, v.worker = "camera: not seen yet", "matcher: starting" })
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return v.Camera.Run(ctx, v.frame, func(s string) { tell(func() { v.camera = s }) })
	})
	group.Go(func() error {
		defer v.Decoder.Close()
		for ctx.Err() == nil {
			if err := v.Decoder.Ready(ctx); err == nil || ctx.Err() != nil {
				tell(func() { v.decoder = "" })
				break
			} else {
				tell(func() { v.decoder = err.Error() })
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		<-ctx.Done()
		return nil
	})
	group.Go(func() error {
		return v.Matcher.Run(ctx, func(s string) { tell(func() { v.worker = s }) })
	})
	return group.Wait()
}

// frame hands the newest frame to a comparison that wants one, and to the
// screens that show it.
func (v *Vision) frame(f camera.Frame) {
	v.mu.Lock()
	compare, screens := v.wanted, slices.Collect(maps.Keys(v.screens))
	v.mu.Unlock()
	for _, c := range screens {
		newest(c, f)
	}
	if compare != nil {
		newest(compare, matcher.Frame{Width: f.Width, Height: f.Height, Pixels: f.Pixels, AgeMS: f.Age.Milliseconds()})
	}
}

// newest puts v into c, in the place of an older one. There is one sender.
func newest[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// Portrait decodes a chip's code stream in a throw-away process and describes
// its face.
func (v *Vision) Portrait(ctx context.Context, stream []byte) (kiosk.Portrait, error) {
	f, err := v.Decoder.Decode(ctx, stream)
	if err != nil {
		return kiosk.Portrait{}, err
	}
	f, a, err := v.upright(ctx, f)
	if err != nil {
		return kiosk.Portrait{}, err
	}
	if a.Descriptor == nil {
		return kiosk.Portrait{}, errors.New("no face in the chip's portrait")
	}
	j, err := encode(f)
	return kiosk.Portrait{JPEG: j, Template: a.Descriptor}, err
}

// upright analyses a portrait, turned if need be: some chips hold pictures that
// lie on their side and do not say so.
func (v *Vision) upright(ctx context.Context, f matcher.Frame) (matcher.Frame, matcher.Analysis, error) {
	first, err := v.Matcher.Analyse(ctx, f)
	if err != nil || first.Descriptor != nil {
		return f, first, err
	}
	for _, orientation := range []int{6, 8, 3} {
		g := f
		g.Pixels, g.Width, g.Height = picture.Upright(f.Pixels, f.Width, f.Height, orientation)
		if a, err := v.Matcher.Analyse(ctx, g); err != nil || a.Descriptor != nil {
			return g, a, err
		}
	}
	return f, first, nil
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

// Compare takes live frames until the policy has decided and attack detection
// has seen enough.
func (v *Vision) Compare(ctx context.Context, p kiosk.Portrait, show func(kiosk.Prompt)) (kiosk.FaceResult, error) {
	out := kiosk.FaceResult{Threshold: v.Policy.Threshold, PAD: "not evaluated"}
	reference, ok := p.Template.([]float32)
	if !ok {
		return out, errors.New("no reference")
	}
	frames := make(chan matcher.Frame, 1)
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	v.mu.Lock()
	blind := v.camera != ""
	v.wanted, v.broken = frames, broken
	v.mu.Unlock()
	if blind {
		broken(errBlind)
	}
	defer func() {
		v.mu.Lock()
		if v.wanted == frames {
			v.wanted, v.broken = nil, nil
		}
		v.mu.Unlock()
	}()
	w := &watch{analyse: v.Matcher.Analyse, show: show, lit: v.Light, began: time.Now()}
	defer w.dark()
	e := exposure{camera: v.Camera}
	defer e.end()
	w.expose = e.face
	r, err := v.Policy.Compare(ctx, reference, frames, w.look, w.advise)
	if err == nil && r.Outcome == matcher.Match {
		w.rest(ctx, frames)
	}
	if cause := context.Cause(ctx); errors.Is(cause, errBlind) {
		return out, cause
	}
	if err != nil {
		return out, err
	}
	out.Score, out.Attempts, out.Shown = r.Score, r.Attempts, v.Calibration.Shown(r.Score, v.Policy.Threshold)
	out.Face = map[matcher.Outcome]lane.Face{
		matcher.Match: lane.FaceMatch, matcher.NonMatch: lane.FaceNonMatch, matcher.Quality: lane.FaceQuality, matcher.Several: lane.FaceSeveral,
	}[r.Outcome]
	if r.Frame.Pixels == nil {
		return out, nil
	}
	if out.JPEG, err = encode(r.Frame); err != nil {
		return out, err
	}
	alarm := false
	if out.PAD, alarm = v.judge(ctx, w.judge.Verdict(), out.JPEG); alarm {
		out.Face = lane.FaceAttack // it calls an officer, and never lets anybody in
	}
	return out, nil
}
