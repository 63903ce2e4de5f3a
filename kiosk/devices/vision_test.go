package devices

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"passage/hwsim/camera"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/lane"
	"passage/matcher"
)

// lens is a camera over HTTP that shows what it is told, or sends what is no
// picture at all.
type lens struct {
	camera.Camera
	junk atomic.Pointer[[]byte]
}

func (l *lens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=b")
	tick := time.NewTicker(time.Second / 12)
	defer tick.Stop()
	for r.Context().Err() == nil {
		b, ok := l.Frame()
		if junk := l.junk.Load(); junk != nil {
			b = *junk
		}
		if !ok {
			return
		}
		if _, err := fmt.Fprintf(w, "--b\r\nContent-Length: %d\r\n\r\n%s\r\n", len(b), b); err != nil {
			return
		}
		<-tick.C
	}
}

// health is what a lane hears of its sight.
type health struct {
	mu   sync.Mutex
	now  [2]string
	news chan struct{}
}

func (h *health) set(camera, matcher string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = [2]string{camera, matcher}
	close(h.news)
	h.news = make(chan struct{})
}

// until waits for a health of that kind.
func (h *health) until(t *testing.T, what string, is func(camera, matcher string) bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		h.mu.Lock()
		now, news := h.now, h.news
		h.mu.Unlock()
		if is(now[0], now[1]) {
			return
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("%s: after 30 s camera %q, matcher %q", what, now[0], now[1])
		}
	}
}

// sight is a lane's sight as it is shipped: the real worker with the default
// pack, each process confined, before a simulated camera.
func sight(t *testing.T) (*Vision, *lens, *health, []byte) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program, packs := filepath.Join(root, "bin", "visiond"), filepath.Join(root, ".cache", "packs")
	face, err := os.ReadFile(filepath.Join(root, ".cache", "portraits", "p01.jpg"))
	if _, missing := os.Stat(program); err != nil || missing != nil {
		t.Skipf("make setup build first: %v", errors.Join(err, missing))
	}
	l := &lens{}
	server := httptest.NewServer(l)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	v, err := NewVision(config.Config{Camera: server.URL, Vision: config.Vision{Packs: packs, Pack: "default", FMR: .001, Attempts: 3, Frames: 3}}, matcher.Program{Path: program})
	if err != nil {
		t.Fatal(err)
	}
	h := &health{news: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx, h.set) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	h.until(t, "at the start", func(camera, matcher string) bool { return camera == "" && matcher == "" })
	return v, l, h, face
}

func decoded(t *testing.T, b []byte) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func asJPEG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// drawing is a picture of 480 × 640 by a function of its unit square, y as high
// as x is wide.
func drawing(at func(x, y float64) color.RGBA) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 480, 640))
	for i := range 480 * 640 {
		img.SetRGBA(i%480, i/480, at(float64(i%480)/480, float64(i/480)/480))
	}
	return img
}

// cat is a cat, drawn: ears, eyes, nose and whiskers.
func cat(x, y float64) color.RGBA {
	within := func(cx, cy, rx, ry float64) bool {
		dx, dy := (x-cx)/rx, (y-cy)/ry
		return dx*dx+dy*dy < 1
	}
	side := max(x-.5, .5-x)
	switch {
	case within(.38, .6, .03, .07), within(.62, .6, .03, .07): // slit pupils
		return color.RGBA{10, 10, 10, 255}
	case within(.38, .6, .08, .07), within(.62, .6, .08, .07):
		return color.RGBA{120, 190, 60, 255}
	case within(.5, .76, .04, .025):
		return color.RGBA{220, 120, 130, 255}
	case side > .08 && side < .4 && (y-.8)*(y-.8) < .00002: // a whisker on each side
		return color.RGBA{245, 245, 245, 255}
	case within(.5, .68, .33, .3):
		return color.RGBA{170, 120, 70, 255}
	case y > .2 && y < .55 && side < .3 && side > .3-(y-.2)*.6: // ears
		return color.RGBA{150, 100, 60, 255}
	}
	return color.RGBA{90, 110, 130, 255}
}

// Whatever is held before the camera, comes from a chip or over the camera's
// wire: an answer or a clear error, bounded memory, and a lane that goes on.
func TestSightOutlivesBadInput(t *testing.T) {
	v, l, h, face := sight(t)
	person := decoded(t, face)
	whole := func() (kiosk.Portrait, error) { return v.Portrait(t.Context(), face) }
	good, err := whole()
	if err != nil {
		t.Fatal(err)
	}
	alter := func(b []byte, at func(b []byte) []byte) []byte { return at(bytes.Clone(b)) }
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 10_000, 10_000))); err != nil {
		t.Fatal(err)
	}
	stream := func(side uint32) []byte { // a JPEG 2000 header and nothing behind it
		b := []byte{0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0}
		for _, n := range []uint32{side, side, 0, 0, side, side, 0, 0} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return append(b, 0, 3, 7, 1, 1, 7, 1, 1, 7, 1, 1)
	}
	two := image.NewRGBA(image.Rect(0, 0, 720, 480))
	for i := range 720 * 480 {
		two.Set(i%720, i/720, person.At(i%360, i/720))
	}
	for _, c := range []struct {
		name, says string // part of the error; "" for none
		b          []byte
	}{
		{"no face", "no face in the chip's portrait", asJPEG(t, drawing(func(x, y float64) color.RGBA { return color.RGBA{byte(255 * x), byte(100 * y), 90, 255} }))},
		{"a cat", "no face in the chip's portrait", asJPEG(t, drawing(cat))},
		{"two faces", "", asJPEG(t, two)}, // the one nearest the middle counts: some portraits have a poster behind
		{"one pixel", "no face in the chip's portrait", asJPEG(t, image.NewGray(image.Rect(0, 0, 1, 1)))},
		{"100 megapixels", "too large", large.Bytes()},
		{"cut in its header", "malformed", face[:60]},
		{"cut in the middle", "", face[:len(face)/2]}, // decoders give the half that is there, and the eyes may be
		{"flipped bits", "", alter(face, func(b []byte) []byte {
			for i := 700; i < len(b); i += 997 {
				b[i] ^= 4
			}
			return b
		})},
		{"a bomb: 4 gigapixels in 50 bytes", "too large", stream(65535)},
		{"a bomb within the limit of JPEG, not of JPEG 2000", "too large", stream(4000)},
		{"JPEG 2000 without a picture", "cannot be decoded", stream(2000)},
		{"text", "neither JPEG", []byte("<svg onload=…>")},
		{"nothing", "neither JPEG", nil},
	} {
		p, err := v.Portrait(t.Context(), c.b)
		switch {
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("a chip with %s: %v, want %q", c.name, err, c.says)
		case c.says == "" && err == nil && p.Template == nil:
			t.Errorf("a chip with %s: neither a face nor an error", c.name)
		case errors.Is(err, matcher.ErrWorker):
			t.Errorf("a chip with %s cost a process: %v", c.name, err)
		}
		if _, err := whole(); err != nil {
			t.Errorf("after a chip with %s: %v", c.name, err)
		}
	}

	other := decoded(t, mustRead(t, "p02.jpg"))
	for _, c := range []struct {
		name  string
		by    camera.Instrument
		faces []image.Image
		fault string
		want  []lane.Face // any of them
		blind bool        // the camera itself is refused
	}{
		{"nobody", camera.Genuine, nil, "", []lane.Face{lane.FaceQuality}, false},
		{"two people", camera.Genuine, []image.Image{person, other}, "", []lane.Face{lane.FaceSeveral}, false},
		{"a cat", camera.Genuine, []image.Image{drawing(cat)}, "", []lane.Face{lane.FaceQuality}, false},
		{"another person", camera.Genuine, []image.Image{other}, "", []lane.Face{lane.FaceNonMatch}, false},
		{"the passport's own photograph", camera.Print, []image.Image{person}, "", []lane.Face{lane.FaceAttack, lane.FaceNonMatch, lane.FaceQuality}, false},
		{"a hand over the lens", camera.Genuine, []image.Image{person}, "covered", nil, true},
	} {
		l.Present(c.by, c.faces...)
		l.Inject(c.fault)
		if c.blind {
			h.until(t, c.name, func(camera, _ string) bool { return strings.Contains(camera, "covered") })
		}
		within := 12 * time.Second
		if slices.Equal(c.want, []lane.Face{lane.FaceQuality}) {
			within = 3 * time.Second // nobody comes who could be compared
		}
		ctx, stop := context.WithTimeout(t.Context(), within)
		r, err := v.Compare(ctx, good, func(kiosk.Prompt) {})
		stop()
		switch {
		case c.blind && !errors.Is(err, errBlind):
			t.Errorf("%s: %v, want that the camera shows nothing", c.name, err)
		case !c.blind && errors.Is(err, context.DeadlineExceeded) && slices.Contains(c.want, lane.FaceQuality):
		case !c.blind && (err != nil || !slices.Contains(c.want, r.Face)):
			t.Errorf("%s: %v, %v, want %v", c.name, r.Face, err, c.want)
		}
		l.Inject("")
	}

	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"garbage", bytes.Repeat([]byte("garbage"), 99)},
		{"pictures of 100 megapixels", large.Bytes()},
		{"cut pictures", face[:300]},
	} {
		l.junk.Store(&c.b)
		h.until(t, "a camera that sends "+c.name, func(camera, matcher string) bool { return camera != "" && matcher == "" })
		l.junk.Store(nil)
		h.until(t, "after "+c.name, func(camera, matcher string) bool { return camera == "" && matcher == "" })
	}

	// After all of it: the traveller of before matches, and nobody has grown.
	l.Show(person)
	ctx, stop := context.WithTimeout(t.Context(), 15*time.Second)
	defer stop()
	if r, err := v.Compare(ctx, good, func(kiosk.Prompt) {}); err != nil || r.Face != lane.FaceMatch && r.Face != lane.FaceAttack {
		t.Errorf("the traveller of before: %v, %v", r.Face, err)
	}
	for role, most := range map[string]int{"match": 400, "decode": 256, "capture": 256} {
		if mb := peak(role); mb == 0 || mb >= most {
			t.Errorf("visiond %s: %d MB at its peak, want less than %d", role, mb, most)
		}
	}
}

// peak is the most memory that a worker of this process has had resident, in MB.
func peak(role string) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		line, _ := os.ReadFile(filepath.Join(d, "cmdline")) // it may have ended
		status, _ := os.ReadFile(filepath.Join(d, "status"))
		if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok && bytes.Contains(line, []byte("\x00"+role)) && bytes.Contains(status, fmt.Appendf(nil, "PPid:\t%d\n", os.Getpid())) {
			kb := 0
			if _, err := fmt.Sscan(string(rest), &kb); err == nil {
				return kb >> 10
			}
		}
	}
	return 0
}

func mustRead(t *testing.T, portrait string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", ".cache", "portraits", portrait))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A pack whose model was damaged, cut or exchanged for another one never
// judges a face: the worker says which file it is and the lane stays closed.
func TestModelsThatAreNotThePacks(t *testing.T) {
	v, _, _, _ := sight(t)
	m := v.Matcher.(*matcher.Matcher)
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
	}{
		{"a flipped bit", func(dir string) error {
			p := filepath.Join(dir, "faceres.onnx")
			b, err := os.ReadFile(p)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(p, b, 0o600)
			}
			return err
		}},
		{"a cut file", func(dir string) error { return os.Truncate(filepath.Join(dir, "blazeface.onnx"), 1000) }},
		{"two models exchanged", func(dir string) error {
			a, b := filepath.Join(dir, "facemesh.onnx"), filepath.Join(dir, "face_recognition.onnx")
			return errors.Join(os.Rename(a, a+".x"), os.Rename(b, a), os.Rename(a+".x", b))
		}},
		{"a missing file", func(dir string) error { return os.Remove(filepath.Join(dir, "facemesh.onnx")) }},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(m.Pack)); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		said := make(chan string, 1)
		err := (&matcher.Matcher{Program: m.Program, Pack: dir}).Run(ctx, func(s string) {
			select {
			case said <- s:
				stop()
			default:
			}
		})
		stop()
		if s := <-said; err != nil || !strings.Contains(s, ".onnx") {
			t.Errorf("%s: the lane hears %q, %v", c.name, s, err)
		}
	}
}
