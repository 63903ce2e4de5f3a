package lane

import "testing"

// Who has no travel authorisation is diverted, and no number of officers
// releases them at the gate: what the law excepts, the desk decides. An answer
// to what is not demanded decides nothing.
func TestNoTravelAuthorisation(t *testing.T) {
	v := Vector{Demands: Demands(CheckSIS, CheckETIAS), Face: FaceMatch, Oldest: 1}
	v.Answers[CheckSIS] = Clear
	for answer, want := range map[Answer]struct {
		way        way
		reason     Reason
		signatures uint8
	}{
		Clear:        {wayRelease, NONE, 1},
		Pending:      {wayWait, DB_OFF, 0},
		NotConsulted: {wayDivert, DB_OFF, 1}, // by an officer who has asked elsewhere
		Unauthorised: {wayDivert, ETIAS, 0},
	} {
		v.Answers[CheckETIAS] = answer
		way, reason := v.judge()
		if n := Signatures(v, 2, DefaultRules()); way != want.way || reason != want.reason || n != want.signatures {
			t.Errorf("%v: way %d, reason %v, %d signatures; want %+v", answer, way, reason, n, want)
		}
	}
	v.Answers[CheckETIAS], v.Demands = Unauthorised, Demands(CheckSIS)
	if way, reason := v.judge(); way != wayRelease || reason != NONE {
		t.Errorf("not demanded: way %d, reason %v", way, reason)
	}
}
