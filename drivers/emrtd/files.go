package emrtd

import (
	"time"

	"passage/drivers/emrtd/lds"
)

// Verify judges files that were read before as Read judges those of a chip:
// the security object, and data groups by number. Nothing proves the chip
// here, so that the best verdict is CopyPossible; without DG1 and DG2 it is
// Incomplete. Trust is required of the options, Now is used, the rest is not.
func Verify(sod []byte, groups map[int][]byte, o Options) *Document {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r := &reading{o: o, doc: &Document{Files: map[string][]byte{lds.SOD.Name: sod}, Access: "none"}, began: time.Now()}
	p := r.passive(sod)
	for n := 1; n <= 16; n++ {
		b, given := groups[n]
		if given {
			r.doc.Files[lds.Group(n).Name] = b
			p.group(n, b)
		} else if p.object != nil && p.object.Hashes[n] != nil {
			r.check(lds.Group(n).Name+" hash", Undetermined, "the file is not given")
		}
	}
	for _, n := range []int{1, 2} {
		if _, given := groups[n]; !given {
			p.missing = append(p.missing, n)
		}
	}
	if b, given := groups[1]; !given {
		r.check("issuing state", Undetermined, "DG1 would tell")
	} else {
		r.zone(p, b)
	}
	if b, given := groups[2]; given {
		if err := r.portrait(b); err != nil {
			p.missing = append(p.missing, 2)
			r.check("portrait", Failed, "%v", err)
		}
	}
	r.doc.Verdict = p.outcome(true, proof{})
	return r.doc
}
