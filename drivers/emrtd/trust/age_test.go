package trust

import (
	"strings"
	"testing"
	"time"

	"passage/drivers/emrtd/pki"
)

// Lists age: after three days it is said, after seven travellers in the
// register are diverted.
func TestAges(t *testing.T) {
	now := time.Date(2026, 6, 20, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		age  time.Duration
		old  bool
		says string // "" for nothing
	}{
		{time.Hour, false, ""},
		{Aging, false, ""},
		{Aging + time.Hour, false, "73 hours old: import newer ones within 95 hours"},
		{Old, false, "within 0 hours"},
		{Old + time.Minute, true, "7 days old: travellers of the EES classes are diverted"},
	} {
		s := &pki.Store{Newest: now.Add(-c.age)}
		if got := IsOld(s, now); got != c.old {
			t.Errorf("after %v old is %v", c.age, got)
		}
		if got := strings.Join(Notices(s, now), "; "); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("after %v officers are told %q, want %q", c.age, got, c.says)
		}
	}
	if s := (&pki.Store{}); IsOld(s, now) || len(Notices(s, now)) != 0 {
		t.Error("lists whose age nobody told are old")
	}
}
