// Package mrzreader is a simulated serial MRZ reader on a pseudo-terminal.
package mrzreader

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"passage/hwsim/tty"
)

// Reader sends the zone of the document that is laid on it: STX, lines
// separated by CR, ETX.
type Reader struct {
	mu   sync.Mutex
	line *os.File
	baud int
}

// Open makes the device and links path to it.
func Open(ctx context.Context, path string, baud int) (*Reader, error) {
	master, slave, err := tty.Open(path)
	if err != nil {
		return nil, fmt.Errorf("mrzreader: %w", err)
	}
	context.AfterFunc(ctx, func() {
		master.Close()
		slave.Close()
		os.Remove(path)
	})
	go tty.Share(ctx, slave)
	return &Reader{line: master, baud: baud}, nil
}

// Place sends a document's zone, as slowly as the line is.
func (r *Reader) Place(lines []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := "\x02" + strings.Join(lines, "\r") + "\x03"
	time.Sleep(time.Duration(len(text)) * 10 * time.Second / time.Duration(r.baud))
	if _, err := r.line.WriteString(text); err != nil {
		return fmt.Errorf("mrzreader: %w", err)
	}
	return nil
}
