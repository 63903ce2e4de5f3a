package kiosk

import (
	"strings"
	"time"
)

// chain are the steps of a crossing that cannot overlap, in turn: each needs
// what the one before found or moved. What is not among them (consultations,
// the search, eligibility) can be done beside one of them.
var chain = []string{
	"mrz", "chip.", "portrait", // the chip's keys are in the MRZ, the portrait is decoded when it is authentic
	"lane.TAKE_DOC", "lane.ENTER", "lane.SEALING", // people and leaves
	"face", "consult.REF_FACE", // the register compares the chosen live picture
	"lane.REVIEW", "lane.HOLD", "lane.MULTI", // an officer decides
	"intent", "lane.RELEASE", "lane.CLEARING", "lane.DIVERT_IN", "lane.RETURNING", "record",
}

// CriticalPath is the time of the longest chain of steps that could not
// overlap: no controller could have been faster with the same people and
// devices.
func CriticalPath(spans []Span) time.Duration {
	var sum time.Duration
	for _, s := range spans {
		for _, name := range chain {
			if s.Name == name || strings.HasSuffix(name, ".") && strings.HasPrefix(s.Name, name) {
				sum += s.End - s.Start
				break
			}
		}
	}
	return sum
}
