package tty_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"passage/hwsim/tty"
)

// Who was killed with a line in its hand keeps nobody else from it: kioskd's
// user is not root, whom no claim stops.
func TestShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "line")
	master, slave, err := tty.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tty.Share(t.Context(), slave)
	}()
	client, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 2 {
		if err := unix.IoctlSetInt(int(client.Fd()), unix.TIOCEXCL, 0); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); ; {
			claimed, err := unix.IoctlGetInt(int(client.Fd()), unix.TIOCGEXCL)
			if err != nil {
				t.Fatal(err)
			}
			if claimed == 0 {
				break
			}
			if time.Since(began) > 30*time.Second {
				t.Fatal("the line stays claimed")
			}
		}
	}
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
}
