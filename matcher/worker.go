package matcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// ErrWorker says that a worker died or answered nonsense during a call.
var ErrWorker = errors.New("matcher: the vision worker died")

// Program starts workers.
type Program struct {
	Path string   // visiond
	Args []string // before the role's own, such as --no-sandbox
}

func (p Program) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, p.Path, append(append([]string(nil), p.Args...), args...)...)
	c.Env = []string{"OPENCV_LOG_LEVEL=SILENT", "OPENCV_FFMPEG_LOGLEVEL=-8"}
	c.WaitDelay = time.Second
	return c
}

// decodeWithin is what one portrait may take (domain §6).
const decodeWithin = 3 * time.Second

// Decode turns one untrusted image into pixels, in a process that does nothing
// else and then is gone.
func (p Program) Decode(ctx context.Context, stream []byte) (Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, decodeWithin)
	defer cancel()
	c := p.command(ctx, "decode")
	c.Stdin = bytes.NewReader(stream)
	var out bytes.Buffer
	c.Stdout = &limited{&out, maxPayload + maxHeader}
	if err := c.Run(); err != nil {
		return Frame{}, fmt.Errorf("%w: decode: %w", ErrWorker, err)
	}
	return ReadFrame(&out)
}

// limited ends a worker that says too much.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, fmt.Errorf("%w: too long", ErrMessage)
	}
	return l.w.Write(b)
}

// Matcher is the worker that holds the models. A dead one is replaced by the
// next call; Run keeps one warm.
type Matcher struct {
	Program Program
	Pack    string // folder of the model pack

	mu   sync.Mutex
	proc *process
}

type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.ReadCloser
	stop context.CancelFunc
}

// Run keeps a warm worker until ctx ends and reports its health: "" or why it
// does not work.
func (m *Matcher) Run(ctx context.Context, health func(string)) error {
	for ctx.Err() == nil {
		m.mu.Lock()
		err := m.ensure()
		m.mu.Unlock()
		if err != nil {
			health(err.Error())
		} else {
			health("")
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
	return nil
}

// ensure starts a worker if there is none. The lock is held.
func (m *Matcher) ensure() error {
	if m.proc != nil && m.proc.cmd.ProcessState == nil {
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	c := m.Program.command(ctx, "match", "--pack", m.Pack)
	in, err := c.StdinPipe()
	if err != nil {
		stop()
		return fmt.Errorf("matcher: start: %w", err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		stop()
		return fmt.Errorf("matcher: start: %w", err)
	}
	if err := c.Start(); err != nil {
		stop()
		return fmt.Errorf("matcher: start: %w", err)
	}
	var hello Analysis
	if _, err := Read(out, &hello); err != nil || hello.Error != "" {
		stop()
		_ = c.Wait() // it is being ended
		return fmt.Errorf("matcher: start: the worker does not come up: %s %w", hello.Error, err)
	}
	m.proc = &process{c, in, out, stop}
	return nil
}

// drop ends the worker. The lock is held.
func (m *Matcher) drop() {
	if m.proc != nil {
		m.proc.stop()
		_ = m.proc.cmd.Wait() // its exit status says nothing more
		m.proc = nil
	}
}

// analyseWithin bounds one analysis; a worker that takes longer is ended.
const analyseWithin = 2 * time.Second

// Analyse finds faces in a frame. When the worker dies in the call the error
// is ErrWorker, and the next call has a new one.
func (m *Matcher) Analyse(ctx context.Context, f Frame) (Analysis, error) {
	if !f.Valid() {
		return Analysis{}, fmt.Errorf("%w: frame", ErrMessage)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ensure(); err != nil {
		return Analysis{}, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	p := m.proc
	late := time.AfterFunc(analyseWithin, p.stop)
	defer late.Stop()
	err := WriteFrame(p.in, f)
	var a Analysis
	if err == nil {
		_, err = Read(p.out, &a)
	}
	if err != nil || !a.valid() {
		m.drop()
		return Analysis{}, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	if a.Error != "" {
		return Analysis{}, fmt.Errorf("matcher: analyse: %.200s", a.Error)
	}
	return a, nil
}

// Kill ends the worker as a crash would; tests use it.
func (m *Matcher) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		_ = m.proc.cmd.Process.Kill() // it may be dead already
	}
}

// Capture is the worker that reads the camera.
type Capture struct {
	Program Program
	URL     string
}

// Times of the camera's rules.
const (
	tooOld     = 1500 * time.Millisecond
	frozenFor  = 2 * time.Second
	firstRetry = 200 * time.Millisecond
	mostRetry  = 5 * time.Second
)

// Run delivers the camera's newest frames until ctx ends, and reports its
// health: "" or what is wrong. A worker that dies or a camera that is away is
// tried again with growing pauses. frame must not block.
func (c *Capture) Run(ctx context.Context, frame func(Frame), health func(string)) error {
	wait := firstRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := c.once(ctx, frame, health)
		if ctx.Err() != nil {
			return nil
		}
		health(fmt.Sprintf("camera: %v", err))
		if time.Since(began) > mostRetry {
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, mostRetry)
	}
	return nil
}

func (c *Capture) once(ctx context.Context, frame func(Frame), health func(string)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := c.Program.command(ctx, "capture", "--url", c.URL)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer stop()
	silent := time.AfterFunc(3*time.Second, stop)
	defer silent.Stop()
	var w watcher
	for {
		f, err := ReadFrame(out)
		if err != nil {
			return err
		}
		silent.Reset(3 * time.Second)
		health(w.look(f, time.Now()))
		frame(f)
	}
}

// watcher judges frames: too old, black or covered, frozen.
type watcher struct {
	sum     uint64
	changed time.Time
}

func (w *watcher) look(f Frame, now time.Time) string {
	var sum, light uint64
	for i := 0; i < len(f.Pixels); i += 97 { // a sample is enough
		v := uint64(f.Pixels[i])
		light += v
		sum = sum*31 + v
	}
	if sum != w.sum || w.changed.IsZero() {
		w.sum, w.changed = sum, now
	}
	switch mean := light * 97 / uint64(len(f.Pixels)); {
	case time.Duration(f.AgeMS)*time.Millisecond > tooOld:
		return "camera: frames are too old"
	case mean < 8:
		return "camera: black or covered"
	case now.Sub(w.changed) > frozenFor:
		return "camera: the picture is frozen"
	}
	return ""
}
