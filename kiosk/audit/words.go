package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"passage/kiosk/officer"
)

// Line is one line of a site's export: a roster that held, or a word that was
// carried to a lane. Rosters come first, words in their order.
type Line struct {
	Roster *Roster `json:"roster,omitempty"`
	Word   *Word   `json:"word,omitempty"`
}

// Roster is who might speak from a time on.
type Roster struct {
	At     int64          `json:"at"` // Unix s
	Signed officer.Signed `json:"signed"`
}

// Word is what the site kept of an officer's word.
type Word struct {
	ID          int64  `json:"id"` // 1, 2, 3, …
	At          int64  `json:"at"` // Unix ms, when it was carried
	Officer     string `json:"officer"`
	Lane        string `json:"lane"`
	Kind        string `json:"kind"`
	Value       string `json:"value"`
	Transaction string `json:"transaction"`
	Reason      string `json:"reason"`
	Answer      string `json:"answer"` // the lane's
	Envelope    []byte `json:"envelope"`
}

// Proven counts an export's words.
type Proven struct {
	Words   int // that an officer's passkey stands behind
	Refused int // that the lane refused, and that prove nothing
}

// ErrWords says that an export is not what officers said.
var ErrWords = errors.New("audit: words")

// refusals are answers of a lane to a word that it did not take for proven, or
// never had.
var refusals = map[string]bool{"unproven": true, "unreachable": true, "": true}

const maxLine = 8 << 20

// behind is how long a lane may go on with a roster that another one has replaced:
// it asks for the newest every half minute, and without the site it hears nobody.
const behind = 5 * time.Minute

// VerifyWords proves an export: each word was signed by a session key that a
// passkey of a roster of that time certified, was as old as words may be when it
// was carried, says what the row beside it says, was taken once, and none is
// missing between the first and the last. What a lane took must be proven; what
// it refused need not be. Words after the last one cannot be missed. Every error
// wraps ErrWords.
func VerifyWords(r io.Reader, key ed25519.PublicKey) (p Proven, err error) {
	var rosters []*officer.Roster
	var from []int64
	last := int64(0)
	taken := map[string]int64{} // by lane and word, the number
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var l Line
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil || (l.Roster == nil) == (l.Word == nil) {
			return p, fmt.Errorf("%w: line %d is none", ErrWords, n)
		}
		if l.Roster != nil {
			r, err := l.Roster.Signed.Open(key, time.Unix(l.Roster.At, 0))
			if err != nil {
				return p, fmt.Errorf("%w: line %d: %w", ErrWords, n, err)
			}
			rosters, from = append(rosters, r), append(from, l.Roster.At)
			continue
		}
		w := l.Word
		if last != 0 && w.ID != last+1 {
			return p, fmt.Errorf("%w: after number %d comes %d: words are missing", ErrWords, last, w.ID)
		}
		last = w.ID
		err := fmt.Errorf("%w: number %d: no roster held then", ErrWords, w.ID)
		for i := len(rosters) - 1; i >= 0 && err != nil; i-- { // a lane may not have had the newest one yet
			replaced := i+1 < len(rosters) && w.At > from[i+1]*1000+behind.Milliseconds()
			if from[i]*1000 <= w.At+1000 && !replaced {
				err = w.proven(rosters[i])
			}
		}
		if err == nil && !refusals[w.Answer] {
			var e officer.Envelope
			_ = json.Unmarshal(w.Envelope, &e) // it was read a moment ago
			word := w.Lane + "\n" + e.Session.Officer + "\n" + string(e.Word)
			if first, again := taken[word]; again {
				return p, fmt.Errorf("%w: number %d is number %d once more: a word counts once", ErrWords, w.ID, first)
			}
			taken[word] = w.ID
		}
		switch {
		case err == nil:
			p.Words++
		case refusals[w.Answer]:
			p.Refused++
		default:
			return p, err
		}
	}
	if err := lines.Err(); err != nil {
		return p, fmt.Errorf("%w: %w", ErrWords, err)
	}
	return p, nil
}

// proven says whether an officer of the roster said the word.
func (w Word) proven(r *officer.Roster) error {
	ear := &officer.Ear{Lane: w.Lane}
	if err := ear.Take(r); err != nil {
		return fmt.Errorf("%w: number %d: %w", ErrWords, w.ID, err)
	}
	said, err := ear.Hear(w.Envelope, time.UnixMilli(w.At))
	if err != nil {
		return fmt.Errorf("%w: number %d: %w", ErrWords, w.ID, err)
	}
	if said.Officer.ID != w.Officer || string(said.Kind) != w.Kind || said.Value != w.Value || said.Transaction != w.Transaction || said.Reason != w.Reason {
		return fmt.Errorf("%w: number %d: the officer said something else than the row beside it", ErrWords, w.ID)
	}
	return nil
}
