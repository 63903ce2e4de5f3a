package lane

// Reason is why a traveller was not released by the machine. Reasons go to
// journals and officers, never to a traveller's screen.
type Reason uint8

// The reasons by the words that officers and statistics use.
const (
	NONE Reason = iota
	AGE
	NAT
	VISA
	RP
	FAMILY
	DOC_TYPE
	DOC_EXPIRED
	MRZ
	NO_CHIP
	CHIP_READ
	PA_UNDET
	PA_FAIL
	CHIP_AUTH
	EES_NOT_REG
	EES_AMBIG
	EES_FACE
	STAY
	OVERSTAY
	ENTRIES
	ETIAS
	STAMP
	ALERT
	DB_OFF
	FACE
	PAD
	MULTI
	LUGGAGE
	TIMEOUT
	XGATE
	RANDOM
	OFFICER
	DOC_LEFT
	HELP
	CAMERA
	TURNED
	FIRE
	reasons
)

// TravellerClass is the class of domain table 2, first match top-down.
type TravellerClass uint8

const (
	ClassUnknown TravellerClass = iota
	DIPLO
	REFUGEE
	CREW
	TCN_RESIDENT
	FAM_CARD
	FAM_NOCARD
	EU
	TCN_MICRO
	TCN_LISTED
	TCN_VISA
	TCN_EXEMPT_OTHER
	classes
)
