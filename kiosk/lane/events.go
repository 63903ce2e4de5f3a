package lane

import "time"

// Event is something that happened. The set is sealed; all members are in this
// file and are plain values.
type Event interface{ event() }

type (
	// Started is the first event of a process. Transaction is the highest
	// number ever used; OpenIntent is a durable intent that was never settled,
	// or 0; Direction is the one that an officer set last; Waited is for how
	// long somebody had been inside without an officer's word, 0 for nobody.
	Started struct {
		Transaction, OpenIntent Transaction
		Direction               Direction     `json:",omitempty"`
		Waited                  time.Duration `json:",omitempty"`
	}

	// Tick lets time pass. It comes at least every 250 ms.
	Tick struct{}

	// GateSeen is a fresh poll that differs from the one before.
	GateSeen struct{ Gate Gate }
	// GateLost says that the serial link is lost (ABC-LANE §2) or that the
	// gate restarted and must be started up again.
	GateLost struct{}
	// GateRefused is a command's final result other than OK.
	GateRefused struct {
		Command Command
		Class   Class
	}

	// DocumentPlaced and DocumentTaken follow the reader.
	DocumentPlaced struct{}
	DocumentTaken  struct{}
	// DocumentRead is the chip's and the MRZ's verdict. A Reason diverts.
	DocumentRead struct {
		Transaction Transaction
		Finding     Finding
	}
	// Qualified is class, eligibility, register search and cross-gate check
	// together. A Reason diverts.
	Qualified struct {
		Transaction Transaction
		Finding     Finding
	}
	// Answered is one register's answer.
	Answered struct {
		Transaction Transaction
		Check       Check
		Answer      Answer
	}
	// FaceCompared is the live face against the chip's portrait.
	FaceCompared struct {
		Transaction Transaction
		Face        Face
	}

	// Intended, Committed: the disk has it. StorageFailed: it never will.
	Intended      struct{ Transaction Transaction }
	Committed     struct{ Transaction Transaction }
	StorageFailed struct{ Transaction Transaction }

	// Decided is an officer's decision on one case. Signatures counts the
	// different officers who signed; Reference says that a consultation made
	// elsewhere was entered.
	Decided struct {
		Transaction Transaction
		Decision    Decision
		Signatures  uint8
		Reference   bool
	}
	// Renewed is an officer's word that the person inside is looked after.
	Renewed struct{}
	// Ordered is an officer's order to the lane rather than about a case.
	Ordered struct {
		Order      OfficerOrder
		Signatures uint8
		OnSite     bool
	}
	// LeaseChanged follows the 30 s proof that an officer is present.
	LeaseChanged struct{ Held bool }
	// HealthChanged follows what the lane needs before it takes a traveller.
	HealthChanged struct{ Unfit Health }
	// Pressed is the help button.
	Pressed struct{}
	// TimeAsked is the traveller's wish, or an officer's for them, for more time.
	TimeAsked struct{}
)

func (Started) event()        {}
func (Tick) event()           {}
func (GateSeen) event()       {}
func (GateLost) event()       {}
func (GateRefused) event()    {}
func (DocumentPlaced) event() {}
func (DocumentTaken) event()  {}
func (DocumentRead) event()   {}
func (Qualified) event()      {}
func (Answered) event()       {}
func (FaceCompared) event()   {}
func (Intended) event()       {}
func (Committed) event()      {}
func (StorageFailed) event()  {}
func (Decided) event()        {}
func (Renewed) event()        {}
func (Ordered) event()        {}
func (LeaseChanged) event()   {}
func (HealthChanged) event()  {}
func (Pressed) event()        {}
func (TimeAsked) event()      {}

// Finding is what a step of the inspection found. An empty Reason lets the
// traveller go on; Alert calls an officer as well as diverting.
type Finding struct {
	Reason  Reason
	Alert   bool
	Class   TravellerClass
	Confirm bool // an officer must confirm the release (age 12–17, TCN entry)
	Demands Demand
}

// Face is the outcome of the comparison with the chip's portrait.
type Face uint8

const (
	FaceUnknown     Face = iota
	FaceMatch            // at or above the threshold
	FaceNonMatch         // all attempts below it
	FaceQuality          // no attempt was good enough to compare
	FaceAttack           // attack detection calls an officer
	FaceSeveral          // several faces for 3 s
	FaceUnavailable      // camera or engine failed
)

// Decision is one of an officer's five words on a case.
type Decision uint8

const (
	NoDecision Decision = iota
	DecideRelease
	DecideDivert
	DecideHold
	DecideRetryFace
	DecideReferSecondLine
)

// OfficerOrder is an order to the lane.
type OfficerOrder uint8

const (
	NoOrder OfficerOrder = iota
	OrderOpen
	OrderClose
	OrderReview // take a held case back into review
	OrderEvacuate
	OrderEndEvacuate
	OrderClearAlarms
	OrderClearFaults
	OrderMaintenance
	OrderEndMaintenance
	OrderCloseLeaf // close behind a bag that was taken out
	OrderMoveEntryOpen
	OrderMoveEntryClose
	OrderMoveExitOpen
	OrderMoveExitClose
	OrderMoreTime // for the traveller, as they may ask for it themselves
	OrderDirectionEntry
	OrderDirectionExit
)

// Direction is which way across the border the lane serves. People walk from
// the entry leaf to the exit leaf either way: the gate knows no other.
type Direction uint8

// The directions; the first one is what the lane was configured with.
const (
	Configured Direction = iota
	TowardsEntry
	TowardsExit
)

// Direction is what an order sets; Configured for any other order.
func (o OfficerOrder) Direction() Direction {
	switch o {
	case OrderDirectionEntry:
		return TowardsEntry
	case OrderDirectionExit:
		return TowardsExit
	}
	return Configured
}

// Class says what a refusal of the gate asks for (ABC-LANE §11 R3).
type Class uint8

const (
	ClassLater   Class = iota + 1 // 22, 24, 25: ask again when the gate has moved
	ClassOfficer                  // 21, 23, ≥ 32: a person must look
	ClassService                  // 16–20 and a dead link: out of service
)

// Cause says who put the lane on hold; it decides the ways out.
type Cause uint8

const (
	NotHeld   Cause = iota
	ByOfficer       // an officer's `hold`
	ByHelp          // the help button
	ByDecide        // a hit, or the register's face differs
	ByFailure       // restart, link, fallback, fault, camera, storage: only back out
)

// Health is a set of reasons not to take a new traveller.
type Health uint16

const (
	UnfitCamera Health = 1 << iota
	UnfitMatcher
	UnfitReader
	UnfitStorage
	UnfitTrust
	UnfitClock
	UnfitRegister
	UnfitSensor
	UnfitStopping // a clean stop has been asked for
	UnfitPower    // no mains: a battery carries the lane's computer
	UnfitTime     // nobody disciplines the computer's clock
)

// reason is why a traveller is diverted by what the lane lacks.
func (h Health) reason() Reason {
	switch {
	case h&(UnfitCamera|UnfitMatcher) != 0:
		return CAMERA
	case h&UnfitRegister != 0:
		return DB_OFF
	}
	return TIMEOUT
}
