package policy

import (
	"testing"
	"time"

	"passage/docs/docstest"
	"passage/kiosk/lane"
)

var today = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func years(n int) time.Time { return today.AddDate(-n, 0, 0) }

// reg is a file with a face reference, found once.
var reg = Flags{Searched: true, Found: 1, Reference: true}

func TestQualify(t *testing.T) {
	td3 := func(issuer, nationality string) Document {
		return Document{Code: "P", Size: TD3, Issuer: issuer, Nationality: nationality, Birth: years(35)}
	}
	with := func(d Document, change func(*Document)) Document { change(&d); return d }
	for _, c := range []struct {
		name    string
		dir     Direction
		doc     Document
		flags   Flags
		class   lane.TravellerClass
		reason  lane.Reason
		confirm bool
	}{
		{"german", Entry, td3("D", "D"), Flags{}, lane.EU, lane.NONE, false},
		{"eleven", Entry, with(td3("FRA", "FRA"), func(d *Document) { d.Birth = years(11) }), Flags{}, lane.EU, lane.AGE, true},
		{"twelve today", Entry, with(td3("FRA", "FRA"), func(d *Document) { d.Birth = years(12) }), Flags{}, lane.EU, lane.NONE, true},
		{"twelve tomorrow", Entry, with(td3("FRA", "FRA"), func(d *Document) { d.Birth = years(12).AddDate(0, 0, 1) }), Flags{}, lane.EU, lane.AGE, true},
		{"seventeen leaves", Exit, with(td3("D", "D"), func(d *Document) { d.Birth = years(17) }), Flags{}, lane.EU, lane.AGE, true},
		{"birth unknown", Entry, with(td3("D", "D"), func(d *Document) { d.Birth = time.Time{} }), Flags{}, lane.EU, lane.AGE, true},
		{"briton registered", Entry, td3("GBR", "GBR"), reg, lane.TCN_LISTED, lane.NONE, true},
		{"briton not registered", Entry, td3("GBR", "GBR"), Flags{Searched: true}, lane.TCN_LISTED, lane.EES_NOT_REG, true},
		{"briton, register down", Entry, td3("GBR", "GBR"), Flags{}, lane.TCN_LISTED, lane.DB_OFF, true},
		{"briton, two files", Entry, td3("GBR", "GBR"), Flags{Searched: true, Found: 2}, lane.TCN_LISTED, lane.EES_AMBIG, true},
		{"british overseas", Entry, td3("GBO", "GBO"), Flags{}, lane.TCN_EXEMPT_OTHER, lane.NAT, true},
		{"brazilian enters", Entry, td3("BRA", "BRA"), Flags{}, lane.TCN_EXEMPT_OTHER, lane.NAT, true},
		{"brazilian leaves", Exit, td3("BRA", "BRA"), reg, lane.TCN_EXEMPT_OTHER, lane.NONE, false},
		{"chinese enters", Entry, td3("CHN", "CHN"), reg, lane.TCN_VISA, lane.VISA, true},
		{"chinese leaves", Exit, td3("CHN", "CHN"), reg, lane.TCN_VISA, lane.NONE, false},
		{"monegasque", Entry, td3("MCO", "MCO"), Flags{}, lane.TCN_MICRO, lane.NONE, false},
		{"vatican", Entry, td3("VAT", "VAT"), Flags{}, lane.TCN_MICRO, lane.NAT, false},
		{"permit", Entry, Document{Code: "AR", Size: TD1, Issuer: "FRA", Nationality: "MAR", Birth: years(35)}, Flags{}, lane.TCN_RESIDENT, lane.RP, false},
		{"family in the file", Entry, td3("USA", "USA"), Flags{Searched: true, Found: 1, Reference: true, FamilyStatus: true}, lane.FAM_NOCARD, lane.FAMILY, true},
		{"refugee", Entry, td3("D", "XXB"), Flags{}, lane.REFUGEE, lane.DOC_TYPE, false},
		{"diplomat", Entry, with(td3("ITA", "ITA"), func(d *Document) { d.Code = "PD" }), Flags{}, lane.DIPLO, lane.DOC_TYPE, false},
		{"no face on file", Exit, td3("CHN", "CHN"), Flags{Searched: true, Found: 1}, lane.TCN_VISA, lane.EES_FACE, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Default(c.dir).Qualify(c.doc, c.flags, today)
			if got.Class != c.class || got.Reason != c.reason || got.Confirm != c.confirm {
				t.Errorf("got class %v, reason %q, confirm %v; want %v, %q, %v", got.Class, got.Reason, got.Confirm, c.class, c.reason, c.confirm)
			}
			if lands := Default(c.dir).Asks(c.doc, today); lands && !InEES(got.Class) && got.Class != lane.FAM_NOCARD && got.Class != lane.TCN_RESIDENT {
				t.Errorf("the register is asked about class %v", got.Class)
			}
		})
	}
}

func TestRegisterIsNotAskedNeedlessly(t *testing.T) {
	p := Default(Entry)
	for nationality, want := range map[string]bool{"D": false, "MCO": false, "BRA": false, "CHN": false, "USA": true, "GBR": true} {
		d := Document{Code: "P", Size: TD3, Issuer: nationality, Nationality: nationality, Birth: years(35)}
		if got := p.Asks(d, today); got != want {
			t.Errorf("Asks(%s) = %v, want %v", nationality, got, want)
		}
	}
}

func TestExamine(t *testing.T) {
	good := Document{Code: "P", Size: TD3, Issuer: "D", Nationality: "D", Birth: years(35), Expiry: today.AddDate(5, 0, 0), Verdict: ChipGenuine}
	for _, c := range []struct {
		name   string
		change func(*Document)
		reason lane.Reason
		alert  bool
	}{
		{"genuine", func(*Document) {}, lane.NONE, false},
		{"expires today", func(d *Document) { d.Expiry = today }, lane.NONE, false},
		{"expired yesterday", func(d *Document) { d.Expiry = today.AddDate(0, 0, -1) }, lane.DOC_EXPIRED, false},
		{"clone", func(d *Document) { d.Verdict = Clone }, lane.CHIP_AUTH, true},
		{"nothing proves the chip", func(d *Document) { d.Verdict = CopyPossible }, lane.CHIP_AUTH, false},
		{"revoked", func(d *Document) { d.Verdict = Revoked }, lane.PA_FAIL, true},
		{"unknown issuer", func(d *Document) { d.Verdict = IssuerUnknown }, lane.PA_UNDET, false},
		{"specimen", func(d *Document) { d.Issuer, d.Nationality = "UTO", "UTO" }, lane.DOC_TYPE, false},
		{"visa sticker", func(d *Document) { d.Code = "V" }, lane.DOC_TYPE, false},
		{"card not enabled", func(d *Document) { d.Code, d.Size = "ID", TD1 }, lane.DOC_TYPE, false},
		{"a verdict nobody knows", func(d *Document) { d.Verdict = "splendid" }, lane.PA_UNDET, false},
		{"old lists", func(d *Document) { d.OldTrust = true }, lane.NONE, false},
		{"old lists, of a class in the register", func(d *Document) { d.OldTrust, d.Issuer, d.Nationality = true, "USA", "USA" }, lane.PA_UNDET, false},
		{"forged, and old lists", func(d *Document) { d.OldTrust, d.Issuer, d.Nationality, d.Verdict = true, "USA", "USA", Altered }, lane.PA_FAIL, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := good
			c.change(&d)
			got := Default(Entry).Examine(d, today)
			if got.Reason != c.reason || got.Alert != c.alert {
				t.Errorf("got %q alert %v, want %q alert %v", got.Reason, got.Alert, c.reason, c.alert)
			}
		})
	}
}

// Only a genuine chip goes on; everything else has a reason.
func TestEveryVerdictButGenuineDiverts(t *testing.T) {
	for _, r := range Table {
		if reason, _ := r.Verdict.effect(false); (reason == lane.NONE) != (r.Verdict == ChipGenuine) {
			t.Errorf("%s: reason %q", r.Verdict, reason)
		}
	}
}

// The printed table is the one that decides.
func TestTableIsPrinted(t *testing.T) {
	docstest.Section(t, "../../docs/chip-verdicts.md", "effect table", TableMarkdown())
}
