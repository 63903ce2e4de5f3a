package devices

import (
	"cmp"
	"context"
	"errors"
	"slices"

	zone "passage/drivers/emrtd/mrz"
	"passage/matcher"
)

// ErrNoZone says that a page shows no machine readable zone that its check
// digits allow.
var ErrNoZone = errors.New("devices: no machine readable zone on the page")

// Page reads the machine readable zone from the picture of a page, beside or
// instead of a serial reader.
type Page struct{ Program matcher.Program }

// Read returns what the picture, JPEG, JPEG 2000 or PNG, may say, likeliest
// first, at most 8: the next ones are for a chip that refuses the first one's
// key. ErrNoZone asks for another picture.
func (p Page) Read(ctx context.Context, image []byte) ([]zone.MRZ, error) {
	seen, err := p.Program.Page(ctx, image)
	if err != nil {
		return nil, err
	}
	var list []zone.MRZ
	var why error
	for _, z := range seen {
		lines := make([][][]zone.Guess, len(z.Lines))
		for i, l := range z.Lines {
			for _, place := range l {
				var guesses []zone.Guess
				for _, g := range place {
					guesses = append(guesses, zone.Guess(g))
				}
				lines[i] = append(lines[i], guesses)
			}
		}
		found, err := zone.Resolve(lines, 8)
		if err != nil {
			why = cmp.Or(why, err)
		}
		list = append(list, found...)
	}
	if len(list) == 0 {
		return nil, errors.Join(ErrNoZone, why)
	}
	// Part of a zone may look like a smaller one; only the whole one has all
	// its digits right.
	slices.SortStableFunc(list, func(a, b zone.MRZ) int { return wrong(a) - wrong(b) })
	return list[:min(len(list), 8)], nil
}

func wrong(m zone.MRZ) int {
	if m.Composite() {
		return 0
	}
	return 1
}
