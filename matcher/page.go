package matcher

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Guess is what a place in a machine readable zone may hold; Cost is the
// negative logarithm of its probability, 0 or more.
type Guess struct {
	Char byte
	Cost float64
}

// Zone is a machine readable zone as a page's picture may show it: for each
// place of each line what it may hold, likeliest first. Cost is the mean cost
// of the likeliest ones; a legible zone has less than about 0.3. Whether it is
// a zone at all its check digits tell, which are not looked at here.
type Zone struct {
	Lines [][][]Guess
	Cost  float64
}

// Limits of an answer.
const (
	mostZones  = 3
	mostLines  = 3
	mostPlaces = 44
	// Guesses is how many are told for each place.
	Guesses   = 6
	guessSize = 3 // character, cost in thousandths
)

// zonesHeader is the header of KindZones. The payload holds the guesses of all
// places of all lines.
type zonesHeader struct {
	Zones []zoneHeader `cbor:"zones"`
}

type zoneHeader struct {
	Lines  int     `cbor:"lines"`
	Places int     `cbor:"places"`
	Cost   float64 `cbor:"cost"`
}

// WriteZones sends what a page may say.
func WriteZones(w io.Writer, zones []Zone) error {
	var h zonesHeader
	var b []byte
	for _, z := range zones {
		if len(z.Lines) == 0 {
			return fmt.Errorf("%w: a zone without lines", ErrMessage)
		}
		h.Zones = append(h.Zones, zoneHeader{len(z.Lines), len(z.Lines[0]), z.Cost})
		for _, l := range z.Lines {
			if len(l) != len(z.Lines[0]) {
				return fmt.Errorf("%w: lines of %d and %d places", ErrMessage, len(l), len(z.Lines[0]))
			}
			for _, place := range l {
				if len(place) != Guesses {
					return fmt.Errorf("%w: %d guesses", ErrMessage, len(place))
				}
				for _, g := range place {
					b = append(b, g.Char)
					b = binary.BigEndian.AppendUint16(b, uint16(min(max(0, math.Round(1000*g.Cost)), math.MaxUint16)))
				}
			}
		}
	}
	return Write(w, KindZones, h, b)
}

// ReadZones receives what WriteZones sent, or the Problem that came instead.
func ReadZones(r io.Reader) ([]Zone, error) {
	var h zonesHeader
	b, err := Read(r, KindZones, &h)
	if err != nil {
		return nil, err
	}
	if len(h.Zones) > mostZones {
		return nil, fmt.Errorf("%w: %d zones", ErrMessage, len(h.Zones))
	}
	var zones []Zone
	for _, z := range h.Zones {
		if z.Lines < 2 || z.Lines > mostLines || z.Places < 30 || z.Places > mostPlaces || z.Cost < 0 || len(b) < z.Lines*z.Places*Guesses*guessSize {
			return nil, fmt.Errorf("%w: a zone of %d lines of %d places", ErrMessage, z.Lines, z.Places)
		}
		out := Zone{make([][][]Guess, z.Lines), z.Cost}
		for i := range out.Lines {
			out.Lines[i] = make([][]Guess, z.Places)
			for j := range out.Lines[i] {
				place := make([]Guess, Guesses)
				for k := range place {
					place[k] = Guess{b[0], float64(binary.BigEndian.Uint16(b[1:])) / 1000}
					if c := b[0]; !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c == '<') {
						return nil, fmt.Errorf("%w: a character of code %d", ErrMessage, c)
					}
					b = b[guessSize:]
				}
				out.Lines[i][j] = place
			}
		}
		zones = append(zones, out)
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the zones", ErrMessage, len(b))
	}
	return zones, nil
}

// pageWithin is what reading one page may take by the clock.
const pageWithin = 15 * time.Second

// Page looks for machine readable zones in the picture of a page, JPEG, JPEG
// 2000 or PNG, in a process that does nothing else and then is gone. It
// returns at most one zone of each shape, the most legible first; none is no
// error. A Problem means that the image was refused, ErrWorker that it cost
// the process its life.
func (p Program) Page(ctx context.Context, image []byte) ([]Zone, error) {
	if len(image) > MaxImage {
		return nil, &Problem{Text: fmt.Sprintf("an image file of %d bytes, at most %d are accepted", len(image), MaxImage)}
	}
	w, err := p.start(ctx, "page")
	if err != nil {
		return nil, err
	}
	defer w.end()
	if err := w.greet("page"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	late := time.AfterFunc(pageWithin, w.stop)
	defer late.Stop()
	err = Write(w.in, KindImage, struct{}{}, image)
	var zones []Zone
	if err == nil {
		zones, err = ReadZones(w.out)
	}
	switch refused := (*Problem)(nil); {
	case err == nil || errors.As(err, &refused):
		return zones, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w: page: %w", ErrWorker, err)
}
