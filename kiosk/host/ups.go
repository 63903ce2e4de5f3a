package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// UPS is an uninterruptible power supply as upsd of Network UPS Tools names it.
type UPS struct {
	Address string // host:port of upsd
	Name    string
}

const (
	upsEvery  = 5 * time.Second
	upsWithin = 3 * time.Second
	maxLine   = 512
)

// ParseUPS reads "127.0.0.1:3493/ups".
func ParseUPS(s string) (UPS, error) {
	address, name, ok := strings.Cut(s, "/")
	if _, _, err := net.SplitHostPort(address); err != nil || !ok || name == "" || strings.ContainsAny(name, " \"\\\r\n") {
		return UPS{}, fmt.Errorf("host: %q is no UPS such as 127.0.0.1:3493/ups", s)
	}
	return UPS{address, name}, nil
}

// Status asks upsd for ups.status: words such as OL (on line), OB (on battery),
// LB (battery low), RB (battery to be replaced). RFC 9271 §4.2, GET VAR.
func (u UPS) Status(ctx context.Context) ([]string, error) {
	d := net.Dialer{Timeout: upsWithin}
	c, err := d.DialContext(ctx, "tcp", u.Address)
	if err != nil {
		return nil, fmt.Errorf("host: upsd: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(upsWithin)); err != nil {
		return nil, fmt.Errorf("host: upsd: %w", err)
	}
	if _, err := fmt.Fprintf(c, "GET VAR %s ups.status\n", u.Name); err != nil {
		return nil, fmt.Errorf("host: upsd: %w", err)
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxLine)).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("host: upsd: %w", err)
	}
	return parseStatus(line, u.Name)
}

// errUPS says that upsd's answer is none.
var errUPS = errors.New("host: upsd answers something else")

func parseStatus(line, name string) ([]string, error) {
	rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "VAR "+name+" ups.status ")
	if !ok {
		return nil, fmt.Errorf("%w: %.60q", errUPS, line)
	}
	value, ok := strings.CutPrefix(rest, "\"")
	value, end := strings.CutSuffix(value, "\"")
	if !ok || !end || strings.ContainsAny(value, "\"\\") {
		return nil, fmt.Errorf("%w: %.60q", errUPS, line)
	}
	words := strings.Fields(value)
	if len(words) == 0 {
		return nil, fmt.Errorf("%w: no status", errUPS)
	}
	return words, nil
}

// Watch tells, at once and every five seconds until ctx ends, why the lane
// should take no new traveller: the mains are away. A supply that does not
// answer is a warning, not a reason: the gate has its own.
func (u UPS) Watch(ctx context.Context, tell func(why string), warn func(error)) error {
	tick := time.NewTicker(upsEvery)
	defer tick.Stop()
	for {
		words, err := u.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			warn(err)
		default:
			tell(onBattery(words))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func onBattery(words []string) string {
	why := ""
	for _, w := range words {
		switch w {
		case "LB", "FSD":
			return "the battery is nearly empty: this computer will stop"
		case "OB":
			why = "no mains: the battery carries this computer"
		}
	}
	return why
}
