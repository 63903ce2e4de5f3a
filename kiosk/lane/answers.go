package lane

// Check is one entry of the decision vector that a register fills.
type Check uint8

const (
	CheckSIS     Check = iota // SIS persons and documents
	CheckSLTD                 // Interpol stolen and lost travel documents
	CheckFPR                  // national persons file
	CheckLost                 // national lost and stolen documents
	CheckFile                 // the register's individual file
	CheckRefFace              // live face against the register's reference
	CheckStay                 // authorised stay
	CheckETIAS                // travel authorisation
	Checks
)

// Demand is the set of checks that are mandatory for a traveller.
type Demand uint8

// Demands builds a set.
func Demands(checks ...Check) Demand {
	var d Demand
	for _, c := range checks {
		d |= 1 << c
	}
	return d
}

// Has says whether c is in the set.
func (d Demand) Has(c Check) bool { return d&(1<<c) != 0 }

// Answer is what a register said. Missing is not clear: the zero value is
// "still waiting", and what never arrives stays it.
type Answer uint8

const (
	Pending       Answer = iota
	Clear                // consulted, nothing
	NotApplicable        // the class is exempt
	LocalCopy            // clear in a signed extract of at most 24 h
	HitAction            // arrest, refusal, missing, document stolen
	HitInquiry           // inquiry or specific check
	Possible             // weak name match
	NotConsulted         // off line or too late
	Malformed            // an answer that could not be read
	FaceDiffers          // the register's reference is another face
	FaceNoUse            // no reference, or too poor to compare
	Exhausted            // no day of stay is left
	Overstayed           // more days than allowed
	Undetermined         // the calculator needs an officer
	Unauthorised         // no valid travel authorisation
	answers
)

// Vector is everything that a decision rests on.
type Vector struct {
	Answers [Checks]Answer
	Demands Demand
	Confirm bool // an officer must confirm
	Face    Face
	Oldest  Instant // when the first answer came; 0 if none did
}

func (a Answer) adverse() bool {
	switch a {
	case HitAction, HitInquiry, Possible, FaceDiffers:
		return true
	}
	return false
}

// way is what a vector asks the lane to do.
type way uint8

const (
	wayRelease way = iota
	wayReview
	wayDivert
	wayWait
	wayHold
)

// effectOf is what one mandatory answer asks for.
//
//	answer                      way      reason
//	Clear NotApplicable Local   release  -
//	HitAction                   hold     ALERT
//	FaceDiffers FaceNoUse       hold     EES_FACE
//	Pending                     wait     DB_OFF (when the wait ends)
//	NotConsulted Malformed      divert   DB_OFF
//	Exhausted                   divert   STAY
//	Overstayed                  divert   OVERSTAY
//	Unauthorised                divert   ETIAS
//	HitInquiry Possible         review   ALERT
//	Undetermined                review   STAY
var effectOf = [answers]struct {
	way    way
	reason Reason
}{
	Pending:       {wayWait, DB_OFF},
	Clear:         {wayRelease, NONE},
	NotApplicable: {wayRelease, NONE},
	LocalCopy:     {wayRelease, NONE},
	HitAction:     {wayHold, ALERT},
	HitInquiry:    {wayReview, ALERT},
	Possible:      {wayReview, ALERT},
	NotConsulted:  {wayDivert, DB_OFF},
	Malformed:     {wayDivert, DB_OFF},
	FaceDiffers:   {wayHold, EES_FACE},
	FaceNoUse:     {wayHold, EES_FACE},
	Exhausted:     {wayDivert, STAY},
	Overstayed:    {wayDivert, OVERSTAY},
	Undetermined:  {wayReview, STAY},
	Unauthorised:  {wayDivert, ETIAS},
}

// judge evaluates the whole vector: the gravest way of all mandatory checks,
// and the first check's reason among equals. A vector that demands nothing
// decides nothing.
func (v Vector) judge() (way, Reason) {
	worst, reason := wayRelease, NONE
	if v.Demands == 0 {
		return wayDivert, DB_OFF
	}
	for c := range Checks {
		if !v.Demands.Has(c) {
			continue
		}
		if e := effectOf[v.Answers[c]]; e.way > worst {
			worst, reason = e.way, e.reason
		}
	}
	if worst == wayRelease && v.Face != FaceMatch {
		return wayReview, FACE
	}
	if worst == wayRelease && v.Confirm {
		return wayReview, OFFICER
	}
	return worst, reason
}

// fresh says whether the oldest answer may still carry a release.
func (v Vector) fresh(now Instant, r Rules) bool {
	return v.Demands != 0 && v.Oldest > 0 && now-v.Oldest <= Instant(r.Fresh)
}

// releasable says whether an officer's `release` in Review is within the
// override table:
//
//	face below threshold, quality cause   one officer, after looking
//	attack alarm, or a person's hit       two officers
//	not consulted                         one officer with a reference
//	document stolen, other register face  never at the gate
//	no stay left, overstay                never at the gate
//	no travel authorisation               never at the gate
//	answer still missing, or too old      never
func releasable(v Vector, d Decided, now Instant, r Rules) bool {
	need := uint8(1)
	switch v.Face {
	case FaceAttack:
		need = 2
	case FaceUnknown, FaceUnavailable, FaceSeveral:
		return false // nobody has compared this face
	}
	for c := range Checks {
		if !v.Demands.Has(c) {
			continue
		}
		switch v.Answers[c] {
		case Clear, NotApplicable, LocalCopy, Undetermined:
		case HitAction:
			if c == CheckSLTD || c == CheckLost {
				return false
			}
			need = 2
		case HitInquiry, Possible:
			need = 2
		case NotConsulted, Malformed:
			if !d.Reference || c == CheckRefFace || c == CheckStay || c == CheckFile {
				return false
			}
		default:
			return false
		}
	}
	return d.Signatures >= need && v.fresh(now, r)
}

// Signatures returns how many officers must sign a release of v: 1, 2, or 0
// if no number is enough.
func Signatures(v Vector, now Instant, r Rules) uint8 {
	for n := uint8(1); n <= 2; n++ {
		if releasable(v, Decided{Decision: DecideRelease, Signatures: n, Reference: true}, now, r) {
			return n
		}
	}
	return 0
}
