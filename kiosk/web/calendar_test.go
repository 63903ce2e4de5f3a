package web

import (
	"io"
	"net/http"
	"testing"

	"passage/kiosk"
)

func TestCalendar(t *testing.T) {
	f, p := newPages(t)
	f.view = kiosk.View{Crossing: &kiosk.Crossing{UUID: "u", Stay: kiosk.Stay{Status: "ok", Calendar: "<svg/>"}}}
	if r := call(p, "GET", "/lane/stay/u", ""); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("without signing in: %d", r.StatusCode)
	}
	in := call(p, "POST", "/lane/api/sign-in", `{"officer":"anna","pin":"4711"}`).Cookies()
	r := call(p, "GET", "/lane/stay/u", "", in...)
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "image/svg+xml" || string(b) != "<svg/>" {
		t.Errorf("%d %s %q, %v", r.StatusCode, r.Header.Get("Content-Type"), b, err)
	}
	if r := call(p, "GET", "/lane/stay/other", "", in...); r.StatusCode != http.StatusNotFound {
		t.Errorf("another crossing's: %d", r.StatusCode)
	}
}
