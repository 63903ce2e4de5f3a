package web

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

//go:embed messages static
var files embed.FS

// Languages are the product's minimum, in the order of the menu.
var Languages = []string{"en", "fr", "de", "es", "it", "pt", "nl", "pl", "ro", "uk", "ru", "ar", "zh", "ja", "ko"}

// keys are what every message file must have: the screens, the hints, the
// buttons, the notice about data.
var keys = []string{
	"name", "S1", "S2", "S3", "S4", "S5", "S6a", "S6b", "S7", "S8", "S9", "S10", "S11", "S12", "S13", "take", "help", "call", "language",
	"turn", "up", "down", "level", "still", "light", "glare", "shadow", "eyes", "mouth", "uncover", "centre",
	"S14", "S15", "close", "ease", "large", "reach", "sound", "time", "more", "given", "left", "last_day", "data1", "data2", "data3", "data4",
}

// plurals are the forms that a language has of a text with a count, as CLDR
// names them; those not listed have one and other.
var plurals = map[string][]string{
	"fr": {"one", "many", "other"}, "es": {"one", "many", "other"}, "it": {"one", "many", "other"}, "pt": {"one", "many", "other"},
	"pl": {"one", "few", "many", "other"}, "uk": {"one", "few", "many", "other"}, "ru": {"one", "few", "many", "other"},
	"ro": {"one", "few", "other"}, "ar": {"zero", "one", "two", "few", "many", "other"}, "zh": {"other"}, "ja": {"other"}, "ko": {"other"},
}

// needed lists what the message file of a language must have.
func needed(lang string) []string {
	forms, ok := plurals[lang]
	if !ok {
		forms = []string{"one", "other"}
	}
	list := slices.Clone(keys)
	for _, f := range forms {
		list = append(list, "stay_"+f)
	}
	return list
}

// texts reads all message files. A missing or an unknown key is an error: a
// traveller never sees a hole.
func texts() (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, lang := range Languages {
		b, err := fs.ReadFile(files, path.Join("messages", lang+".toml"))
		if err != nil {
			return nil, fmt.Errorf("web: texts: %w", err)
		}
		m := map[string]string{}
		if err := toml.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("web: texts: %s: %w", lang, err)
		}
		want := needed(lang)
		for _, k := range want {
			if strings.TrimSpace(m[k]) == "" {
				return nil, fmt.Errorf("web: texts: %s has no text for %s", lang, k)
			}
		}
		if len(m) != len(want) {
			return nil, fmt.Errorf("web: texts: %s has %d texts, want %d", lang, len(m), len(want))
		}
		all[lang] = m
	}
	return all, nil
}

// byState is the language of a document's issuing state; English else.
var byState = map[string]string{
	"D": "de", "AUT": "de", "CHE": "de", "LIE": "de", "FRA": "fr", "BEL": "fr", "LUX": "fr", "MCO": "fr", "ESP": "es", "MEX": "es",
	"ARG": "es", "CHL": "es", "PER": "es", "COL": "es", "AND": "es", "ITA": "it", "SMR": "it", "VAT": "it", "PRT": "pt", "BRA": "pt",
	"NLD": "nl", "POL": "pl", "ROU": "ro", "MDA": "ro", "UKR": "uk", "RUS": "ru", "BLR": "ru", "CHN": "zh", "TWN": "zh", "HKG": "zh",
	"JPN": "ja", "KOR": "ko", "MAR": "ar", "DZA": "ar", "TUN": "ar", "EGY": "ar", "SAU": "ar", "ARE": "ar", "JOR": "ar", "LBN": "ar",
	"IRQ": "ar", "KWT": "ar", "QAT": "ar",
}

// Shared are the files of the lane page that the site's console shows cases
// with, too.
func Shared() (fs.FS, []string) {
	return files, []string{"static/officers.css", "static/words.js", "static/dom.js", "static/case.js", "static/chair.js", "static/sound.js"}
}
