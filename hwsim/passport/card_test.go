package passport

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/mrz"
	"passage/hwsim/passport/testpki"
)

// fresh is a card of a profile with a small portrait, drawn from a seed.
func fresh(t testing.TB, name string, change func(*Profile)) *Card {
	t.Helper()
	p, err := ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	p.MRZ = mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "UTO", Nationality: "UTO", Surname: "ERIKSSON", GivenNames: "ANNA", Number: "L898902C3", Birth: "740812", Expiry: "310101"}
	p.Portrait, p.Random = append([]byte{0xFF, 0xD8, 0xFF}, make([]byte, 400)...), testpki.Seed(9)
	if change != nil {
		change(&p)
	}
	c, _, err := Issue(p, "UT", today, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exchange is a command and the status word that answers it, in hexadecimal.
type exchange struct{ command, status string }

// What a chip answers to commands outside secure messaging (Doc 9303-10 §3,
// 9303-11 §4.2).
func TestPlainCommands(t *testing.T) {
	const (
		selectApp = "00A4040C07A0000002471001"
		selectMF  = "00A4000C023F00"
	)
	for _, c := range []struct {
		name, profile string
		list          []exchange
	}{
		{"files of the master file", "icao-ext", []exchange{
			{"00B09C0000", "9000"}, {"00B0810000", "9000"}, {"00B09E0000", "9000"}, {"00A4020C022F01", "9000"}, {"00B0000000", "9000"}, {"00B09D0000", "6A82"},
		}},
		{"no sizes, no EF.ATR/INFO", "pace", []exchange{{"00B0810000", "6A82"}, {"00B09C0000", "9000"}}},
		{"EF.CardSecurity is behind PACE", "cam", []exchange{{"00B09D0000", "6982"}}},
		{"BAC's groups are closed", "bac", []exchange{{"00B09C0000", "6A82"}, {selectApp, "9000"}, {"00B0810000", "6982"}, {"00B0900000", "6982"}, {"00B0000000", "6982"}}},
		{"PACE alone selects after PACE", "pace-only", []exchange{{selectApp, "6982"}, {"00B09C0000", "9000"}}},
		{"an open chip", "open", []exchange{{selectApp, "9000"}, {"00B0810000", "9000"}, {"00B0850000", "6A82"}, {"00B081FF10", "6B00"}, {selectMF, "9000"}, {"00B0810000", "6A82"}}},
		{"offsets and ends", "open", []exchange{{selectApp, "9000"}, {"00A4020C020101", "9000"}, {"00B0000010", "9000"}, {"00B0005020", "6282"}, {"00B1000004540200100000", "6700"}, {"00B10000045402001000", "9000"}, {"00B100000454027FFF00", "6B00"}}},
		{"short lengths alone", "icao-short", []exchange{{"00B09C00000000", "6700"}, {"00B09C0000", "9000"}}},
		{"nonsense", "icao-ext", []exchange{{"00", "6700"}, {"00FF0000", "6D00"}, {"0022C1A4028000", "6A80"}, {"10860000027C0000", "6985"}, {"008600000000", "6700"}, {"0CB09C0000", "6988"}, {"00A4040C03A00000", "6A82"}}},
		{"BAC without its challenge", "bac", []exchange{{selectApp, "9000"}, {"0082000028" + hex.EncodeToString(make([]byte, 40)) + "28", "6985"}, {"0084000008", "9000"}, {"0082000028" + hex.EncodeToString(make([]byte, 40)) + "28", "6300"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := fresh(t, c.profile, nil)
			for _, x := range c.list {
				reply, err := card.Transmit(t.Context(), unhex(x.command))
				if err != nil || len(reply) < 2 {
					t.Fatalf("%s: %X, %v", x.command, reply, err)
				}
				if got := hex.EncodeToString(reply[len(reply)-2:]); !bytes.EqualFold([]byte(got), []byte(x.status)) {
					t.Errorf("%s: %s, want %s", x.command, got, x.status)
				}
			}
		})
	}
}

// Answers longer than what was asked for come in parts (ISO/IEC 7816-4
// §5.3.4), and commands in a chain are one (§5.3.3).
func TestParts(t *testing.T) {
	card := fresh(t, "open", func(p *Profile) { p.AA = ActiveAuth{Bits: 2048} })
	send := func(command string) []byte {
		reply, err := card.Transmit(t.Context(), unhex(command))
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	send("00A4040C07A0000002471001")
	whole := send("0088000008" + "0102030405060708" + "00")
	if len(whole) != 258 || whole[256] != 0x90 {
		t.Fatalf("%d bytes, %X", len(whole), whole[len(whole)-2:])
	}
	part := send("0088000008" + "0102030405060708" + "64")
	if !bytes.HasSuffix(part, []byte{0x61, 156}) {
		t.Fatalf("%X", part[len(part)-2:])
	}
	n := len(part) - 2
	for bytes.HasSuffix(part, []byte{0x61, part[len(part)-1]}) && part[len(part)-2] == 0x61 {
		part = send("00C0000064")
		n += len(part) - 2
	}
	if n != 256 || !bytes.HasSuffix(part, []byte{0x90, 0}) {
		t.Errorf("%d bytes in parts, %X", n, part[len(part)-2:])
	}
	if got := send("10880000040102030400"); !bytes.Equal(got, []byte{0x90, 0}) {
		t.Errorf("the first part of a command: %X", got)
	}
	if got := send("0088000004" + "05060708" + "00"); len(got) != 258 {
		t.Errorf("a command in parts: %X", got)
	}
	strict := fresh(t, "open", func(p *Profile) { p.NoChaining = true })
	reply, err := strict.Transmit(t.Context(), unhex("10880000040102030400"))
	if err != nil || !bytes.Equal(reply, []byte{0x68, 0x84}) {
		t.Errorf("a chip without chaining: %X, %v", reply, err)
	}
}

// The link's model: the floor of 15 exchanges and 23,500 bytes, at every rate.
func TestLinkTime(t *testing.T) {
	for _, c := range []struct {
		rate, fsc int
		want      time.Duration
	}{
		{106, 0, 2150 * time.Millisecond},
		{212, 0, 1120 * time.Millisecond},
		{424, 0, 605 * time.Millisecond},
		{848, 0, 345 * time.Millisecond},
		{424, 16, 1960 * time.Millisecond},
		{0, 0, 0},
	} {
		card := &Card{Rate: c.rate, FSC: c.fsc}
		got := card.linkTime(23_500)
		if c.rate > 0 {
			got += 14 * 2 * time.Millisecond
		}
		if d := got - c.want; d > 30*time.Millisecond || d < -30*time.Millisecond {
			t.Errorf("%d kbit/s, frames of %d: %v, want about %v", c.rate, c.fsc, got, c.want)
		}
	}
	slow := &Card{Rate: 424, profile: Profile{Crypto: time.Second, FWT: 300 * time.Millisecond}}
	if got := slow.compute(2); got < 2*time.Second+8*time.Millisecond || got > 2*time.Second+15*time.Millisecond {
		t.Errorf("two operations and twelve frames: %v", got)
	}
}

// A chip says what it is capable of in its historical bytes and in
// EF.ATR/INFO; the answer to reset ends with its check character.
func TestCapabilities(t *testing.T) {
	for name, want := range map[string]byte{"icao-ext": 0xE0, "icao-2048": 0xE0, "icao-short": 0x80, "pace": 0xC0} {
		card := fresh(t, name, nil)
		atr := card.ATR()
		sum := byte(0)
		for _, b := range atr[1:] {
			sum ^= b
		}
		if sum != 0 || atr[8] != want {
			t.Errorf("%s: %X", name, atr)
		}
	}
	info := fresh(t, "icao-2048", nil).mf[fidAttributes]
	if v, ok := lds.Find(info, 0x7F66); !ok || !bytes.Equal(v, unhex("0202080002020800")) {
		t.Errorf("EF.ATR/INFO: %X", info)
	}
}

func TestProfilesAreRefused(t *testing.T) {
	if _, err := ByName("pace-cam-3des-13"); err == nil {
		t.Error("CAM with 3DES is a profile")
	}
	for _, p := range []Profile{
		{Access: PACE, PACE: []Variant{{IM, 2, 10}}},
		{Faults: map[string]int{"nonsense": 1}},
		{CVCA: [][]byte{{1, 2, 3}}},
		{CA: ChipAuth{Parameter: 5, Cipher: 2}},
	} {
		p.MRZ = mrz.MRZ{Size: mrz.TD3, Code: "P", Issuer: "UTO", Nationality: "UTO", Surname: "E", Number: "L898902C3", Birth: "740812", Expiry: "310101"}
		if _, err := New(p, nil); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

// FuzzTransmit sends foreign commands to a chip in a session of every kind: it
// answers each with a status word.
func FuzzTransmit(f *testing.F) {
	for _, s := range []string{"00B09C0000", "00A4040C07A0000002471001", "0022C1A40F800A04007F000702020402028301018401 0D", "10860000027C0000", "0C86000000", "00B1000004540200100000"} {
		b, _ := hex.DecodeString(s)
		f.Add(b, byte(0))
	}
	card := fresh(f, "full", func(p *Profile) { p.Access = NoAccess })
	f.Fuzz(func(t *testing.T, b []byte, state byte) {
		card.Reset()
		card.v.app = state&1 != 0
		if state&2 != 0 {
			card.v.pace = &paceRun{variant: card.profile.PACE[0], a: onCurve{standardCurve(13)}, password: passwordMRZ, stage: int(state>>4) % 4}
			card.v.pace.nonce = make([]byte, 16)
			g := card.v.pace.a.base()
			card.v.pace.base, card.v.pace.own, card.v.pace.theirs = g, pair{big.NewInt(1), g}, g
		}
		reply, err := card.Transmit(t.Context(), b)
		if err != nil || len(reply) < 2 {
			t.Errorf("%X: %X, %v", b, reply, err)
		}
	})
}
