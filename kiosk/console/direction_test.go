package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"passage/kiosk/officer"
)

// The direction of a lane is a supervisor's to change, with the passkey once
// more; more time is anybody's to give who watches.
func TestWhoChangesTheDirection(t *testing.T) {
	w, anna, _ := ready(t)
	sam := w.browser()
	sam.register("sam", "Sam Saal", officer.Supervisor)
	w.roster()
	if s := sam.signIn("sam"); s != http.StatusOK {
		t.Fatalf("sign-in: %d", s)
	}
	until(t, "the lane knows the supervisor", func() bool {
		var raw []byte
		s := sam.call("POST", "/api/present", sam.envelope(officer.Word{Kind: officer.Present, Lanes: []string{"E1"}}), &raw)
		return s == http.StatusOK && strings.Contains(string(raw), `"E1":"accepted"`) // it may have to wait: words are paced
	})
	for _, c := range []struct {
		name  string
		b     *browser
		order string
		fresh bool
		want  int
	}{
		{"a guard", anna, "direction_exit", true, http.StatusForbidden},
		{"a supervisor without the passkey", sam, "direction_exit", false, http.StatusForbidden},
		{"a supervisor", sam, "direction_exit", true, http.StatusOK},
		{"more time by a guard", anna, "more_time", false, http.StatusOK},
	} {
		var s int
		var raw []byte
		until(t, c.name+" is heard", func() bool { // words are paced
			e := c.b.envelope(officer.Word{Lane: "E1", Kind: officer.Order, Value: c.order})
			if c.fresh {
				var err error
				if e.Fresh, err = c.b.passkey.Get(w.origin(), officer.FreshChallenge(e.Word)); err != nil {
					t.Fatal(err)
				}
			}
			s = c.b.call("POST", "/api/word/E1", e, &raw)
			return s != http.StatusTooManyRequests
		})
		if s != c.want {
			t.Errorf("%s: %d %s", c.name, s, raw)
		}
	}
	if got := w.desk.log(); !slices.Equal(got, []string{"sam direction_exit", "anna more_time"}) {
		t.Errorf("the lane did %q", got)
	}
}
