package emrtd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	"passage/drivers/emrtd/kdf"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/ta"
	"passage/hwsim/passport"
	"passage/hwsim/passport/testpki"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// issue makes a virtual passport of a profile, and the options to read it by.
func issue(t testing.TB, name string, change func(*passport.Profile)) (*passport.Card, mrz.MRZ, emrtd.Options) {
	t.Helper()
	p, err := passport.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	p.MRZ = mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "D", Nationality: "D", Surname: "MUSTERMANN", GivenNames: "ERIKA", Number: "C01X00T47", Birth: "640812", Sex: "F", Expiry: "311031"}
	p.Portrait, p.Width, p.Height = append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 20_000)...), 413, 531
	p.Random = testpki.Seed(9)
	if change != nil {
		change(&p)
	}
	card, store, err := passport.Issue(p, "DE", now, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := mrz.Parse(card.MRZ()...)
	if err != nil {
		t.Fatal(err)
	}
	return card, key, emrtd.Options{Trust: store, Now: now}
}

// between stands between reader and card: it may answer in the card's place.
// answer returns nil to let a command through; pass asks the card.
type between struct {
	apdu.Card
	answer func(c apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error)
	list   []apdu.Command
}

func (b *between) Transmit(ctx context.Context, raw []byte) ([]byte, error) {
	c, err := apdu.Parse(raw)
	if err != nil {
		return nil, err
	}
	b.list = append(b.list, c)
	var failed error
	pass := func(raw []byte) []byte {
		out, err := b.Card.Transmit(ctx, raw)
		failed = errors.Join(failed, err)
		return out
	}
	if b.answer != nil {
		out, err := b.answer(c, raw, pass)
		if out != nil || err != nil {
			return out, errors.Join(err, failed)
		}
	}
	return b.Card.Transmit(ctx, raw)
}

func extended(c apdu.Command) bool { return c.Ne > 256 || len(c.Data) > 255 }

func has(list []string, part string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, part) })
}

// The floor of the reading plan, on three kinds of chips.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		profile string
		apdus   int
		bytes   int
	}{
		{"icao-ext", 16, 24_000},
		{"icao-2048", 16 + 21_700/2000, 24_000},
		{"icao-short", 16 + 21_700/223, 28_000},
		{"cam", 15, 24_000},
	} {
		card, key, o := issue(t, c.profile, nil)
		o.COM, o.Groups = true, []int{14, 15}
		before := false
		o.Early = func(mrz.MRZ) { before = card.Stats().Bytes < 10_000 }
		doc, err := emrtd.Read(t.Context(), card, key, o)
		if err != nil || doc.Verdict != emrtd.ChipGenuine {
			t.Fatalf("%s: %v, %s, %+v", c.profile, err, doc.Verdict, doc.Checks)
		}
		if !before {
			t.Errorf("%s: the zone came after the portrait", c.profile)
		}
		for _, name := range []string{"COM", "SOD", "DG1", "DG2", "DG14", "DG15"} {
			if len(doc.Files[name]) == 0 {
				t.Errorf("%s: no %s", c.profile, name)
			}
		}
		t.Logf("%s: %d commands, %d bytes", c.profile, doc.APDUs, doc.Bytes)
		if s := card.Stats(); doc.APDUs > c.apdus || doc.Bytes > c.bytes || s.APDUs != doc.APDUs || s.Bytes != doc.Bytes {
			t.Errorf("%s: %d commands and %d bytes, the plan has %d and %d, the card counts %+v", c.profile, doc.APDUs, doc.Bytes, c.apdus, c.bytes, s)
		}
	}
}

// The second chip of a family is read without finding out again, also after the
// program was started anew.
func TestMemory(t *testing.T) {
	memory := &emrtd.Memory{}
	last := 0
	for n := range 2 {
		card, key, o := issue(t, "pace", func(p *passport.Profile) { p.MaxLe = 192 })
		o.Memory = memory
		doc, err := emrtd.Read(t.Context(), card, key, o)
		if err != nil || doc.Verdict != emrtd.ChipGenuine || doc.Again != 0 {
			t.Fatalf("%v, %s, %+v", err, doc.Verdict, doc.Checks)
		}
		if n == 1 && doc.APDUs >= last {
			t.Errorf("%d commands, and %d before", doc.APDUs, last)
		}
		last = doc.APDUs
		memory = restarted(t, memory)
	}
}

// restarted is a memory as a program finds it that starts anew.
func restarted(t *testing.T, m *emrtd.Memory) *emrtd.Memory {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("MUSTERMANN")) || bytes.Contains(b, []byte("C01X00T47")) || bytes.Contains(b, []byte("DE")) {
		t.Errorf("a document in %s", b)
	}
	fresh := &emrtd.Memory{}
	if err := json.Unmarshal(b, fresh); err != nil {
		t.Fatal(err)
	}
	return fresh
}

// A chip of a known family is read by the floor of the plan: what its sizes are
// need not be asked.
func TestKnownFamily(t *testing.T) {
	for profile, want := range map[string]int{"icao-ext": 15, "icao-2048": 24, "icao-short": 110} {
		var memory emrtd.Memory
		for n := range 2 {
			card, key, o := issue(t, profile, nil)
			o.COM, o.Groups, o.Memory = true, []int{14, 15}, &memory
			doc, err := emrtd.Read(t.Context(), card, key, o)
			if err != nil || doc.Verdict != emrtd.ChipGenuine {
				t.Fatalf("%s: %v, %s, %+v", profile, err, doc.Verdict, doc.Checks)
			}
			if n == 1 && doc.APDUs != want {
				t.Errorf("%s: %d commands, the floor is %d", profile, doc.APDUs, want)
			}
		}
	}
}

// Two states set one make of chips up in two ways: the first reading of each
// finds out, from then on each is read by its own way.
func TestMemoryOfStates(t *testing.T) {
	var memory emrtd.Memory
	read := func(country string, most int) int {
		_, _, o := issue(t, "pace", nil)
		p, err := passport.ByName("pace")
		if err != nil {
			t.Fatal(err)
		}
		p.MRZ = mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: country, Nationality: "D", Surname: "M", GivenNames: "E", Number: "C01X00T47", Birth: "640812", Sex: "F", Expiry: "311031"}
		p.Portrait, p.Width, p.Height, p.MaxLe, p.Random = append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 8000)...), 413, 531, most, testpki.Seed(4)
		card, store, err := passport.Issue(p, country, now, "")
		if err != nil {
			t.Fatal(err)
		}
		key, err := mrz.Parse(card.MRZ()...)
		if err != nil {
			t.Fatal(err)
		}
		o.Trust, o.Memory = store, &memory
		doc, err := emrtd.Read(t.Context(), card, key, o)
		if err != nil || doc.Again != 0 {
			t.Fatalf("%s: %v, %+v", country, err, doc.Checks)
		}
		return doc.APDUs
	}
	read("DE", 0)
	first := read("FR", 160)
	read("DE", 0)
	if again := read("FR", 160); again >= first {
		t.Errorf("%d commands, and %d before", again, first)
	}
	if n := read("DE", 0); n > 20 {
		t.Errorf("%d commands: the other state's limit", n)
	}
}

// What was remembered and may have cost a session is forgotten; that the card
// was taken away is no reason.
func TestMemoryForgets(t *testing.T) {
	var memory emrtd.Memory
	read := func(spoil func(n int, c apdu.Command) ([]byte, error)) (*emrtd.Document, string) {
		card, key, o := issue(t, "pace", nil)
		o.Memory = &memory
		b := &between{Card: card}
		b.answer = func(c apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error) {
			out, err := spoil(len(b.list), c)
			if out != nil {
				pass(raw) // the chip has counted
			}
			return out, err
		}
		doc, _ := emrtd.Read(t.Context(), b, key, o)
		kept, err := json.Marshal(&memory)
		if err != nil {
			t.Fatal(err)
		}
		return doc, string(kept)
	}
	_, first := read(func(int, apdu.Command) ([]byte, error) { return nil, nil })
	if strings.Count(first, "extended") != 2 {
		t.Fatalf("kept %s", first)
	}
	_, kept := read(func(n int, _ apdu.Command) ([]byte, error) {
		if n == 10 {
			return nil, apdu.ErrRemoved
		}
		return nil, nil
	})
	if kept != first {
		t.Errorf("taken away: kept %s", kept)
	}
	doc, kept := read(func(_ int, c apdu.Command) ([]byte, error) {
		if c.CLA&0x0C != 0 && extended(c) {
			return []byte{0x67, 0}, nil
		}
		return nil, nil
	})
	if doc.Verdict != emrtd.ChipGenuine || doc.Again != 1 || kept != "{}" {
		t.Errorf("%s, %d sessions again, kept %s", doc.Verdict, doc.Again, kept)
	}
}

// A memory that was not written by a reading is refused.
func TestMemoryRefuses(t *testing.T) {
	id := strings.Repeat("0f", 32)
	for text, good := range map[string]bool{
		`{}`:                             true,
		`{"` + id + `":{}}`:              true,
		`{"` + id + `":{"limit":160}}`:   true,
		`{"` + id + `":{"limit":1}}`:     false,
		`{"` + id + `":{"limit":-160}}`:  false,
		`{"` + id + `":{"command":600}}`: false,
		`{"` + id + `":{"extended":true,"command":600,"response":100}}`: false,
		`{"0f":{}}`: false,
		`[]`:        false,
	} {
		if err := json.Unmarshal([]byte(text), &emrtd.Memory{}); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What chips of states do otherwise, and what the reader does then.
func TestFallBacks(t *testing.T) {
	for _, c := range []struct {
		name    string
		profile string
		change  func(*passport.Profile)
		// answer is between's; n counts the commands from 1.
		answer func(n int, c apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error)
		want   emrtd.Verdict
		access string
		note   string // in Fallback
		again  int
		most   int // commands
	}{
		{
			name: "a chip that says nothing about its lengths, and knows long ones", profile: "pace", want: emrtd.ChipGenuine, most: 14,
		},
		{
			name: "extended length refused before access", profile: "icao-ext", want: emrtd.ChipGenuine, note: "short lengths", most: 130,
			answer: func(_ int, c apdu.Command, _ []byte, _ func([]byte) []byte) ([]byte, error) {
				if extended(c) {
					return []byte{0x67, 0}, nil
				}
				return nil, nil
			},
		},
		{
			name: "a reader that cannot send extended length", profile: "bac", want: emrtd.ChipGenuine, note: "short lengths", most: 130,
			answer: func(_ int, c apdu.Command, _ []byte, _ func([]byte) []byte) ([]byte, error) {
				if extended(c) {
					return nil, errors.New("reader: not transacted")
				}
				return nil, nil
			},
		},
		{
			name: "at most 160 bytes", profile: "pace", want: emrtd.ChipGenuine, most: 160, change: func(p *passport.Profile) { p.MaxLe = 160 },
		},
		{
			name: "PACE wants its parameters unnamed", profile: "pace", want: emrtd.ChipGenuine, access: "PACE-ECDH-GM-AES-128/13", most: 15,
			answer: func(_ int, c apdu.Command, _ []byte, _ func([]byte) []byte) ([]byte, error) {
				if _, named := lds.Find(c.Data, 0x84); c.INS == 0x22 && named {
					return []byte{0x6A, 0x80}, nil
				}
				return nil, nil
			},
		},
		{
			name: "PACE is offered and refused", profile: "pace", want: emrtd.ChipGenuine, access: "BAC", note: "refuses what it offers", most: 17,
			answer: func(_ int, c apdu.Command, _ []byte, _ func([]byte) []byte) ([]byte, error) {
				if c.INS == 0x22 {
					return []byte{0x6A, 0x88}, nil
				}
				return nil, nil
			},
		},
		{
			name: "the application only after SELECT MF", profile: "bac", want: emrtd.ChipGenuine, access: "BAC", most: 14,
			answer: func(n int, c apdu.Command, _ []byte, _ func([]byte) []byte) ([]byte, error) {
				if c.INS == 0xA4 && n == 2 {
					return []byte{0x6A, 0x82}, nil
				}
				return nil, nil
			},
		},
		{
			name: "everything only after SELECT MF", profile: "pace", want: emrtd.ChipGenuine, access: "PACE-ECDH-GM-AES-128/13", most: 16,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"select_first": 1} },
		},
		{
			name: "SELECT MF before the application, by PACE", profile: "pace", want: emrtd.ChipGenuine, access: "PACE-ECDH-GM-AES-128/13", most: 16,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"app_after_mf": 1} },
		},
		{
			name: "SELECT MF before the application, by BAC", profile: "bac", want: emrtd.ChipGenuine, access: "BAC", most: 15,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"app_after_mf": 1} },
		},
		{
			name: "a chip that refuses named parameters", profile: "pace-only", want: emrtd.ChipGenuine, access: "PACE-ECDH-GM-AES-128/13", most: 15,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"pace_unnamed": 1} },
		},
		{
			// Two refusals, then each read as long as the chip said.
			name: "a length that the chip names", profile: "icao-short", want: emrtd.ChipGenuine, most: 16 + 21_700/150 + 2,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"le_hint": 150} },
		},
		{
			name: "a length that the chip names, extended", profile: "pace", want: emrtd.ChipGenuine, most: 16 + 21_700/200 + 2,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"le_hint": 200} },
		},
		{
			// The end of one file is no limit for the next.
			name: "lengths told at the end of a file", profile: "icao-short", want: emrtd.ChipGenuine, most: 16 + 21_700/223 + 4,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"le_at_end": 1} },
		},
		{
			name: "a signature by its exact length alone", profile: "aa-rsa", want: emrtd.ChipGenuine, most: 20,
			change: func(p *passport.Profile) { p.Faults = map[string]int{"aa_exact_le": 1} },
		},
		{
			name: "a portrait in ISO/IEC 39794-5", profile: "iso39794", want: emrtd.ChipGenuine, most: 14,
		},
		{
			name: "answers in parts", profile: "icao-short", want: emrtd.ChipGenuine, most: 400,
			answer: func() func(int, apdu.Command, []byte, func([]byte) []byte) ([]byte, error) {
				var rest []byte
				return func(_ int, c apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error) {
					out := rest
					if c.INS != 0xC0 {
						out = pass(raw)
					}
					if len(out) <= 102 {
						rest = nil
						return out, nil
					}
					rest = out[100:]
					return append(slices.Clone(out[:100]), 0x61, byte(min(255, len(rest)-2))), nil
				}
			}(),
		},
		{
			name: "a reply that was lost, counted by the chip", profile: "icao-ext", want: emrtd.ChipGenuine, again: 1, most: 40,
			answer: func(n int, _ apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error) {
				if n == 14 {
					pass(raw)
					return []byte{0x6F, 0}, nil
				}
				return nil, nil
			},
		},
		{
			name: "a command that did not reach the chip", profile: "icao-ext", want: emrtd.ChipGenuine, again: 0, most: 20,
			answer: func(n int, _ apdu.Command, _ []byte, _ func([]byte) []byte) ([]byte, error) {
				if n == 14 {
					return []byte{0x6F, 0}, nil
				}
				return nil, nil
			},
		},
		{
			name: "Chip Authentication by Set KAT alone", profile: "ca-dh", want: emrtd.ChipGenuine, access: "BAC", most: 20,
		},
		{
			name: "a signature that wants its exact length", profile: "aa-rsa", want: emrtd.ChipGenuine, most: 20,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			card, key, o := issue(t, c.profile, c.change)
			b := &between{Card: card}
			if c.answer != nil {
				b.answer = func(x apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error) {
					return c.answer(len(b.list), x, raw, pass)
				}
			}
			doc, err := emrtd.Read(t.Context(), b, key, o)
			if err != nil || doc.Verdict != c.want {
				t.Fatalf("%v, %s\n%+v\n%q", err, doc.Verdict, doc.Checks, doc.Fallback)
			}
			if c.access != "" && doc.Access != c.access || c.note != "" && !has(doc.Fallback, c.note) {
				t.Errorf("%s, %q", doc.Access, doc.Fallback)
			}
			if doc.Again != c.again || doc.APDUs > c.most || doc.APDUs != len(b.list) {
				t.Errorf("%d commands, %d sessions opened again", doc.APDUs, doc.Again)
			}
			if !bytes.Contains(doc.Files["DG2"], make([]byte, 20_000)) {
				t.Error("another portrait")
			}
		})
	}
}

// Chip Authentication as chips have it: by every agreement, with and without
// references and protocols in DG14, and with a key that is not DG14's.
func TestChipAuthentication(t *testing.T) {
	for _, c := range []struct {
		name  string
		ca    passport.ChipAuth
		fault string
		want  emrtd.Verdict
		note  string
	}{
		{name: "3DES on a curve", ca: passport.ChipAuth{Parameter: 13, Cipher: kdf.TDES}, want: emrtd.ChipGenuine},
		{name: "3DES in a group, Set KAT alone", ca: passport.ChipAuth{Parameter: 0, Cipher: kdf.TDES, KATOnly: true}, want: emrtd.ChipGenuine},
		{name: "AES-256 in a group", ca: passport.ChipAuth{Parameter: 2, Cipher: kdf.AES256}, want: emrtd.ChipGenuine},
		{name: "AES-192 on the longest curve, by reference", ca: passport.ChipAuth{Parameter: 18, Cipher: kdf.AES192, KeyID: 7}, want: emrtd.ChipGenuine},
		{name: "no protocol named", ca: passport.ChipAuth{Parameter: 12, Cipher: kdf.TDES, NoInfo: true}, want: emrtd.ChipGenuine, note: "names no protocol"},
		{name: "a form that the chip refuses twice", ca: passport.ChipAuth{Parameter: 12, Cipher: kdf.AES128, KATOnly: true}, want: emrtd.Clone, note: "the other form"},
		{name: "3DES, and Set AT alone", ca: passport.ChipAuth{Parameter: 12, Cipher: kdf.TDES, ATOnly: true}, want: emrtd.ChipGenuine, note: "the other form"},
		{name: "3DES in a group, by reference, Set AT alone", ca: passport.ChipAuth{Parameter: 1, Cipher: kdf.TDES, KeyID: 2, ATOnly: true}, want: emrtd.ChipGenuine, note: "the other form"},
		{name: "another key", ca: passport.ChipAuth{Parameter: 13, Cipher: kdf.AES128}, fault: "wrong_ca_key", want: emrtd.Clone},
		{name: "a recording", ca: passport.ChipAuth{Parameter: 13, Cipher: kdf.AES128}, fault: "ca_replay", want: emrtd.Clone},
	} {
		for _, access := range []passport.Access{passport.BAC, passport.PACE} {
			card, key, o := issue(t, "bac", func(p *passport.Profile) {
				p.Access, p.NoAA, p.CA = access, true, c.ca
				if c.fault != "" {
					p.Faults = map[string]int{c.fault: 1}
				}
			})
			doc, err := emrtd.Read(t.Context(), card, key, o)
			if err != nil || doc.Verdict != c.want || c.note != "" && !has(doc.Fallback, c.note) {
				t.Errorf("%s: %v, %s, %q\n%+v", c.name, err, doc.Verdict, doc.Fallback, doc.Checks)
			}
		}
	}
}

// A zone that cannot be read is a finding: altered where it is not the signed
// one, incomplete where a state signed it.
func TestBrokenZone(t *testing.T) {
	for want, change := range map[emrtd.Verdict]func(*passport.Profile){
		emrtd.Altered: func(p *passport.Profile) { p.Faults = map[string]int{"broken_dg1": 1} },
		emrtd.Incomplete: func(p *passport.Profile) {
			p.Groups = map[int][]byte{1: lds.Make(0x61, lds.Make(0x5F1F, []byte("P<")))}
		},
	} {
		card, key, o := issue(t, "icao-ext", change)
		o.Early = func(mrz.MRZ) { t.Errorf("%s: a zone came", want) }
		doc, err := emrtd.Read(t.Context(), card, key, o)
		if err != nil || doc.Verdict != want || doc.MRZ.Size != 0 || len(doc.Portrait.Stream) == 0 {
			t.Errorf("%v, %s, want %s\n%+v", err, doc.Verdict, want, doc.Checks)
		}
	}
}

// The portrait is the same in both formats that a state may use.
func TestFace39794(t *testing.T) {
	var streams [][]byte
	for _, profile := range []string{"icao-ext", "iso39794"} {
		card, key, o := issue(t, profile, nil)
		doc, err := emrtd.Read(t.Context(), card, key, o)
		if err != nil || doc.Verdict != emrtd.ChipGenuine {
			t.Fatalf("%s: %v, %s\n%+v", profile, err, doc.Verdict, doc.Checks)
		}
		if bytes.Contains(doc.Files["DG2"], []byte("FAC\x00")) != (profile == "icao-ext") {
			t.Errorf("%s: a record in the other format", profile)
		}
		streams = append(streams, doc.Portrait.Stream)
	}
	if !bytes.Equal(streams[0], streams[1]) || len(streams[0]) != 20_004 {
		t.Errorf("%d and %d bytes", len(streams[0]), len(streams[1]))
	}
}

// A card that is taken from the reader and laid back: the reading goes on where
// it was. Without a way back it ends.
func TestTornReading(t *testing.T) {
	for _, back := range []bool{true, false} {
		card, key, o := issue(t, "icao-short", nil)
		b := &between{Card: card}
		b.answer = func(apdu.Command, []byte, func([]byte) []byte) ([]byte, error) {
			if len(b.list) == 60 {
				return nil, apdu.ErrRemoved
			}
			return nil, nil
		}
		if back {
			o.Back = func(context.Context) (apdu.Card, error) {
				card.Reset()
				return b, nil
			}
		}
		doc, err := emrtd.Read(t.Context(), b, key, o)
		if !back {
			if !errors.Is(err, apdu.ErrRemoved) {
				t.Errorf("no way back: %v", err)
			}
			continue
		}
		if err != nil || doc.Verdict != emrtd.ChipGenuine || doc.Again != 1 {
			t.Fatalf("%v, %s, %d times again", err, doc.Verdict, doc.Again)
		}
		if doc.APDUs > 130 {
			t.Errorf("%d commands: the file was begun anew", doc.APDUs)
		}
	}
}

// A card that is taken away at any command of a reading, and laid back: the
// document is read, and its chip has proved itself.
func TestTornAnywhere(t *testing.T) {
	for _, profile := range []string{"icao-ext", "pace", "bac", "ca-dh"} {
		for n := 1; ; n++ {
			card, key, o := issue(t, profile, nil)
			b := &between{Card: card}
			b.answer = func(apdu.Command, []byte, func([]byte) []byte) ([]byte, error) {
				if len(b.list) == n || len(b.list) == n+1 && n%3 == 0 { // and once more as it comes back
					return nil, apdu.ErrRemoved
				}
				return nil, nil
			}
			back := 0
			o.Back = func(context.Context) (apdu.Card, error) {
				back++
				card.Reset()
				return b, nil
			}
			doc, err := emrtd.Read(t.Context(), b, key, o)
			if err != nil || doc.Verdict != emrtd.ChipGenuine {
				t.Errorf("%s, torn at %d: %v, %s\n%+v", profile, n, err, doc.Verdict, doc.Checks)
			}
			if back == 0 {
				break // n is beyond the last command
			}
		}
	}
}

// A chip that falls silent in a long answer is asked for less, once it lies
// there again.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card, key, o := issue(t, "icao-ext", nil)
		b := &silent{Card: card}
		o.Back = func(context.Context) (apdu.Card, error) {
			card.Reset()
			return b, nil
		}
		began := time.Now()
		doc, err := emrtd.Read(t.Context(), b, key, o)
		if err != nil || doc.Verdict != emrtd.ChipGenuine || doc.Again == 0 {
			t.Fatalf("%v, %s, %d times again, %+v", err, doc.Verdict, doc.Again, doc.Checks)
		}
		if took := time.Since(began); took < 5*time.Second || took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		o.Back = nil
		card.Reset()
		if _, err := emrtd.Read(t.Context(), b, key, o); err == nil {
			t.Error("a silent chip was read")
		}
	})
}

// silent does not answer with more than 15,000 bytes.
type silent struct{ apdu.Card }

func (s *silent) Transmit(ctx context.Context, raw []byte) ([]byte, error) {
	out, err := s.Card.Transmit(ctx, raw)
	if err == nil && len(out) > 15_000 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return out, err
}

// A zone that was misread opens the chip by another reading of it, and no more
// of them are tried than allowed.
func TestCandidates(t *testing.T) {
	for _, profile := range []string{"pace", "bac"} {
		card, key, o := issue(t, profile, func(p *passport.Profile) { p.MRZ.Number = "C01000T47" })
		// Two zeros read as letters, with the same check digit.
		misread, err := mrz.Parse(key.Lines()[0], strings.Replace(key.Lines()[1], "C01000T47", "C01OO0T47", 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := emrtd.Read(t.Context(), card, misread, o); !errors.Is(err, emrtd.ErrPassword) {
			t.Errorf("%s, none allowed: %v", profile, err)
		}
		if n := card.Stats().WrongPasswords; n != 1 {
			t.Errorf("%s, none allowed: %d tries", profile, n)
		}
		o.Candidates = 8
		doc, err := emrtd.Read(t.Context(), card, misread, o)
		if err != nil || doc.Verdict != emrtd.ChipGenuine || doc.MRZ.Number != key.Number || !has(doc.Fallback, "misread") {
			t.Errorf("%s: %v, %s, %q", profile, err, doc.Verdict, doc.Fallback)
		}
		if n := card.Stats().WrongPasswords; n > 1+8 {
			t.Errorf("%s: %d tries", profile, n)
		}
	}
}

// By the card access number alone DG1 is compared with nothing. A chip with few
// tries left is left alone.
func TestCAN(t *testing.T) {
	card, _, o := issue(t, "can", nil)
	o.CAN = "123456"
	doc, err := emrtd.Read(t.Context(), card, mrz.MRZ{}, o)
	if err != nil || doc.Verdict != emrtd.ChipGenuine {
		t.Fatalf("%v, %s, %+v", err, doc.Verdict, doc.Checks)
	}
	for _, force := range []bool{false, true} {
		card, _, o := issue(t, "can", nil)
		o.CAN, o.Force = "123456", force
		b := &between{Card: card}
		b.answer = func(c apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error) {
			if c.INS == 0x22 && c.P1 == 0xC1 {
				pass(raw)
				return []byte{0x63, 0xC2}, nil
			}
			return nil, nil
		}
		if _, err := emrtd.Read(t.Context(), b, mrz.MRZ{}, o); (err == nil) != force || err != nil && !errors.Is(err, emrtd.ErrPassword) {
			t.Errorf("two tries left, forced %v: %v", force, err)
		}
	}
	o.CAN = "123456"
	plain, _, o2 := issue(t, "bac", nil)
	o2.CAN = o.CAN
	if _, err := emrtd.Read(t.Context(), plain, mrz.MRZ{}, o2); !errors.Is(err, emrtd.ErrPassword) {
		t.Errorf("a chip without PACE: %v", err)
	}
}

// Fingerprints after Terminal Authentication, by BAC and by PACE, with
// certificates longer than a short command, and not without.
func TestTerminal(t *testing.T) {
	random := testpki.Seed(5)
	day := now.Truncate(24 * time.Hour)
	for _, c := range []struct {
		name   string
		change func(*passport.Profile)
	}{
		{"BAC", func(p *passport.Profile) {
			p.Access, p.CA = passport.BAC, passport.ChipAuth{Parameter: 13, Cipher: kdf.AES128}
		}},
		{"PACE", func(p *passport.Profile) {
			p.Access, p.CA = passport.PACE, passport.ChipAuth{Parameter: 12, Cipher: kdf.AES256}
		}},
		{"short lengths", func(p *passport.Profile) {
			p.Access, p.Short, p.CA = passport.BAC, true, passport.ChipAuth{Parameter: 17, Cipher: kdf.AES256}
		}},
		{"PACE and Chip Authentication with DH", func(p *passport.Profile) {
			p.Access, p.PACE, p.CA = passport.PACE, []passport.Variant{{Mapping: passport.GM, Cipher: kdf.AES128, Parameter: 2}}, passport.ChipAuth{Parameter: 1, Cipher: kdf.AES128}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, err := testpki.NewCVCA("UTCVCA00001", testpki.Suite{}, day.AddDate(-1, 0, 0), day.AddDate(1, 0, 0), random)
			if err != nil {
				t.Fatal(err)
			}
			dv, err := root.Issue("UTDVIS00001", testpki.DVDomestic, 3, day.AddDate(0, 0, -5), day.AddDate(0, 1, 0))
			if err != nil {
				t.Fatal(err)
			}
			is, err := dv.Issue("UTISYS00001", testpki.IS, 1, day.AddDate(0, 0, -1), day.AddDate(0, 0, 5))
			if err != nil {
				t.Fatal(err)
			}
			card, key, o := issue(t, "full", func(p *passport.Profile) {
				p.CVCA, p.Today = [][]byte{root.Cert}, day
				c.change(p)
			})
			o.Groups = []int{3, 4}
			doc, err := emrtd.Read(t.Context(), card, key, o)
			if err != nil || doc.Files["DG3"] != nil {
				t.Fatalf("without certificates: %v, DG3 of %d bytes", err, len(doc.Files["DG3"]))
			}
			o.Terminal = &ta.Terminal{Sign: func(_ io.Reader, message []byte) ([]byte, error) { return is.Sign(message) }}
			for _, b := range [][]byte{root.Cert, dv.Cert, is.Cert} {
				cert, err := ta.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				o.Terminal.Certificates = append(o.Terminal.Certificates, cert)
			}
			card.Reset()
			if doc, err = emrtd.Read(t.Context(), card, key, o); err != nil || doc.Files["DG3"] == nil || doc.Files["DG4"] != nil {
				t.Errorf("%v, DG3 of %d bytes, DG4 of %d\n%+v", err, len(doc.Files["DG3"]), len(doc.Files["DG4"]), doc.Checks)
			}
			// The certificate's last day is over.
			card.Reset()
			o.Now = now.AddDate(0, 0, 7)
			if doc, err = emrtd.Read(t.Context(), card, key, o); err != nil || doc.Files["DG3"] != nil {
				t.Errorf("an expired certificate: %v, DG3 of %d bytes", err, len(doc.Files["DG3"]))
			}
		})
	}
}

// Whatever the chip holds, a reading keeps at most 4 MiB.
func TestBounds(t *testing.T) {
	card, key, o := issue(t, "icao-ext", func(p *passport.Profile) {
		big := func(n int) []byte { return lds.Make(lds.Group(n).Tag, make([]byte, 1<<20-16)) }
		p.Groups = map[int][]byte{3: big(3), 5: big(5), 7: big(7), 4: big(4), 13: lds.Make(0x6D, make([]byte, 100_000))}
		p.Portrait = append([]byte{0xFF, 0xD8, 0xFF, 0xE0}, make([]byte, 900_000)...)
	})
	o.Groups = []int{5, 7, 13, 14, 15}
	doc, err := emrtd.Read(t.Context(), card, key, o)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, b := range doc.Files {
		sum += len(b)
	}
	if sum > 4<<20 || doc.Files["DG13"] != nil || doc.Files["DG7"] == nil || doc.Verdict != emrtd.Incomplete {
		t.Errorf("%d bytes held, %s, %+v", sum, doc.Verdict, doc.Checks)
	}
	// An endless answer ends.
	b := &between{Card: card}
	b.answer = func(apdu.Command, []byte, func([]byte) []byte) ([]byte, error) { return []byte{1, 0x61, 0xFF}, nil }
	if doc, err := emrtd.Read(t.Context(), b, key, o); !errors.Is(err, emrtd.ErrBound) || doc.APDUs > 100 {
		t.Errorf("endless 61xx: %v after %d commands", err, doc.APDUs)
	}
}

// replay answers with fixed bytes, one answer after the other.
type replay struct {
	answers [][]byte
	n       int
}

func (r *replay) Transmit(context.Context, []byte) ([]byte, error) {
	if r.n >= len(r.answers) {
		return nil, apdu.ErrRemoved
	}
	r.n++
	return r.answers[r.n-1], nil
}

func (r *replay) ATR() []byte  { return []byte{0x3B, 0x85, 0x80, 0x01, 0x80, 0x73, 0x80, 0x01, 0xE0} }
func (r *replay) Close() error { return nil }

// FuzzAnswers plays a hostile chip before and during access: EF.CardAccess,
// EF.ATR/INFO, PACE's dynamic data, challenges. No answer opens a session, and
// none does harm. To see the target at work, let pace.Finish take every token:
// the recorded answers then open a session.
func FuzzAnswers(f *testing.F) {
	_, key, o := issue(f, "pace", nil)
	record := func(name string) {
		card, key, o := issue(f, name, nil)
		var all []byte
		b := &between{Card: card}
		b.answer = func(_ apdu.Command, raw []byte, pass func([]byte) []byte) ([]byte, error) {
			out := pass(raw)
			if len(b.list) < 12 && len(out) < 256 {
				all = append(append(all, byte(len(out))), out...)
			}
			return out, nil
		}
		if _, err := emrtd.Read(f.Context(), b, key, o); err != nil {
			f.Fatal(err)
		}
		f.Add(all)
	}
	for _, name := range []string{"icao-ext", "bac", "cam", "pace-gm-3des-0", "pace-im-aes128-13"} {
		record(name)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		chip := &replay{}
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			chip.answers, b = append(chip.answers, b[1:1+n]), b[1+n:]
		}
		o := o
		o.Random = testpki.Seed(77)
		doc, err := emrtd.Read(t.Context(), chip, key, o)
		// Chips without access control may end with a verdict: a bad one.
		if (err == nil) != (doc.Verdict != "") || doc.Verdict == emrtd.ChipGenuine || doc.Verdict == emrtd.CopyPossible {
			t.Errorf("%s, %v", doc.Verdict, err)
		}
		if strings.HasPrefix(doc.Access, "PACE") || doc.Access == "BAC" {
			t.Errorf("%s was opened", doc.Access)
		}
	})
}
