// Package persona is the catalogue of simulated travellers: who they are, what
// they carry, what the register knows of them, what they do, and how a lane
// must treat them.
package persona

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"passage/drivers/emrtd/mrz"
	"passage/eesclient/stay"
	"passage/hwsim/register"
)

//go:embed personas.toml
var catalogue []byte

// Persona is one traveller.
type Persona struct {
	ID           string            `toml:"id"`
	Lane         string            `toml:"lane"`
	Name         []string          `toml:"name"` // surname, given names
	Age          int               `toml:"age"`
	State        string            `toml:"state"` // issuing state as in the MRZ
	Nationality  string            `toml:"nationality"`
	Code         string            `toml:"code"`
	Size         string            `toml:"size"`
	Expiry       int               `toml:"expiry"` // days from today
	DocumentOf   string            `toml:"document_of"`
	Profile      string            `toml:"profile"` // of the chip; see hwsim passport --list
	Chip         map[string]int    `toml:"chip"`    // its faults, and when
	MaxLe        int               `toml:"max_le"`  // longest answer of the chip in bytes
	PKI          string            `toml:"pki"`     // a fault of the document's signer
	Registered   bool              `toml:"registered"`
	NewDocument  bool              `toml:"new_document"`
	Family       bool              `toml:"family"`
	Visa         string            `toml:"visa"`
	VisaEnd      int               `toml:"visa_end"`
	RegisterFace string            `toml:"register_face"`
	FaceDelay    int               `toml:"face_delay"` // seconds
	Stays        [][2]int          `toml:"stays"`
	Hits         map[string]string `toml:"hits"`
	Fault        map[string]string `toml:"fault"` // of the register, while this person is in the lane
	Script       string            `toml:"script"`
	Officer      string            `toml:"officer"`
	Second       string            `toml:"second"`
	Outcome      string            `toml:"outcome"`
	Reason       string            `toml:"reason"`

	// Copy is not 0 for somebody like the catalogue's person, with another
	// document and another file in the register: the n-th copy, up to 9999.
	Copy int `toml:"-"`
}

// Scripts are what persons do; see package people.
var Scripts = []string{"", "mask", "tailgate", "bag", "turn_back", "wheelchair", "slow", "forget", "help", "cover", "blur", "fire"}

var outcomes = []string{"released", "diverted_out", "diverted_in", "evacuated", "out_of_service"}

// All returns the catalogue with its defaults filled in.
func All() ([]Persona, error) {
	var file struct {
		Persona []Persona `toml:"persona"`
	}
	if err := toml.NewDecoder(bytes.NewReader(catalogue)).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, fmt.Errorf("persona: %w", err)
	}
	var errs []error
	seen := map[string]bool{}
	for i := range file.Persona {
		p := &file.Persona[i]
		if seen[p.ID] {
			errs = append(errs, fmt.Errorf("persona: %s is there twice", p.ID))
		}
		seen[p.ID] = true
		p.defaults()
		errs = append(errs, p.problems()...)
	}
	for i := range file.Persona {
		if of := file.Persona[i].DocumentOf; of != "" && !seen[of] {
			errs = append(errs, fmt.Errorf("persona: %s: nobody is %s", file.Persona[i].ID, of))
		}
	}
	return file.Persona, errors.Join(errs...)
}

func (p *Persona) defaults() {
	if p.Age == 0 {
		p.Age = 35
	}
	if p.Nationality == "" {
		p.Nationality = p.State
	}
	if p.Code == "" {
		p.Code = "P"
	}
	if p.Size == "" {
		p.Size = "TD3"
	}
	if p.Expiry == 0 {
		p.Expiry = 5 * 365
	}
	if p.RegisterFace == "" {
		p.RegisterFace = "match"
	}
	if p.Officer == "" {
		p.Officer = "divert"
	}
}

// Number is the persona's document number.
func (p Persona) Number() string {
	id := p.ID
	if p.DocumentOf != "" {
		id = p.DocumentOf
	}
	if p.Copy > 0 {
		return fmt.Sprintf("X%sE%04d", strings.TrimPrefix(id, "P"), p.Copy)
	}
	return "X" + strings.TrimPrefix(id, "P") + "T4711"
}

// Birth is the persona's date of birth: the birthday is today.
func (p Persona) Birth(today time.Time) time.Time { return today.AddDate(-p.Age, 0, 0) }

// MRZ is the persona's zone.
func (p Persona) MRZ(today time.Time) mrz.MRZ {
	size := mrz.TD3
	if p.Size == "TD1" {
		size = mrz.TD1
	}
	return mrz.MRZ{
		Size: size, Code: p.Code, Issuer: p.State, Nationality: p.Nationality, Surname: strings.ToUpper(p.Name[0]), GivenNames: strings.ToUpper(p.Name[1]),
		Number: p.Number(), Birth: p.Birth(today).Format("060102"), Sex: "F", Expiry: today.AddDate(0, 0, p.Expiry).Format("060102"),
	}
}

// Person is what the register knows of the persona.
func (p Persona) Person(today time.Time) register.Person {
	r := register.Person{
		Type: p.Code, Number: p.Number(), Issuer: p.State, FamilyStatus: p.Family, Visa: p.Visa, Reference: p.Registered, Face: p.RegisterFace,
		Surname: strings.ToUpper(p.Name[0]), GivenNames: strings.ToUpper(p.Name[1]), Birth: p.Birth(today).Format(time.DateOnly), Nationality: p.Nationality, Sex: "F",
		Hits: p.Hits, FaceDelay: time.Duration(p.FaceDelay) * time.Second, Still: true,
	}
	if p.Registered {
		r.File = "F-" + p.ID
		if p.Copy > 0 {
			r.File += fmt.Sprintf("-%d", p.Copy)
		}
	}
	if p.NewDocument {
		r.Number = "OLD" + p.Number()[:6]
	}
	if p.VisaEnd != 0 {
		r.VisaEnd = today.AddDate(0, 0, p.VisaEnd)
	}
	day := stay.On(today)
	for _, s := range p.Stays {
		st := stay.Stay{First: day + stay.Day(s[0])}
		if s[1] != 0 {
			st.Last = day + stay.Day(s[1])
		}
		r.Stays = append(r.Stays, st)
	}
	return r
}
