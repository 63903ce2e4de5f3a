package gate

import (
	"errors"
	"fmt"
	"os"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Port is an opened serial line, locked against other programs.
type Port struct {
	serial.Port
	lock *os.File
}

// OpenPort opens a serial device: 8E1 or 8N1 at baud. As root the exclusive
// mode of a terminal is not enforced, so the device is flocked as well. A
// pseudo-terminal refuses parity; there the characters have none to check.
func OpenPort(path string, baud int, format string) (*Port, error) {
	lock, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("gate: open: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("gate: open: %s is used by another program: %w", path, err), lock.Close())
	}
	mode := &serial.Mode{BaudRate: baud, DataBits: 8, Parity: serial.EvenParity, StopBits: serial.OneStopBit}
	if format == "8N1" {
		mode.Parity = serial.NoParity
	}
	p, err := serial.Open(path, mode)
	if err != nil && mode.Parity != serial.NoParity {
		mode.Parity = serial.NoParity
		p, err = serial.Open(path, mode)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gate: open %s: %w", path, err), lock.Close())
	}
	return &Port{p, lock}, nil
}

// Close releases the line.
func (p *Port) Close() error { return errors.Join(p.Port.Close(), p.lock.Close()) }

var _ Line = (*Port)(nil)
