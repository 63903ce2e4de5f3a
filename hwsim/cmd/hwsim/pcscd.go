package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"passage/hwsim/pcscd"
)

// slots of the virtual reader by lane: there are two, for the first and the
// last lane; the one between has the built-in reader.
var slots = map[int]int{0: 0, laneCount - 1: 1}

// pcscd starts the real PC/SC service with vsmartcard's virtual reader. Where
// that is not possible the lanes' own reader for remote cards takes its place;
// the error says why. stop undoes everything.
func (x *demo) pcscd(ctx context.Context) (r reader, stop func(), err error) {
	for i := range laneCount {
		addr := fmt.Sprintf("127.0.0.1:%d", x.Port+40+i)
		r.kind[i] = "vpcd"
		r.conf[i] = fmt.Sprintf("type = \"vpcd\"\naddress = %q", addr)
		r.dial[i] = func() (net.Conn, error) { return net.DialTimeout("tcp", addr, 3*time.Second) }
	}
	stop = func() {}
	if x.VPCD {
		return r, stop, nil
	}
	log, err := os.Create(x.Dir + "/pcscd.log")
	if err != nil {
		return r, stop, err
	}
	service, err := pcscd.Start(ctx, log)
	if err != nil {
		return r, stop, errors.Join(fmt.Errorf("%w; see pcscd.log", err), log.Close())
	}
	for lane, slot := range slots {
		r.kind[lane] = "pcscd"
		r.conf[lane] = fmt.Sprintf("type = \"pcsc\"\nname = %q", pcscd.Slots[slot].Name)
		r.dial[lane] = func() (net.Conn, error) { return service.Dial(slot) }
	}
	return r, func() {
		if err := errors.Join(service.Stop(), log.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "hwsim:", err)
		}
	}, nil
}
