package mrz

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The specimens of ICAO Doc 9303 parts 4, 5 and 6.
var (
	td3 = []string{"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"}
	td1 = []string{"I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"}
	td2 = []string{"I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"}
)

func TestParse(t *testing.T) {
	for _, lines := range [][]string{td3, td1, td2} {
		m, err := Parse(lines...)
		if err != nil {
			t.Fatal(err)
		}
		if m.Surname != "ERIKSSON" || m.GivenNames != "ANNA MARIA" || m.Issuer != "UTO" || m.Birth != "740812" || m.Sex != "F" || m.Expiry != "120415" || !m.Composite() {
			t.Errorf("%v: %+v", m.Size, m)
		}
	}
	m, _ := Parse(td3...)
	if got := m.Information(); got != "L898902C3674081221204159" {
		t.Errorf("information %q", got)
	}
	if strings.Contains(m.String(), "ERIKSSON") {
		t.Error("a printed MRZ shows the name")
	}
}

func TestLongNumber(t *testing.T) {
	// 9303-5: the number runs into the optional field.
	m, err := Parse("I<UTOD23145890<AB112234566<<<<", "7408122F1204159UTO<<<<<<<<<<<4", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<")
	if err != nil || m.Number != "D23145890AB11223456" {
		t.Errorf("%q, %v", m.Number, err)
	}
}

// Any one digit or letter changed in a checked field must not pass.
func TestEveryChangeIsNoticed(t *testing.T) {
	for _, i := range []int{0, 4, 8, 9, 13, 18, 19, 21, 26, 27, 30} {
		l := []byte(td3[1])
		l[i] = '0' + byte((value(l[i])+1)%10) // the digit sees values modulo 10
		if _, err := Parse(td3[0], string(l)); !errors.Is(err, ErrCheckDigit) {
			t.Errorf("position %d: %v", i, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "P<UTO", strings.ToLower(td3[0]) + "é", td3[0], strings.Join(td3, "") + "X", "X" + td3[0][1:] + "\n" + td3[1]} {
		if m, err := Parse(text); err == nil {
			t.Errorf("%.20q was taken for %+v", text, m)
		}
	}
}

func TestMakeGivesWhatParseReads(t *testing.T) {
	for _, lines := range [][]string{td3, td1, td2} {
		m, err := Parse(lines...)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Make(m)
		if err != nil || strings.Join(again.Lines(), "|") != strings.Join(lines, "|") {
			t.Errorf("%v: %v\n%s\n%s", m.Size, err, again.Lines(), lines)
		}
	}
}

func TestDate(t *testing.T) {
	today := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		s     string
		birth bool
		want  string
	}{
		{"740812", true, "1974-08-12"},
		{"261124", true, "2026-11-24"},
		{"261125", true, "1926-11-25"},
		{"260131", false, "2026-01-31"},
		{"411231", false, "2041-12-31"},
		{"420101", false, "1942-01-01"},
		{"990101", false, "1999-01-01"},
		{"260230", true, ""},
		{"<<0812", true, ""},
	} {
		d, ok := Date(c.s, today, c.birth)
		if ok != (c.want != "") || ok && d.Format(time.DateOnly) != c.want {
			t.Errorf("%s: %v %v, want %s", c.s, d, ok, c.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	number := "L8O89O2C3" // read with letters O for zeros
	good := "L80890" + "2C3"
	list := Candidates(number, CheckDigit(good), 8)
	found := false
	for _, c := range list {
		found = found || c == good
	}
	if !found {
		t.Errorf("%v lacks %s", list, good)
	}
}

// vectors are the rows of the standard's examples that are checked here.
type vectors struct {
	MRZ []struct {
		ID          string   `json:"id"`
		Format      string   `json:"format"`
		Lines       []string `json:"lines"`
		Number      string   `json:"document_number"`
		Birth       string   `json:"date_of_birth"`
		Expiry      string   `json:"date_of_expiry"`
		Information string   `json:"mrz_information"`
		Valid       bool     `json:"all_check_digits_valid"`
	} `json:"mrz"`
	Digits []struct {
		Data  string `json:"data"`
		Digit string `json:"check_digit"`
	} `json:"check_digits"`
}

const data = "../../../../shared/data/emrtd/"

func TestVectors(t *testing.T) {
	b, err := os.ReadFile(data + "vectors.json")
	if err != nil {
		t.Skip("test data: ", err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.MRZ) == 0 || len(v.Digits) == 0 {
		t.Fatal("no rows")
	}
	for _, r := range v.MRZ {
		for i := range r.Lines { // one row has a filler too many
			r.Lines[i] = r.Lines[i][:min(len(r.Lines[i]), shape[TD3][1])]
		}
		m, err := Parse(r.Lines...)
		if err != nil || m.Size.String() != r.Format || m.Number != strings.TrimRight(r.Number, "<") || m.Birth != r.Birth || m.Expiry != r.Expiry || m.Information() != r.Information || m.Composite() != r.Valid {
			t.Errorf("%s: %v %s, information %s, composite %v, %v", r.ID, m.Size, m.Number, m.Information(), m.Composite(), err)
		}
		again, err := Make(m)
		if err != nil || r.Valid && !slices.Equal(again.Lines(), r.Lines) {
			t.Errorf("%s: made again %q, %v", r.ID, again.Lines(), err)
		}
		if list := Alternatives(r.Lines...); len(list) == 0 || !slices.Equal(list[0].Lines(), r.Lines) {
			t.Errorf("%s: its first alternative is not itself", r.ID)
		}
	}
	for _, r := range v.Digits {
		if got := string(CheckDigit(r.Data)); got != r.Digit {
			t.Errorf("%s: %s, want %s", r.Data, got, r.Digit)
		}
	}
}

// The specimens whose pictures are in the test data.
func TestSpecimens(t *testing.T) {
	b, err := os.ReadFile(data + "MRZ_TRUTH.tsv")
	if err != nil {
		t.Skip("test data: ", err)
	}
	rows := strings.Split(strings.TrimSpace(string(b)), "\n")[1:]
	for _, row := range rows {
		f := strings.Split(row, "\t")
		m, err := Parse(strings.Split(f[2], "|")...)
		if err != nil || !m.Composite() || !strings.Contains(f[1], m.Size.String()) {
			t.Errorf("%s: %v, composite %v, %v", f[0], m.Size, m.Composite(), err)
		}
	}
	if len(rows) < 12 {
		t.Error(len(rows), "rows")
	}
}

func TestVisas(t *testing.T) {
	for _, lines := range [][]string{
		{"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L8988901C4XXX4009078F96121096ZE184226B<<<<<<"}, // 9303-7 §4, MRV-A
		{"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F9612109<<<<<<<<"},                 // §5, MRV-B
	} {
		m, err := Parse(lines...)
		if err != nil || !m.Size.visa() || m.Number != "L8988901C" || m.Nationality != "XXX" || !m.Composite() {
			t.Errorf("%+v, %v", m, err)
		}
		if again, err := Make(m); err != nil || !slices.Equal(again.Lines(), lines) {
			t.Errorf("made again: %q, %v", again.Lines(), err)
		}
	}
}

func TestMakeCuts(t *testing.T) {
	base := MRZ{Size: TD2, Code: "I", Issuer: "UTO", Nationality: "UTO", Number: "D23145890734", Birth: "740812", Sex: "F", Expiry: "340415"}
	for _, c := range []struct{ surname, given, field string }{
		{"Müller", "Jürgen", "MUELLER<<JUERGEN<<<<<<<<<<<<<<<"},
		{"Nilavadhanananda", "Chayapa Dejthamrong Krasuang", "NILAVADHANANANDA<<CHAYAPA<DEJTH"},
		{"Papandropoulous", "Jonathon Alec", "PAPANDROPOULOUS<<JONATHON<ALEC<"},
		{"Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Bo", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA<<B"},
		{"Abcdefghijklmnopqrstuvw", "Olga X Y", "ABCDEFGHIJKLMNOPQRSTUVW<<OLGA<X"},
		{"Arkfreith", "", "ARKFREITH<<<<<<<<<<<<<<<<<<<<<<"},
	} {
		m := base
		m.Surname, m.GivenNames = c.surname, c.given
		made, err := Make(m)
		if err != nil {
			t.Error(c.surname, err)
			continue
		}
		if got := made.Lines()[0][5:]; got != c.field && got != c.field+"<" {
			t.Errorf("%q, want %q", got, c.field)
		}
		if made.Number != base.Number || !made.Composite() {
			t.Errorf("number %s, composite %v", made.Number, made.Composite())
		}
		for _, x := range Compare(Person{Surname: c.surname, GivenNames: c.given}, made.Person()) {
			if x.Class == Different {
				t.Errorf("%s and %s: %v", x.A, x.B, x.Class)
			}
		}
	}
	base.Birth = "7408"
	if _, err := Make(base); !errors.Is(err, ErrShape) {
		t.Error("a short date of birth:", err)
	}
}

func TestKnown(t *testing.T) {
	for _, c := range []struct {
		s    string
		want Parts
		ok   bool
	}{
		{"740812", Parts{74, 8, 12}, true},
		{"19740812", Parts{1974, 8, 12}, true},
		{"74<<<<", Parts{74, 0, 0}, true},
		{"<<0812", Parts{-1, 8, 12}, true},
		{"740800", Parts{74, 8, 0}, true},
		{"<<<<<<", Parts{-1, 0, 0}, true},
		{"741301", Parts{74, 13, 1}, false},
		{"7408<2", Parts{}, false},
		{"74O812", Parts{}, false},
		{"", Parts{}, false},
		{"+40812", Parts{}, false},
	} {
		got, ok := Known(c.s)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %v %v", c.s, got, ok)
		}
	}
}

func TestTransliterate(t *testing.T) {
	for in, want := range map[string]string{
		"Müller-Lüdenscheidt": "MUELLER LUEDENSCHEIDT", "D’Artagnan": "DARTAGNAN", "Núñez": "NUNEZ", "Weiß": "WEISS", "Łukasz": "LUKASZ",
		"Иванова": "IVANOVA", "Щербаков": "SHCHERBAKOV", "Þórður": "THORDUR", "SMITH<<JOHN": "SMITH JOHN", "José\u0301": "JOSE", "山田": "",
	} {
		if got := Transliterate(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	zone, err := Make(MRZ{Size: TD3, Code: "P", Issuer: "D", Surname: "MUELLER", GivenNames: "JURGEN MAXIMILIAN ALEXANDER FRITZ", Number: "C01X00T47", Nationality: "D", Birth: "6408<<", Sex: "M", Expiry: "270228"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		other Person
		want  string
	}{
		{"another transliteration, cut", Person{Surname: "Müller", GivenNames: "Jürgen Maximilian Alexander Friedrich"}, "surname equal, given names compatible"},
		{"another man", Person{Surname: "Müller", GivenNames: "Hans"}, "surname equal, given names different"},
		{"another order", Person{Surname: "Jürgen", GivenNames: "Müller"}, "surname different, given names different"},
		{"parted otherwise", Person{Surname: "Müller Jurgen", GivenNames: "Maximilian Alexander Fritz"}, "names compatible"},
		{"one field", Person{Surname: "Mueller Jurgen Maximilian Alexander Fritz"}, "names compatible"},
		{"no table", Person{Surname: "ミュラー", Birth: "19640812"}, "birth compatible"},
		{"unknown day", Person{Birth: "640801"}, "birth compatible"},
		{"the same unknown day", Person{Birth: "6408<<"}, "birth equal"},
		{"another year", Person{Birth: "19650812"}, "birth different"},
		{"no date", Person{Birth: "12 AUG"}, "birth different"},
		{"number", Person{Number: "C01X 00T47"}, "number equal"},
		{"number misread", Person{Number: "CO1XOOT47"}, "number compatible"},
		{"another number", Person{Number: "C01X00T48"}, "number different"},
		{"state", Person{Nationality: "D", Issuer: "DEU"}, "nationality equal, issuer compatible"},
		{"another state", Person{Nationality: "F"}, "nationality different"},
		{"sex", Person{Sex: "M"}, "sex equal"},
		{"unspecified", Person{Sex: "X"}, "sex compatible"},
		{"another sex", Person{Sex: "F"}, "sex different"},
		{"expiry", Person{Expiry: "20270228"}, "expiry equal"},
	} {
		var got []string
		for _, x := range Compare(c.other, zone.Person()) {
			got = append(got, x.Field+" "+x.Class.String())
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

func TestAlternatives(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"letters in dates", []string{td3[0], strings.Replace(td3[1], "7408122", "74O8I22", 1)}},
		{"digits in names", []string{"P<UT0ER1K550N<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", td3[1]}},
		{"a digit in the number", []string{td3[0], strings.Replace(td3[1], "L898902C3", "L8989O2C3", 1)}},
	} {
		list := Alternatives(c.lines...)
		if len(list) == 0 || !slices.Equal(list[0].Lines(), td3) {
			t.Errorf("%s: %d alternatives, the first is %q", c.name, len(list), list)
		}
	}
	// A number whose two doubts cancel out: 8 and B differ by 3, seven times
	// 3 and three times 3 make 30.
	made, err := Make(MRZ{Size: TD3, Code: "P", Issuer: "UTO", Nationality: "UTO", Surname: "A", Number: "88XXXXXXX", Birth: "740812", Sex: "F", Expiry: "340415"})
	if err != nil {
		t.Fatal(err)
	}
	list := Alternatives(made.Lines()...)
	if len(list) != 2 || list[0].Number != "88XXXXXXX" || list[1].Number != "BBXXXXXXX" || !list[1].Composite() {
		t.Errorf("%d alternatives", len(list))
	}
	if list := Alternatives("nonsense"); list != nil {
		t.Error(list)
	}
	long := Candidates("D2314589O734", CheckDigit("D23145890734"), 8)
	if len(long) == 0 || long[0] != "D23145890734" {
		t.Errorf("a long number: %v", long)
	}
}

// A filler that looks like a letter more than like itself is one all the same
// where only fillers follow.
func TestNamesEnd(t *testing.T) {
	lines := [][][]Guess{Doubt(td3[0]), Doubt(td3[1])}
	lines[0][43] = []Guess{{'F', .1}, {'<', 2.5}}
	lines[0][30] = []Guess{{'K', .1}, {'<', 2.5}}
	list, err := Resolve(lines, 8)
	if err != nil || !slices.Equal(list[0].Lines(), td3) {
		t.Errorf("%v, %v", list, err)
	}
	lines[0][43] = []Guess{{'F', .1}, {'<', 9}} // far likelier a letter
	if list, err = Resolve(lines, 8); err != nil || list[0].Lines()[0][43] != 'F' {
		t.Errorf("%v, %v", list, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	good := [][][]Guess{Doubt(td3[0]), Doubt(td3[1])}
	for name, lines := range map[string][][][]Guess{
		"nothing":     nil,
		"one line":    good[:1],
		"too long":    {Doubt(td3[0] + "<"), good[1]},
		"no guess":    {append(slices.Clone(good[0][:43]), nil), good[1]},
		"wrong digit": {good[0], Doubt(strings.Replace(td3[1], "7408122", "7408123", 1))},
		"no code":     {Doubt("X" + td3[0][1:]), good[1]},
		"two octets":  {Doubt(td3[0][:42] + "\xC3\x84"), good[1]},
		"short of it": {Doubt("P<UTOERIKSSON<<ANNA<MARIA<<<<<<\xFF\xFF"), Doubt("D231458907UTO7408122F1204159<<<<\xFF\xFF")},
		"a space":     {Doubt(td3[0][:43] + " "), good[1]},
	} {
		if list, err := Resolve(lines, 8); err == nil {
			t.Errorf("%s: %d zones", name, len(list))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(strings.Join(td3, "\n"))
	f.Add(strings.Join(td1, ""))
	f.Add(strings.Join(td2, "\r\n"))
	f.Add("V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nL8988901C4XXX4009078F9612109<<<<<<<<")
	f.Add("I<UTOD23145890<7349<<<<<<<<<<<\n3407127M9507122UTO<<<<<<<<<<<2\nSTEVENSON<<PETER<JOHN<<<<<<<<<")
	f.Add("P<UT0ER1K550N<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO74O8I22F1204159ZE184226B<<<<<10")
	f.Fuzz(func(t *testing.T, s string) {
		for _, m := range Alternatives(s) {
			if _, err := Parse(m.Lines()...); err != nil {
				t.Errorf("an alternative that is none: %v", err)
			}
		}
		m, err := Parse(s)
		if err != nil {
			return
		}
		for _, c := range Compare(m.Person(), m.Person()) {
			if c.Class != Equal {
				t.Errorf("%s: %v with itself", c.Field, c.Class)
			}
		}
		if again, err := Parse(m.Lines()...); err != nil || again.Information() != m.Information() {
			t.Errorf("%q is not stable: %v", s, err)
		}
	})
}
