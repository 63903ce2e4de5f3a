package persona

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

// Edit returns p with changes, each KEY=VALUE in the catalogue's own words:
// age=12, state=GBR, script=mask, chip.clone=1, hits.SIS=DISCREET,
// stays=[[-20,0]]. A word as a value needs no quotes.
func (p Persona) Edit(changes ...string) (Persona, error) {
	p.Name, p.Stays = slices.Clone(p.Name), slices.Clone(p.Stays)
	p.Chip, p.Hits, p.Fault = maps.Clone(p.Chip), maps.Clone(p.Hits), maps.Clone(p.Fault)
	for _, c := range changes {
		key, value, ok := strings.Cut(c, "=")
		if !ok || key == "id" || !keys.MatchString(key) || strings.ContainsAny(value, "\r\n") {
			return Persona{}, fmt.Errorf("persona: %q is no change: KEY=VALUE", c)
		}
		if p.set(key+" = "+value) != nil {
			if err := p.set(key + " = " + strconv.Quote(value)); err != nil {
				return Persona{}, fmt.Errorf("persona: %q: %w", c, err)
			}
		}
	}
	return p, errors.Join(p.problems()...)
}

var keys = regexp.MustCompile(`^[a-z_]+(\.[A-Za-z_]+)?$`)

// Words is p as the catalogue writes it, by key.
func (p Persona) Words() (map[string]any, error) {
	b, err := toml.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("persona: %s: %w", p.ID, err)
	}
	words := map[string]any{}
	if err := toml.Unmarshal(b, &words); err != nil {
		return nil, fmt.Errorf("persona: %s: %w", p.ID, err)
	}
	return words, nil
}

func (p *Persona) set(line string) error {
	return toml.NewDecoder(bytes.NewReader([]byte(line))).DisallowUnknownFields().Decode(p)
}

var (
	capitals = regexp.MustCompile(`^[A-Z]{1,3}$`)
	names    = regexp.MustCompile(`^[A-Za-z][A-Za-z -]{0,17}$`)
)

// problems says what no lane could be shown of p.
func (p Persona) problems() (errs []error) {
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("persona: %s: %s", p.ID, fmt.Sprintf(format, args...)))
	}
	if len(p.Name) != 2 || !names.MatchString(p.Name[0]) || !names.MatchString(p.Name[1]) {
		bad("a name is surname and given names, of 1 to 18 letters A to Z each, not %q", p.Name)
	}
	if !capitals.MatchString(p.State) || !capitals.MatchString(p.Nationality) {
		bad("a state is 1 to 3 letters A to Z, not %q and %q", p.State, p.Nationality)
	}
	for _, f := range []struct {
		what, is string
		of       []string
	}{
		{"lane", p.Lane, []string{"entry", "exit"}},
		{"size", p.Size, []string{"TD1", "TD3"}},
		{"register_face", p.RegisterFace, []string{"match", "no_match"}},
		{"script", p.Script, Scripts},
		{"outcome", p.Outcome, outcomes},
	} {
		if !slices.Contains(f.of, f.is) {
			bad("%s is none of %q: %q", f.what, f.of, f.is)
		}
	}
	if p.Age < 0 || p.Age > 99 {
		bad("an age is 0 to 99, not %d", p.Age)
	}
	if p.Expiry < -3650 || p.Expiry > 3650 {
		bad("a document expires within ten years from today, not after %d days", p.Expiry)
	}
	for fault := range p.Chip {
		if !slices.ContainsFunc(passport.Faults, func(f passport.Fault) bool { return f.Name == fault }) {
			bad("no fault of a chip is called %q", fault)
		}
	}
	if p.PKI != "" && !slices.ContainsFunc(testpki.Faults, func(f testpki.Fault) bool { return f.Name == p.PKI }) {
		bad("no fault of a signer is called %q", p.PKI)
	}
	if p.Profile != "" {
		if _, err := passport.ByName(p.Profile); err != nil {
			bad("%v", err)
		}
	}
	if p.MaxLe < 0 || p.FaceDelay < 0 || p.FaceDelay > 60 {
		bad("max_le is not negative, face_delay is 0 to 60 s")
	}
	return errs
}
