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

// command runs a worker below the lane's own priority: on a small machine no
// inference may delay the heartbeat that holds the gate.
func (p Program) command(ctx context.Context, args ...string) *exec.Cmd {
	list := append([]string{"-n", "5", p.Path}, p.Args...)
	c := exec.CommandContext(ctx, "nice", append(list, args...)...)
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

// Capture starts the worker that reads the camera at url.
func (p Program) Capture(ctx context.Context, url string) (*Capture, error) {
	ctx, stop := context.WithCancel(ctx)
	c := p.command(ctx, "capture", "--url", url)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("matcher: capture: %w", err)
	}
	return &Capture{process{cmd: c, out: out, stop: stop}}, nil
}

// Capture is a worker that reads a camera.
type Capture struct{ p process }

// Next returns the newest frame; it blocks until there is one.
func (c *Capture) Next() (Frame, error) {
	f, err := ReadFrame(c.p.out)
	if err != nil {
		return f, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	return f, nil
}

// Close ends the worker. It may be called while Next blocks.
func (c *Capture) Close() error {
	c.p.stop()
	_ = c.p.cmd.Wait() // it was ended
	return nil
}
