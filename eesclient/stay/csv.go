package stay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// MostStays bounds the stays of one file: four a day, for seven years.
const MostStays = 10_000

// ReadCSV reads stays from lines of entry and exit, ISO 8601 dates, with or
// without the heading "entry,exit". An empty exit is an open stay, an empty
// entry an exit without one. Errors say line and column and repeat no value.
func ReadCSV(r io.Reader) ([]Stay, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.ReuseRecord, in.TrimLeadingSpace = -1, true, true
	var list []Stay
	for n := 0; ; n++ {
		f, err := in.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("stay: line %d, column %d: %w", bad.Line, bad.Column, bad.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("stay: %w", err)
		}
		wrong := func(field int, why string) error {
			line, column := in.FieldPos(min(field, len(f)-1))
			return fmt.Errorf("stay: line %d, column %d: %s", line, column, why)
		}
		if n == 0 {
			f[0] = strings.TrimPrefix(f[0], "\ufeff") // as spreadsheets write it
			if len(f) == 2 && strings.EqualFold(strings.TrimSpace(f[0]), "entry") && strings.EqualFold(strings.TrimSpace(f[1]), "exit") {
				continue
			}
		}
		switch {
		case len(f) < 2:
			return nil, wrong(0, "an entry and an exit are wanted, with a comma between them; the exit may be empty")
		case len(f) > 2:
			return nil, wrong(2, "more than an entry and an exit")
		case len(list) == MostStays:
			return nil, wrong(0, fmt.Sprintf("more than %d stays", MostStays))
		}
		var s Stay
		for i, day := range []*Day{&s.First, &s.Last} {
			v := strings.TrimSpace(f[i])
			if v == "" {
				continue
			}
			if *day, err = ParseDay(v); err != nil {
				return nil, wrong(i, "not a day such as 2026-01-31")
			}
		}
		switch {
		case s == Stay{}:
			return nil, wrong(0, "neither entry nor exit")
		case s.First != 0 && s.Last != 0 && s.Last < s.First:
			return nil, wrong(1, "the exit is before the entry")
		}
		list = append(list, s)
	}
}

// earliest is the first day that ReadCSV and ParseDay take: years before any
// travel document that is valid now, and a day other than 0, which means none.
var earliest = On(time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC))

// ParseDay reads an ISO 8601 day, yyyy-mm-dd, from 1970-01-02 to 9999-12-31.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || On(t) < earliest {
		return 0, errors.New("stay: not a day such as 2026-01-31")
	}
	return On(t), nil
}
