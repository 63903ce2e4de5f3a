package child_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"passage/child"
)

const parent = "PASSAGE_CHILD_PARENT"

// TestMain is also a parent that starts a child and then waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv(parent) == "" {
		os.Exit(m.Run())
	}
	cat := exec.Command("cat", "/dev/stdin")
	cat.Stdin, cat.Stdout = os.Stdin, os.Stdout
	ended, err := child.Start(cat, syscall.SIGKILL)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(<-ended)
}

// pipes gives a command both ends that it speaks on.
func pipes(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewReader(out)
}

func echoes(t *testing.T, in io.Writer, out *bufio.Reader) {
	t.Helper()
	if _, err := fmt.Fprintln(in, "here"); err != nil {
		t.Fatal(err)
	}
	if line, err := out.ReadString('\n'); line != "here\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
}

// mortal does something on a thread that ends with it, and says which that was. A
// process's first thread is none.
func mortal(do func()) int {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		if id := syscall.Gettid(); id != os.Getpid() {
			do()
			tid <- id
			return
		}
		tid <- mortal(do) // on another, as this one is taken
		runtime.UnlockOSThread()
	}()
	return <-tid
}

// A child lives on when threads of its parent end, that of the goroutine that
// asked for it among them.
func TestOutlivesThreads(t *testing.T) {
	cat := exec.Command("cat")
	in, out := pipes(t, cat)
	var ended <-chan error
	var err error
	thread := mortal(func() { ended, err = child.Start(cat, syscall.SIGKILL) })
	if err != nil {
		t.Fatal(err)
	}
	for syscall.Tgkill(os.Getpid(), thread, 0) == nil {
		runtime.Gosched()
	}
	echoes(t, in, out)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A child ends with its parent, killed as it may be.
func TestEndsWithItsParent(t *testing.T) {
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), parent+"=1")
	in, out := pipes(t, p)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	echoes(t, in, out)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 { // until nobody holds the other end
		t.Errorf("%q, %v", rest, err)
	}
	if err := p.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
}

func TestRefuses(t *testing.T) {
	if _, err := child.Start(exec.Command("/nowhere"), syscall.SIGKILL); err == nil {
		t.Error("started")
	}
}
