package devices

import (
	"context"
	"time"

	"passage/eesclient/stay"
	"passage/kiosk/policy"
)

// pictureWithin is how long the officer's picture of a stay may take.
const pictureWithin = time.Second

// computed is the calculator's result, and its picture.
func computed(stays []stay.Stay, on stay.Day, v stay.Visa, dir policy.Direction) (stay.Result, string) {
	exit := dir == policy.Exit
	compute := stay.Entry
	if exit {
		compute = stay.Exit
	}
	r := compute(stays, on, v)
	return r, stay.Calendar(stay.Explain(r, stays, on, v, exit), on)
}

// calendar draws the days that the register's answer rests on, from the file's
// stays; "" if the register does not say.
func (r *Register) calendar(ctx context.Context, file string, dir policy.Direction, day time.Time) string {
	f, err := r.client.File(ctx, file)
	if err != nil {
		return ""
	}
	stays := make([]stay.Stay, len(f.Stays))
	for i, s := range f.Stays {
		stays[i].First = stay.On(s.First.Time)
		if s.Last != nil {
			stays[i].Last = stay.On(s.Last.Time)
		}
	}
	var v stay.Visa
	if f.VisaEnd != nil {
		v.End = stay.On(f.VisaEnd.Time)
	}
	_, picture := computed(stays, stay.On(day), v, dir)
	return picture
}
