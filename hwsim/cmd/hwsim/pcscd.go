package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"passage/hwsim/pcscd"
)

// pcscd starts the real PC/SC service with vsmartcard's virtual reader for the
// first and the third lane: it has two slots. Where that is not possible the
// lanes keep their own reader for remote cards; the error says why. stop undoes
// everything.
func (x *demo) pcscd(ctx context.Context) (stop func(), err error) {
	stop = func() {}
	if x.VPCD {
		return stop, nil
	}
	log, err := os.Create(x.Dir + "/pcscd.log")
	if err != nil {
		return stop, err
	}
	service, err := pcscd.Start(ctx, log)
	if err != nil {
		return stop, errors.Join(fmt.Errorf("%w; see pcscd.log", err), log.Close())
	}
	x.cards, x.cardsLog = service, log
	for slot, at := range []int{0, wholeLanes - 1} {
		if at >= len(x.places) {
			continue
		}
		p := &x.places[at]
		p.reader, p.conf = "pcscd", fmt.Sprintf("type = \"pcsc\"\nname = %q", pcscd.Slots[slot].Name)
		p.dial = func() (net.Conn, error) { return service.Dial(slot) }
	}
	return func() {
		if err := errors.Join(service.Stop(), log.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "hwsim:", err)
		}
	}, nil
}
