package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"passage/drivers/camera"
	"passage/kiosk/config"
	"passage/kiosk/fleet"
	"passage/kiosk/host"
)

// lookClock asks the kernel whether somebody sets its clock.
func lookClock(_ context.Context, c config.Config) Finding {
	k, err := host.ReadClock()
	if err != nil {
		return bad(err, "look at the kernel's log: adjtimex must be allowed to read")
	}
	return clockFinding(k, c.Host.Clock)
}

// clockFinding judges a clock; needed says that the lane closes for a wrong one.
func clockFinding(k host.Clock, needed bool) Finding {
	const todo = "install chrony, give it the site's own servers, and see chronyc tracking"
	why := k.Wrong()
	switch {
	case why != "" && needed:
		return bad(errors.New(why), todo)
	case why != "":
		return warn(todo+"; then set host.clock to synchronised", "%s", why)
	case !needed:
		return warn("set host.clock to synchronised, so that the lane closes when nobody sets it any more", "synchronised, at most %v off", k.MaxError.Round(time.Millisecond))
	}
	return good("synchronised, at most %v off", k.MaxError.Round(time.Millisecond))
}

// lookPower asks the uninterruptible power supply, and for the port of the
// figures.
func lookPower(ctx context.Context, c config.Config) Finding {
	if c.Host.UPS == nil {
		return good("no UPS is configured: a power cut ends a crossing as a case")
	}
	words, err := c.Host.UPS.Status(ctx)
	what := strings.Join(words, " ")
	switch {
	case err != nil:
		return bad(err, "see that upsd runs and that host.ups is address:port/name as upsc -l lists it")
	case slices.Contains(words, "LB"):
		return bad(fmt.Errorf("%s says %s", c.Host.UPS.Name, what), "the battery is low: bring back the mains")
	case slices.Contains(words, "OB"):
		return bad(fmt.Errorf("%s says %s", c.Host.UPS.Name, what), "it runs on battery and the lane takes nobody: bring back the mains")
	case slices.Contains(words, "RB"):
		return warn("replace the battery", "%s says %s", c.Host.UPS.Name, what)
	}
	return good("%s says %s", c.Host.UPS.Name, what)
}

// lookConsole shakes hands with the site's server as kioskd does, and sends
// nothing.
func lookConsole(ctx context.Context, c config.Config) Finding {
	const again = "enrol the lane again: consoled enrol on the site's server, passage lane enrol here"
	if c.Fleet.Dir == "" {
		return good("no site is configured: officers sign in on the lane's own page")
	}
	to, err := fleet.Load(c.Fleet.Dir, c.Fleet.Renewed)
	if err != nil {
		return bad(err, again)
	}
	leaf, err := to.Leaf()
	if err != nil {
		return bad(err, again)
	}
	if time.Now().After(leaf.NotAfter) {
		return bad(fmt.Errorf("the lane's certificate ended on %s", leaf.NotAfter.Format(time.DateOnly)), again)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		return bad(err, again)
	}
	within, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	switch err := fleet.Greet(within, to); {
	case errors.Is(err, fleet.ErrShutOut):
		return bad(fmt.Errorf("%s: %w", u.Host, err), "ask who shut it out, and why; then "+again)
	case foreign(err):
		return bad(fmt.Errorf("%s: %w", u.Host, err), "another site's console answers there, or a new one at this site: look at site.url in "+c.Fleet.Dir+", or "+again)
	case err != nil:
		return bad(fmt.Errorf("%s: %w", u.Host, err), "see that consoled runs, and that this machine reaches it; without it the lane works on with officers on its own page")
	}
	what := fmt.Sprintf("%s answers", u.Host)
	if time.Until(leaf.NotAfter) < certificateSoon {
		return warn("see in kioskd's log why the lane has not renewed it, or "+again, "%s; the lane's certificate ends on %s", what, leaf.NotAfter.Format(time.DateOnly))
	}
	return good("%s; the lane's certificate ends on %s", what, leaf.NotAfter.Format(time.DateOnly))
}

// foreign says whether somebody answered whose certificate another authority
// signed.
func foreign(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

// Limits of what a picture may be like, whoever stands before the camera.
const (
	darkest   = 40  // mean of 0 to 255
	brightest = 215 //
	burnt     = 0.2 // of the pixels at the upper end
	softest   = 3   // by how much, of 255, the sharpest hundredth of a picture bends at least; one out of focus comes to 2
)

// light says what to do about a picture's exposure and focus, or nothing.
func light(f camera.Frame) (todo, seen string) {
	if len(f.Pixels) < 3*f.Width*f.Height || f.Width < 3 || f.Height < 1 {
		return "", ""
	}
	sum, high, n := 0, 0, 0
	var bends [2*255 + 1]int // how often the grey of a pixel is so far from the line between its neighbours
	grey := func(i int) int { return (int(f.Pixels[3*i]) + 2*int(f.Pixels[3*i+1]) + int(f.Pixels[3*i+2])) / 4 }
	for y := 0; y < f.Height; y++ {
		for x := 1; x+1 < f.Width; x++ {
			i := y*f.Width + x
			g := grey(i)
			sum += g
			if g >= 250 {
				high++
			}
			d := 2*g - grey(i-1) - grey(i+1)
			bends[max(d, -d)]++
			n++
		}
	}
	mean, sharp := sum/n, len(bends)-1
	for left := n / 100; sharp > 0 && left >= bends[sharp]; sharp-- {
		left -= bends[sharp]
	}
	switch {
	case mean < darkest:
		return "switch the lane's light on, or open the camera's aperture", fmt.Sprintf("too dark: brightness %d of 255", mean)
	case mean > brightest || float64(high) > burnt*float64(n):
		return "shade the camera or close its aperture", fmt.Sprintf("too bright: brightness %d of 255, %d %% burnt out", mean, 100*high/n)
	case sharp < softest:
		return "clean and focus the lens at the marks, with somebody standing there", fmt.Sprintf("out of focus: the sharpest hundredth bends by %d of 255, %d at least", sharp, softest)
	}
	return "", ""
}
