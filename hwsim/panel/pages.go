package panel

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"passage/hwsim/gate"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
	"passage/hwsim/persona"
	"passage/hwsim/register"
	"passage/kiosk/pages"
)

//go:embed static
var static embed.FS

// Handler is the panel of lanes: its page, and the interface that the page and
// an integrator's programs use. docs/integrators.md describes it.
func Handler(lanes ...*Lane) (http.Handler, error) {
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, fmt.Errorf("panel: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "panel.html") })
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(files)))
	mux.HandleFunc("GET /api/catalogue", func(w http.ResponseWriter, _ *http.Request) {
		c, err := catalogue(lanes)
		if err != nil {
			pages.Problem(w, http.StatusInternalServerError, err.Error())
			return
		}
		pages.Reply(w, http.StatusOK, c)
	})
	mux.HandleFunc("GET /api/lanes", func(w http.ResponseWriter, _ *http.Request) {
		list := []View{}
		for _, l := range lanes {
			list = append(list, l.Look())
		}
		pages.Reply(w, http.StatusOK, list)
	})
	on := func(pattern string, f func(*Lane, http.ResponseWriter, *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			i := slices.IndexFunc(lanes, func(l *Lane) bool { return l.Name == r.PathValue("lane") })
			if i < 0 {
				pages.Problem(w, http.StatusNotFound, fmt.Sprintf("panel: no lane is called %q", r.PathValue("lane")))
				return
			}
			f(lanes[i], w, r)
		})
	}
	on("GET /api/lanes/{lane}", func(l *Lane, w http.ResponseWriter, _ *http.Request) { pages.Reply(w, http.StatusOK, l.Look()) })
	on("GET /api/lanes/{lane}/events", (*Lane).events)
	on("GET /api/lanes/{lane}/trace", (*Lane).lines)
	on("GET /api/lanes/{lane}/camera", (*Lane).picture)
	on("POST /api/lanes/{lane}/do", (*Lane).order)
	on("POST /api/lanes/{lane}/play", (*Lane).playText)
	on("DELETE /api/lanes/{lane}/play", func(l *Lane, w http.ResponseWriter, _ *http.Request) {
		l.Halt()
		w.WriteHeader(http.StatusNoContent)
	})
	on("PUT /api/lanes/{lane}/recording", func(l *Lane, w http.ResponseWriter, _ *http.Request) {
		l.Record()
		w.WriteHeader(http.StatusNoContent)
	})
	on("GET /api/lanes/{lane}/recording", func(l *Lane, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, l.Recorded()) // the client has gone otherwise
	})
	on("DELETE /api/lanes/{lane}/recording", func(l *Lane, w http.ResponseWriter, _ *http.Request) {
		l.Cut()
		w.WriteHeader(http.StatusNoContent)
	})
	return pages.Guard(local(http.NewCrossOriginProtection().Handler(mux)), maxScenario, "'self'", ""), nil
}

// local refuses requests that another name has been made to point here for:
// whoever reads the panel sees what a machine's own simulation does.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "localhost" && ip == nil {
			pages.Problem(w, http.StatusForbidden, "panel: ask by address, or by localhost")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Listen opens the panel of lanes at addr, which answers from now on, as soon as
// serve runs; serve returns when ctx ends.
func Listen(addr string, lanes ...*Lane) (serve func(ctx context.Context) error, err error) {
	h, err := Handler(lanes...)
	if err != nil {
		return nil, err
	}
	in, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("panel: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	return func(ctx context.Context) error {
		if err := pages.Serve(ctx, s, in, pages.Door{Name: "panel", Most: 128, Each: 64}); err != nil {
			return fmt.Errorf("panel: %w", err)
		}
		return nil
	}, nil
}

// Group is a kind of faults to choose from.
type Group struct {
	Name   string   `json:"name"`
	Prefix string   `json:"prefix"` // before a fault's name, in the words fault and clear, or in a change of a persona
	Change bool     `json:"change"` // it is a change of a persona: PREFIX+NAME=1, or pki=NAME
	Faults []Choice `json:"faults"`
}

// Choice is one of them.
type Choice struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

func choices(list []gate.Fault) []Choice {
	out := make([]Choice, len(list))
	for i, f := range list {
		out[i] = Choice(f)
	}
	return out
}

// catalogue is everything that there is to choose from.
func catalogue(lanes []*Lane) (any, error) {
	c := struct {
		Personas []map[string]any `json:"personas"`
		Scripts  []string         `json:"scripts"`
		Profiles []string         `json:"profiles"`
		Faults   []Group          `json:"faults"`
		Verbs    []Verb           `json:"verbs"`
		Lanes    []string         `json:"lanes"`
	}{Scripts: persona.Scripts, Verbs: Verbs}
	for _, l := range lanes {
		c.Lanes = append(c.Lanes, l.Name)
	}
	for _, p := range lanes[0].People {
		words, err := p.Words()
		if err != nil {
			return nil, err
		}
		c.Personas = append(c.Personas, words)
	}
	for _, p := range passport.Catalogue {
		c.Profiles = append(c.Profiles, p.Name)
	}
	c.Faults = []Group{
		{Name: "Gate", Faults: choices(gate.PhysicalFaults)},
		{Name: "Line to the gate", Faults: choices(gate.LinkFaults)},
		{Name: "Camera", Prefix: "camera.", Faults: choices(cameraFaults)},
		{Name: "MRZ reader", Prefix: "mrz.", Faults: []Choice{{"garbage", "the reader sends nonsense, once"}}},
	}
	if lanes[0].Register != nil {
		g := Group{Name: "Register", Prefix: "register."}
		for _, op := range operations {
			for _, f := range register.Faults {
				g.Faults = append(g.Faults, Choice{op + "=" + f.Name, f.Text})
			}
		}
		c.Faults = append(c.Faults, g)
	}
	chip, signer := Group{Name: "Chip", Prefix: "chip.", Change: true}, Group{Name: "Signer", Prefix: "pki=", Change: true}
	for _, f := range passport.Faults {
		chip.Faults = append(chip.Faults, Choice{f.Name, f.Text})
	}
	for _, f := range testpki.Faults {
		signer.Faults = append(signer.Faults, Choice{f.Name, f.Text})
	}
	c.Faults = append(c.Faults, chip, signer)
	return c, nil
}

// order does one line of words.
func (l *Lane) order(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Words string `json:"words"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	if err := l.Do(r.Context(), q.Words); err != nil {
		pages.Problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	pages.Reply(w, http.StatusOK, l.Look())
}

// playText plays the scenario in the body and answers when it has ended: 200 if
// everything was as awaited, 422 if not.
func (l *Lane) playText(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		pages.Problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("panel: a scenario has at most %d bytes", maxScenario))
		return
	}
	s, err := Parse(string(b))
	if err != nil {
		pages.Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	p := l.Play(r.Context(), s)
	status := http.StatusOK
	if !p.OK {
		status = http.StatusUnprocessableEntity
	}
	pages.Reply(w, status, p)
}

func (l *Lane) picture(w http.ResponseWriter, _ *http.Request) {
	if l.Picture != nil {
		if b, ok := l.Picture(); ok {
			w.Header().Set("Content-Type", "image/jpeg")
			_, _ = w.Write(b) // the client has gone otherwise
			return
		}
	}
	pages.Problem(w, http.StatusNotFound, "panel: there is no picture")
}

func number(r *http.Request, name string) int64 {
	n, _ := strconv.ParseInt(r.FormValue(name), 10, 64) // 0 for nonsense: from the beginning
	return n
}

// lines are the wires' newest lines: those after ?since, with ?routine=1 all of
// them.
func (l *Lane) lines(w http.ResponseWriter, r *http.Request) {
	out := l.trace.since(number(r, "since"), r.FormValue("routine") == "1")
	if out == nil {
		out = []Line{}
	}
	pages.Reply(w, http.StatusOK, out)
}

// rate is how often a page is told how the lane is.
const rate = 12

// events streams the lane and its wires: events "view" when something has
// changed, "trace" with new lines after ?since.
func (l *Lane) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return l.streams.Send(w, "event: %s\ndata: %s\n\n", event, b)
	}
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	n, was, still := number(r, "since"), "", 0
	for {
		v := l.Look()
		at := v.At
		v.At = 0
		b, err := json.Marshal(v)
		if err != nil {
			return
		}
		if v.At = at; string(b) != was || still > 15*rate { // now and then, so that a broken line shows
			was, still = string(b), 0
			if send("view", v) != nil {
				return
			}
		}
		still++
		if lines := l.trace.since(n, false); len(lines) > 0 {
			n = lines[len(lines)-1].N
			if send("trace", lines) != nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
