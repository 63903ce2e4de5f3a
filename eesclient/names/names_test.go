package names

import (
	"strings"
	"testing"
)

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{
		"Müller-Lüdenscheidt": "MUELLER LUEDENSCHEIDT", "MUSTERMANN<<": "MUSTERMANN", "O’Connor": "OCONNOR", "d'Artagnan": "DARTAGNAN",
		"Ångström": "AANGSTROEM", "Øre": "OERE", "Þórðarson": "THORDARSON", "Núñez  Peña": "NUNEZ PENA", "Weiß": "WEISS", "Łukasz": "LUKASZ",
		"  ": "", "Şahin": "SAHIN", "İnci": "INCI", "e\u0301clair": "ECLAIR", "王": "", "St. John": "ST JOHN", "VAN<DER<BERG": "VAN DER BERG",
	} {
		if got := Normal(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := First("Anna-Maria Sofia"); got != "ANNA" {
		t.Errorf("first given name %q", got)
	}
}

// The codes that the literature gives.
func TestSound(t *testing.T) {
	for in, want := range map[string]string{
		"Müller-Lüdenscheidt": "65752682", "Wikipedia": "3412", "Breschnew": "17863", "": "",
	} {
		if got := Sound(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, alike := range [][]string{
		{"Meyer", "Meier", "Maier", "Mayr"}, {"Schmidt", "Schmitt", "Schmid"}, {"Philip", "Filip"}, {"Yilmaz", "Ilmaz"}, {"Kowalski", "Covalsky"},
	} {
		for _, n := range alike {
			if Sound(n) != Sound(alike[0]) {
				t.Errorf("%s %s, %s %s", n, Sound(n), alike[0], Sound(alike[0]))
			}
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("Müller-Lüdenscheidt")
	f.Add("ERIKSSON<<ANNA<MARIA")
	f.Fuzz(func(t *testing.T, s string) {
		n := Normal(s)
		if Normal(n) != n {
			t.Errorf("%q becomes %q and then %q", s, n, Normal(n))
		}
		if strings.Trim(n, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") != "" || strings.Contains(n, "  ") || strings.TrimSpace(n) != n {
			t.Errorf("%q: %q", s, n)
		}
		if strings.Trim(Sound(s), "012345678") != "" || Sound(s) != Sound(n) {
			t.Errorf("%q sounds %q", s, Sound(s))
		}
	})
}
