package lane

// Effect is something to be done. The set is sealed; all members are in this
// file and are plain values. Effects of one step are carried out in order.
type Effect interface{ effect() }

type (
	// Order sends a command to the gate. Long holds the leaf open for LongHold,
	// for a traveller who asked for more time.
	Order struct {
		Command Command
		Long    bool `json:",omitempty"`
	}

	// Read starts reading the document and, as soon as the MRZ's check digits
	// hold, the consultations. It ends in DocumentRead and several Answered.
	Read struct{ Transaction Transaction }
	// Qualify ends in Qualified.
	Qualify struct{ Transaction Transaction }
	// Capture starts the face comparison; it ends in FaceCompared.
	Capture struct{ Transaction Transaction }

	// WriteIntent writes the intent; Intended comes back when it is durable.
	WriteIntent struct{ Transaction Transaction }
	// Record writes the crossing and its record in one durable step.
	Record struct{ Transaction Transaction }
	// Void writes that the person is proven not to have crossed.
	Void struct{ Transaction Transaction }
	// OpenCase writes a reconciliation case for an officer. The store keeps
	// the first of Record, Void and OpenCase for a transaction.
	OpenCase struct {
		Transaction Transaction
		Why         CaseReason
	}

	// Refer puts the case before an officer.
	Refer struct {
		Transaction Transaction
		Reason      Reason
	}
	// Remind says on the screen that the document is still there.
	Remind struct{ Transaction Transaction }
	// Alert calls an officer.
	Alert struct {
		Transaction Transaction
		Kind        AlertKind
		Priority    Priority
	}
	// Conclude ends a transaction: all that was kept in memory goes.
	Conclude struct {
		Transaction Transaction
		Outcome     Outcome
		Reason      Reason
	}
)

func (Order) effect()       {}
func (Read) effect()        {}
func (Qualify) effect()     {}
func (Capture) effect()     {}
func (WriteIntent) effect() {}
func (Record) effect()      {}
func (Void) effect()        {}
func (OpenCase) effect()    {}
func (Refer) effect()       {}
func (Remind) effect()      {}
func (Alert) effect()       {}
func (Conclude) effect()    {}

// Command is a command to the gate in the lane's own words; the driver's
// table turns it into ABC-LANE §7 codes.
type Command uint8

const (
	NoCommand Command = iota
	OpenEntry
	OpenExit
	OpenReturn
	CloseAll
	SafeMode  // SET_MODE(SAFE_CLOSED)
	ReadyMode // SET_MODE(READY)
	Maintenance
	ClearAlarms
	ClearCrowd // CLEAR_ALARM of tail-gating, several persons, intrusion, dwell and watchdog only
	ClearFaults
	EvacuateGate
	EndEvacuate
	MoveEntryOpen
	MoveEntryClose
	MoveExitOpen
	MoveExitClose
)

// Outcome is how a transaction ended.
type Outcome uint8

const (
	NoOutcome Outcome = iota
	OutcomeReleased
	OutcomeDivertedOut
	OutcomeDivertedIn
	OutcomeEvacuated
	OutcomeOutOfService
)

// CaseReason says why a reconciliation case was opened.
type CaseReason uint8

const (
	NoCase     CaseReason = iota
	PowerCut              // INTENT found at start, neither CROSSED nor VOID
	LinkLost              // the gate was not heard while the exit was open
	GateBroken            // FAULT while the exit was open
	GateFreed             // FALLBACK without crossing evidence
	Evacuated             // EVACUATE while the exit was open
	NoEvidence            // the mantrap is empty and nobody was seen to leave
	Disagree              // sensors and CROSSED event contradict each other
	SomeoneIn             // evidence of a crossing, and yet somebody is inside
	WrongWay              // somebody came in by the exit
	Storage               // the record could not be written
	Unexpected            // the gate was in a state it should not have been in
)

// AlertKind says what an officer is called for.
type AlertKind uint8

const (
	NoAlert AlertKind = iota
	AlertHit
	AlertDocument // clone, forged, revoked: evidence before the door opened
	AlertFace
	AlertMulti
	AlertLuggage
	AlertHelp
	AlertDwell
	AlertCamera
	AlertDocLeft
	AlertReview // a review has waited too long
	AlertHold   // a hold has waited too long
	AlertDoor   // a leaf is blocked or will not move
	AlertForced
	AlertWrongWay
	AlertIntrusion
	AlertLink
	AlertFault
	AlertFallback
	AlertEvacuate
	AlertState
	AlertStorage
	AlertTurned
)

// Priority orders alerts.
type Priority uint8

const (
	Notice Priority = iota + 1
	Urgent
)
