package vpcd

import (
	"net"

	"golang.org/x/sys/unix"
)

// quickAck turns delayed acknowledgements off for the next read; the kernel
// turns them on again by itself. A round trip falls from 44 ms to 0.1 ms.
func quickAck(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}
