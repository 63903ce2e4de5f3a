package matcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrWorker says that a worker died or answered nonsense during a call.
var ErrWorker = errors.New("matcher: the vision worker died")

// Program starts workers.
type Program struct {
	Path string   // visiond
	Args []string // before the role's own, such as --no-sandbox
}

// Times that a worker has.
const (
	startWithin   = 20 * time.Second // models are read and checked in it
	decodeWithin  = 3 * time.Second  // an image, by the clock
	decodeSeconds = 2                // by its CPU time, which the sandbox limits (domain §6)
	analyseWithin = 2 * time.Second  // one frame
	firstPause    = 250 * time.Millisecond
	mostPause     = 5 * time.Second
	steadyAfter   = 10 * time.Second // a worker that lived so long has come up
)

// process is a worker that runs: one of the lane's own, or the lane's end of one
// that serves several lanes (dial).
type process struct {
	in interface {
		io.WriteCloser
		SetWriteDeadline(time.Time) error
	}
	out   io.ReadCloser
	stop  func()
	hung  func() bool   // of a shared one: whether it has hung up
	ended chan struct{} // closed when it is gone
	spent time.Duration // CPU time, once it is gone
	began time.Time
	ready bool // its Hello was read
}

// start starts a worker in a role, below the lane's own priority: on a small
// machine no inference may delay the heartbeat that holds the gate. A frame
// passes a pipe of 1 MB in a few pieces instead of dozens.
func (p Program) start(ctx context.Context, args ...string) (*process, error) {
	ctx, stop := context.WithCancel(ctx)
	list := append([]string{"-n", "5", p.Path}, p.Args...)
	c := exec.CommandContext(ctx, "nice", append(list, args...)...)
	c.Env = []string{"OPENCV_LOG_LEVEL=SILENT", "OPENCV_FFMPEG_LOGLEVEL=-8", "HOME=/nonexistent"}
	// Pipes of our own: those of the command are closed when it ends, with an
	// answer perhaps still in them.
	itsIn, in, err := os.Pipe()
	if err != nil {
		stop()
		return nil, fmt.Errorf("matcher: start %s: %w", args[0], err)
	}
	out, itsOut, err := os.Pipe()
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("matcher: start %s: %w", args[0], err), itsIn.Close(), in.Close())
	}
	c.Stdin, c.Stdout = itsIn, itsOut
	err = c.Start()
	if closed := errors.Join(itsIn.Close(), itsOut.Close()); err == nil {
		err = closed
	}
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("matcher: start %s: %w", args[0], err), in.Close(), out.Close())
	}
	widen(in)
	widen(out)
	w := &process{in: in, out: out, stop: stop, ended: make(chan struct{}), began: time.Now()}
	go func() { // end waits for it
		defer close(w.ended)
		_ = c.Wait() // what its exit status could say it has said before
		w.spent = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		stop()
	}()
	return w, nil
}

// widen makes a pipe hold 1 MB, where the user's limit allows it.
func widen(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) }) // it is only slower otherwise
}

// end ends the worker and waits until it is gone.
func (w *process) end() {
	w.stop()
	<-w.ended
	w.in.Close()
	w.out.Close()
}

// alive says whether the worker still runs.
func (w *process) alive() bool {
	select {
	case <-w.ended:
		return false
	default:
		return w.hung == nil || !w.hung()
	}
}

// greet waits for the worker's Hello, which says that it is confined.
func (w *process) greet(role string) error {
	if w.ready {
		return nil
	}
	late := time.AfterFunc(startWithin, w.stop)
	defer late.Stop()
	var h Hello
	if _, err := Read(w.out, KindHello, &h); err != nil {
		return fmt.Errorf("matcher: %s does not come up: %w", role, err)
	}
	if h.Role != role {
		return fmt.Errorf("%w: a worker of role %.20q instead of %s", ErrMessage, h.Role, role)
	}
	w.ready = true
	return nil
}

// Decode turns one untrusted image into pixels, in a process that does nothing
// else and then is gone. A Problem means that the image was refused, ErrWorker
// that it cost the process its life.
func (p Program) Decode(ctx context.Context, image []byte) (Frame, error) {
	d := Decoder{Program: p}
	w, err := d.take(ctx)
	if err != nil {
		return Frame{}, err
	}
	return w.decode(ctx, image)
}

// decode spends the worker on one image.
func (w *process) decode(ctx context.Context, image []byte) (Frame, error) {
	defer w.end()
	stop := context.AfterFunc(ctx, w.stop)
	defer stop()
	late := time.AfterFunc(decodeWithin, w.stop)
	defer late.Stop()
	if len(image) > MaxImage {
		return Frame{}, &Problem{Text: fmt.Sprintf("an image file of %d bytes, at most %d are accepted", len(image), MaxImage)}
	}
	err := Write(w.in, KindImage, struct{}{}, image)
	var f Frame
	if err == nil {
		f, err = ReadFrame(w.out)
	}
	if refused := (*Problem)(nil); err == nil || errors.As(err, &refused) {
		return f, err
	}
	if ctx.Err() != nil {
		return Frame{}, ctx.Err()
	}
	w.end()
	return Frame{}, fmt.Errorf("%w: decode: %w, after %v of CPU time where %d s are allowed", ErrWorker, err, w.spent.Round(time.Millisecond), decodeSeconds)
}

// Decoder decodes as Program.Decode does, by a process that was started before
// it is needed: OpenCV's libraries take longer to load than a portrait to
// decode. No process sees a second image.
type Decoder struct {
	Program Program

	mu    sync.Mutex
	spare *process
}

// Decode turns one untrusted image into pixels; see Program.Decode.
func (d *Decoder) Decode(ctx context.Context, image []byte) (Frame, error) {
	w, err := d.take(ctx)
	if err != nil {
		return Frame{}, err
	}
	f, err := w.decode(ctx, image)
	d.Warm()
	return f, err
}

// take returns a worker that is confined and waits for its image.
func (d *Decoder) take(ctx context.Context) (*process, error) {
	d.mu.Lock()
	w := d.spare
	d.spare = nil
	d.mu.Unlock()
	if w != nil {
		if w.alive() && w.greet("decode") == nil {
			return w, nil
		}
		w.end() // it died while it waited; a new one takes its place
	}
	w, err := d.Program.start(context.WithoutCancel(ctx), "decode")
	if err != nil {
		return nil, err
	}
	if err := w.greet("decode"); err != nil {
		w.end()
		return nil, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	return w, nil
}

// Warm starts the process for the next image, if there is none. It does not
// wait for it; an error shows when the image comes.
func (d *Decoder) Warm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare == nil {
		d.spare, _ = d.Program.start(context.Background(), "decode")
	}
}

// Ready waits until a process waits for an image, confined, or says why none
// does.
func (d *Decoder) Ready(ctx context.Context) error {
	w, err := d.take(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare != nil {
		d.spare.end()
	}
	d.spare = w
	return nil
}

// Close ends the process that waits.
func (d *Decoder) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare != nil {
		d.spare.end()
		d.spare = nil
	}
}

// Kill ends the process that waits as a crash would; tests use it.
func (d *Decoder) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare != nil {
		d.spare.stop()
		<-d.spare.ended
	}
}

// Matcher is the worker that holds the models. A dead one is replaced at once,
// one that does not come up or dies again after growing pauses; Run keeps one
// warm.
type Matcher struct {
	Program Program
	Pack    string // folder of the model pack
	// Socket is where a worker listens that serves several lanes of this
	// machine; empty starts one of the lane's own.
	Socket string
	Bare   bool // descriptors alone, without quality and attack cues

	mu     sync.Mutex
	proc   *process
	failed int       // in a row
	next   time.Time // no start before
	why    error
}

// Run keeps a warm worker until ctx ends and reports its health: "" or why it
// does not work.
func (m *Matcher) Run(ctx context.Context, health func(string)) error {
	for ctx.Err() == nil {
		m.mu.Lock()
		err := m.ensure()
		var ended chan struct{}
		if m.proc != nil {
			ended = m.proc.ended
		}
		m.mu.Unlock()
		if err != nil {
			health(err.Error())
		} else {
			health("")
		}
		select {
		case <-ctx.Done():
		case <-ended:
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
	if m.proc != nil && m.proc.alive() {
		return nil
	}
	m.drop()
	if time.Now().Before(m.next) {
		return m.why
	}
	w, err := m.begin()
	if err == nil {
		if err = w.greet("match"); err != nil {
			w.end()
		}
	}
	if err != nil {
		m.pause(err)
		return err
	}
	m.proc = w
	return nil
}

// begin starts a worker, or reaches the shared one.
func (m *Matcher) begin() (*process, error) {
	if m.Socket != "" {
		return dial(m.Socket)
	}
	args := []string{"match", "--pack", m.Pack}
	if m.Bare {
		args = append(args, "--bare")
	}
	return m.Program.start(context.Background(), args...)
}

// pause makes the next start wait: not after the first failure, then ever
// longer. The lock is held.
func (m *Matcher) pause(why error) {
	if m.failed++; m.failed > 1 {
		m.next = time.Now().Add(min(firstPause<<min(m.failed-2, 8), mostPause))
	}
	m.why = why
}

// drop ends the worker, if there is one. The lock is held.
func (m *Matcher) drop() {
	if m.proc == nil {
		return
	}
	if time.Since(m.proc.began) > steadyAfter {
		m.failed = 0
	}
	m.proc.end()
	m.proc = nil
	m.pause(ErrWorker)
}

// Analyse finds faces in a frame. When the worker dies in the call the error
// is ErrWorker, and the next call has a new one.
func (m *Matcher) Analyse(ctx context.Context, f Frame) (Analysis, error) {
	if !f.Valid() || len(f.Pixels) > 3*maxPixels {
		return Analysis{}, fmt.Errorf("%w: frame", ErrMessage)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ensure(); err != nil {
		return Analysis{}, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	w := m.proc
	late := time.AfterFunc(analyseWithin, w.stop)
	defer late.Stop()
	err := WriteFrame(w.in, f)
	var a Analysis
	if err == nil {
		_, err = Read(w.out, KindFindings, &a)
	}
	if refused := (*Problem)(nil); errors.As(err, &refused) {
		return Analysis{}, fmt.Errorf("matcher: analyse: %w", err)
	}
	if err == nil && !a.valid() {
		err = fmt.Errorf("%w: findings", ErrMessage)
	}
	if err != nil {
		m.drop()
		return Analysis{}, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	return a, nil
}

// Kill ends the worker as a crash would; tests use it.
func (m *Matcher) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		m.proc.stop()
	}
}

// Capture starts the worker that reads the camera at url and waits until it has
// opened it.
func (p Program) Capture(ctx context.Context, url string) (*Capture, error) {
	w, err := p.start(ctx, "capture", "--url", url)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, w.stop)
	defer stop()
	if err := w.greet("capture"); err != nil {
		w.end()
		return nil, err
	}
	return &Capture{w}, nil
}

// Capture is a worker that reads a camera.
type Capture struct{ w *process }

// Next returns the newest frame; it blocks until there is one.
func (c *Capture) Next() (Frame, error) {
	f, err := ReadFrame(c.w.out)
	if refused := (*Problem)(nil); err != nil && !errors.As(err, &refused) {
		return f, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	return f, err
}

// Adjust tells the camera how bright the face is, for its exposure. It never
// waits for a worker that does not listen.
func (c *Capture) Adjust(l Light) error {
	if err := c.w.in.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		return fmt.Errorf("matcher: adjust: %w", err)
	}
	return Write(c.w.in, KindLight, l, nil)
}

// Close ends the worker. It may be called while Next blocks.
func (c *Capture) Close() error {
	c.w.end()
	return nil
}

// Warm runs do while the worker is kept warm, and ends the worker.
func (m *Matcher) Warm(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Run(ctx, func(why string) { // it ends with ctx
			select {
			case up <- why:
			default:
			}
		})
	}()
	var err error
	select {
	case why := <-up:
		if why == "" {
			err = do(ctx)
		} else {
			err = errors.New(why)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	<-ended
	return err
}
