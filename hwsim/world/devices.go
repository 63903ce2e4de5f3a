package world

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/camera"
	"passage/hwsim/passport"
	"passage/matcher"
	"passage/matcher/quality"
)

// Field is a card reader with one field.
type Field struct {
	mu     sync.Mutex
	card   *passport.Card
	change chan struct{}
}

// How soon pcscd with vsmartcard's reader notices a card.
const (
	noticed = 260 * time.Millisecond
	missed  = 350 * time.Millisecond
)

// Put puts a card into the field, or takes it out of it: nil.
func (f *Field) Put(c *passport.Card) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.card = c
	close(f.change)
	f.change = make(chan struct{})
}

func (f *Field) now() (*passport.Card, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.card, f.change
}

// Watch reports what lies in the field.
func (f *Field) Watch(ctx context.Context, present func(bool)) error {
	was := false
	for {
		card, change := f.now()
		if is := card != nil; is != was {
			wait := noticed
			if !is {
				wait = missed
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil
			}
			was = is
			present(is)
			continue
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil
		}
	}
}

// Connect powers the card.
func (f *Field) Connect(context.Context) (apdu.Card, error) {
	card, _ := f.now()
	if card == nil {
		return nil, apdu.ErrRemoved
	}
	card.Reset()
	return &inField{card, f}, nil
}

// inField is a card that answers while it lies there.
type inField struct {
	*passport.Card
	field *Field
}

func (c *inField) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if card, _ := c.field.now(); card != c.Card {
		return nil, apdu.ErrRemoved
	}
	reply, err := c.Card.Transmit(ctx, command)
	if card, _ := c.field.now(); card != c.Card {
		return nil, apdu.ErrRemoved // gone while it was answering
	}
	return reply, err
}

// wire is the serial line of an MRZ reader.
type wire struct {
	sent chan []byte
	left []byte
}

func newWire() *wire { return &wire{sent: make(chan []byte, 64)} }

func (w *wire) Read(b []byte) (int, error) {
	if len(w.left) == 0 {
		t := time.NewTimer(100 * time.Millisecond)
		defer t.Stop()
		select {
		case w.left = <-w.sent:
		case <-t.C:
			return 0, nil
		}
	}
	n := copy(b, w.left)
	w.left = w.left[n:]
	return n, nil
}

func (w *wire) Close() error { return nil }

// zone is what a reader sends of a document.
func zone(lines []string) []byte { return []byte("\x02" + strings.Join(lines, "\r") + "\x03") }

// Eyes are camera and models. A frame's first pixel says whose face it shows,
// and so does a chip's portrait: the real models are tested elsewhere, here it
// is their supervision and the policy of attempts.
type Eyes struct {
	mu     sync.Mutex
	face   byte // 0 for nobody
	fault  string
	killed bool
	gone   chan struct{} // closed when the camera is unplugged
	died   chan struct{} // told when the worker dies
}

// See sets who is before the camera: 0 nobody, several adds a second person.
func (e *Eyes) See(face byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.face = face
}

// Inject gives the camera a fault (covered, frozen, unplugged) or kills the
// worker that holds the models (dead); "" clears it.
func (e *Eyes) Inject(fault string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = fault
	switch fault {
	case "unplugged":
		close(e.gone)
	case "dead":
		e.killed = true
		select {
		case e.died <- struct{}{}:
		default: // it is dead already
		}
	case "":
		select {
		case <-e.gone:
			e.gone = make(chan struct{})
		default:
		}
	}
}

var errUnplugged = errors.New("no such device")

func (e *Eyes) open(context.Context) (camera.Source, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fault == "unplugged" {
		return nil, errUnplugged
	}
	return &stream{eyes: e, gone: e.gone, closed: make(chan struct{})}, nil
}

type stream struct {
	eyes   *Eyes
	gone   <-chan struct{}
	closed chan struct{}
	n      byte
}

const side = 24 // pixels of a frame that nobody looks at closely

func (s *stream) Next() (camera.Frame, error) {
	select {
	case <-time.After(200 * time.Millisecond):
	case <-s.gone:
		return camera.Frame{}, io.EOF
	case <-s.closed:
		return camera.Frame{}, io.ErrClosedPipe
	}
	s.eyes.mu.Lock()
	face, fault := s.eyes.face, s.eyes.fault
	s.eyes.mu.Unlock()
	light := byte(90)
	if fault == "covered" {
		light = 0
	}
	if fault != "frozen" {
		s.n++
	}
	p := bytes.Repeat([]byte{light}, 3*side*side)
	for i := range p {
		if light > 0 {
			p[i] += byte(i * 37 % 64) // something is in it
		}
	}
	p[0], p[97] = face, light+s.n%32
	return camera.Frame{Width: side, Height: side, Pixels: p}, nil
}

func (s *stream) Close() error { close(s.closed); return nil }

// restart is what it takes to have the models again.
const restart = time.Second

// Run keeps the worker: a dead one is started again.
func (e *Eyes) Run(ctx context.Context, health func(string)) error {
	for {
		health("")
		select {
		case <-ctx.Done():
			return nil
		case <-e.died:
		}
		health("matcher: the worker has to be started")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restart):
		}
		e.mu.Lock()
		e.killed = false
		e.mu.Unlock()
	}
}

// Analyse is what the models find.
func (e *Eyes) Analyse(ctx context.Context, f matcher.Frame) (matcher.Analysis, error) {
	select {
	case <-time.After(60 * time.Millisecond):
	case <-ctx.Done():
		return matcher.Analysis{}, ctx.Err()
	}
	e.mu.Lock()
	killed := e.killed
	e.mu.Unlock()
	who := f.Pixels[0]
	switch {
	case killed:
		return matcher.Analysis{}, matcher.ErrWorker
	case who == 0:
		return matcher.Analysis{}, nil
	}
	d := make([]float32, 128)
	d[who%128] = 1
	return matcher.Analysis{Faces: []matcher.Face{{X: 1, Y: 1, W: 20, H: 20, Score: 1, Flag: 1, Eyes: 80, Quality: quality.Ideal()}}, Descriptor: d}, nil
}

// Ready, Decode and Close are the throw-away processes for portraits.
func (e *Eyes) Ready(context.Context) error { return nil }

// Close ends nothing: there is no process.
func (e *Eyes) Close() {}

// Decode takes a portrait's first byte for its face.
func (e *Eyes) Decode(ctx context.Context, stream []byte) (matcher.Frame, error) {
	select {
	case <-time.After(120 * time.Millisecond):
	case <-ctx.Done():
		return matcher.Frame{}, ctx.Err()
	}
	p := bytes.Repeat([]byte{90}, 3*side*side)
	p[0] = stream[len(stream)-1]
	return matcher.Frame{Width: side, Height: side, Pixels: p}, nil
}

// inProcess is a transport to a server of the same process.
type inProcess struct{ server http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	out := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- io.ErrUnexpectedEOF // the server broke the connection
			}
		}()
		select {
		case <-time.After(15 * time.Millisecond): // there and back
		case <-r.Context().Done():
		}
		t.server.ServeHTTP(out, in)
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return out.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}
