package world_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"passage/drivers/gate/regmap"
	"passage/hwsim/panel"
	"passage/hwsim/persona"
	"passage/hwsim/world"
	"passage/kiosk/policy"
)

// Every scenario of hwsim/scenarios plays as it says, on the shipped shell,
// journal, policy and drivers in virtual time. hwsim panel --play plays the
// same files on the lane's own program.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("../scenarios/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatal(err, files)
	}
	list, err := persona.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := panel.Parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if s.Lane == "" || !strings.HasPrefix(string(text), "# ") {
				t.Error("a scenario says what it shows, and for which lane")
			}
			handsOn(t, s.Lane, list, func(ctx context.Context, l *panel.Lane) {
				if p := l.Play(ctx, s); !p.OK {
					v := l.Look()
					t.Errorf("line %d, %s: %s\n%+v\n%+v", p.Line, p.Text, p.Problem, v, v.Person)
				}
			})
		})
	}
}

// A whole lane with another maker's gate: the same scenarios, on both example
// maps.
func TestScenariosByMap(t *testing.T) {
	list, err := persona.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, speaks := range []string{"counters", "status-word"} {
		for _, name := range []string{"released", "exit", "led", "fire", "turned", "tailgate", "impostor", "help"} {
			t.Run(speaks+"/"+name, func(t *testing.T) {
				m, err := regmap.Load("../../examples/gates/" + speaks + ".toml")
				if err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile("../scenarios/" + name + ".txt")
				if err != nil {
					t.Fatal(err)
				}
				s, err := panel.Parse(string(text))
				if err != nil {
					t.Fatal(err)
				}
				handsOnMapped(t, s.Lane, list, m, func(ctx context.Context, l *panel.Lane) {
					if p := l.Play(ctx, s); !p.OK {
						v := l.Look()
						t.Errorf("line %d, %s: %s\n%+v\n%+v", p.Line, p.Text, p.Problem, v, v.Person)
					}
				})
			})
		}
	}
}

// handsOn runs a lane in virtual time and gives it to story.
func handsOn(t *testing.T, direction string, list []persona.Persona, story func(context.Context, *panel.Lane)) {
	t.Helper()
	handsOnMapped(t, direction, list, nil, story)
}

// handsOnMapped does so with a gate that speaks by a map; nil for ABC-LANE.
func handsOnMapped(t *testing.T, direction string, list []persona.Persona, m *regmap.Map, story func(context.Context, *panel.Lane)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w, err := world.New(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		if direction == "entry" {
			w.Rule = func(p *policy.Policy) { *p = policy.Default(policy.Entry); p.Production = false }
		}
		if w.Map = m; m != nil {
			w.Gate.Speak(m)
		}
		l, err := w.Hands(direction, list)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() { ended <- w.Officer(ctx) }()
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait() // the lane takes people in
		story(ctx, l)
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		_ = w.Stop() // ended with ctx
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
