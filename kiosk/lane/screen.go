package lane

// Screen is what the traveller is shown. Every divert shows SeeOfficer: the
// screen knows no reason.
type Screen uint8

// The screens by their numbers in the texts, S1 to S13. S6 (come closer), S14
// and S15 are shown by the page itself.
const (
	ScreenPlace     Screen = iota + 1 // S1 place document
	ScreenReading                     // S2 reading, do not remove
	ScreenEnter                       // S3 remove document, enter
	ScreenStand                       // S4 stand on the marks
	ScreenLook                        // S5 look at the camera
	ScreenDistance                    // S6
	ScreenOne                         // S7 one person only
	ScreenLuggage                     // S8 take luggage
	ScreenWait                        // S9 please wait
	ScreenGo                          // S10 go
	ScreenOfficer                     // S11 please see the officer
	ScreenClosed                      // S12
	ScreenEmergency                   // S13
)

// Screen returns what the traveller sees in s.
func (s State) Screen() Screen {
	switch s.Phase {
	case Idle:
		return ScreenPlace
	case DocRead, Eligible:
		return ScreenReading
	case TakeDoc, Enter:
		return ScreenEnter
	case Sealing:
		return ScreenStand
	case Inside, Decide, Intend:
		return ScreenLook
	case WaitDB, Review, CheckEmpty, Commit:
		return ScreenWait
	case Release, Clearing:
		return ScreenGo
	case DivertOut, DivertIn, Returning, Hold:
		return ScreenOfficer
	case Multi:
		return ScreenOne
	case Luggage:
		return ScreenLuggage
	case Fallback, Evacuate:
		return ScreenEmergency
	case Fault:
		if s.Gate.Occupied {
			return ScreenEmergency
		}
	}
	return ScreenClosed
}
