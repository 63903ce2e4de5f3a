package commission

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"passage/drivers/gate/regmap"
	"passage/durable"
	"passage/kiosk/config"
)

// Done is a step as it went. A zero Result is a step that is still to come.
type Done struct {
	No     int    `json:"no"`
	ID     string `json:"id"`
	Title  string `json:"title"`
	Expect string `json:"expect"`
	Person bool   `json:"person,omitempty"`
	Outcome
	Who     string    `json:"who,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Seconds float64   `json:"seconds,omitempty"`
	Trace   []Sample  `json:"trace,omitempty"`
}

// File is a file and its SHA-256.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Report is a site acceptance report.
type Report struct {
	Format    int              `json:"format"` // 1
	Lane      string           `json:"lane"`
	Site      string           `json:"site"`
	Direction string           `json:"direction"`
	Gate      string           `json:"gate"`
	Lacks     []regmap.Verdict `json:"lacks,omitempty"` // what a foreign gate cannot say, and officers do instead
	Began     time.Time        `json:"began"`
	Ended     time.Time        `json:"ended,omitzero"`
	Version   string           `json:"version"`
	Config    File             `json:"config"`
	Programs  []File           `json:"programs"`
	Verdict   string           `json:"verdict"` // PASS, FAIL, INCOMPLETE
	Steps     []Done           `json:"steps"`
}

// NewReport is a report of a lane to which nothing has been done yet.
func NewReport(c config.Config, path string, programs ...string) (*Report, error) {
	r := &Report{Format: 1, Lane: c.Kiosk.Lane, Site: c.Kiosk.Site, Direction: string(c.Kiosk.Policy.Direction), Gate: "ABC-LANE 1.0", Began: time.Now(), Verdict: "INCOMPLETE"}
	if info, ok := debug.ReadBuildInfo(); ok {
		r.Version = info.Main.Version
	}
	if m := c.Gate.Map; m != nil {
		r.Gate = "register map: " + m.Name
		for _, v := range m.Judge(c.Gate.Baud, c.Gate.FallbackFrees) {
			if v.State == "officer" {
				r.Lacks = append(r.Lacks, v)
			}
		}
	}
	var err error
	if r.Config, err = sum(path); err != nil {
		return nil, err
	}
	for _, p := range programs {
		f, err := sum(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a lane whose programs come later
		}
		if err != nil {
			return nil, err
		}
		r.Programs = append(r.Programs, f)
	}
	return r, nil
}

// sum is a file and its hash.
func sum(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("commission: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return File{}, fmt.Errorf("commission: %s: %w", path, err)
	}
	return File{path, hex.EncodeToString(h.Sum(nil))}, nil
}

// Resume takes over the steps of an earlier report of the same configuration and
// programs that were good, but for those whose name begins with again. It
// reports how many.
func (r *Report) Resume(old *Report, again string) int {
	if old.Config.SHA256 != r.Config.SHA256 || !slices.Equal(old.Programs, r.Programs) {
		return 0
	}
	n := 0
	r.Began, r.Steps = old.Began, slices.Clone(old.Steps)
	for i, d := range r.Steps {
		switch {
		case again != "" && strings.HasPrefix(d.ID, again):
			r.Steps[i].Outcome = Outcome{}
		case d.Result == Pass || d.Result == Warn:
			n++
		}
	}
	return n
}

// begin makes a line for each step, keeping those that are there.
func (r *Report) begin(steps []Step) {
	list := make([]Done, len(steps))
	for i, s := range steps {
		list[i] = Done{No: i + 1, ID: s.ID, Title: s.Title, Expect: s.Expect, Person: s.Person}
		if k := slices.IndexFunc(r.Steps, func(d Done) bool { return d.ID == s.ID }); k >= 0 {
			list[i] = r.Steps[k]
			list[i].No = i + 1
		}
	}
	r.Steps = list
	r.judge()
}

// judge gives the verdict: every step done, and none failed.
func (r *Report) judge() {
	r.Verdict = "PASS"
	for _, d := range r.Steps {
		switch {
		case d.Result == Fail:
			r.Verdict = "FAIL"
			return
		case d.Result == "" || d.Result == Skip:
			r.Verdict = "INCOMPLETE"
		}
	}
}

// Names of a report's files.
const (
	JSONFile = "acceptance.json"
	HTMLFile = "acceptance.html"
	NoteFile = "acceptance.note"
)

// maxReport bounds a report that is read: a test has some hundred kilobytes.
const maxReport = 32 << 20

// Read reads a report in dir.
func Read(dir string) (*Report, error) {
	f, err := os.Open(filepath.Join(dir, JSONFile))
	if err != nil {
		return nil, fmt.Errorf("commission: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxReport))
	if err != nil {
		return nil, fmt.Errorf("commission: %w", err)
	}
	return ParseReport(b)
}

// ParseReport reads a report. It refuses another format, and steps that no test
// has.
func ParseReport(b []byte) (*Report, error) {
	var r Report
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("commission: report: %w", err)
	}
	if r.Format != 1 {
		return nil, fmt.Errorf("commission: report: format %d, this program reads 1", r.Format)
	}
	seen := map[string]bool{}
	for _, s := range r.Steps {
		if s.ID == "" || seen[s.ID] || !slices.Contains([]Result{"", Pass, Warn, Fail, Skip}, s.Result) {
			return nil, fmt.Errorf("commission: report: step %q with result %q", s.ID, s.Result)
		}
		seen[s.ID] = true
	}
	return &r, nil
}

// Write writes the report into dir: for programs, for people, and, with a
// signer, the lane's word for both. Each file is whole or the one before.
func (r *Report) Write(dir string, signer note.Signer) error {
	r.judge()
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("commission: report: %w", err)
	}
	b = append(b, '\n')
	var signature []byte
	if signer != nil {
		if signature, err = note.Sign(&note.Note{Text: statement(r.Lane, b)}, signer); err != nil {
			return fmt.Errorf("commission: sign: %w", err)
		}
	}
	page, err := r.Page(b, string(signature))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("commission: %w", err)
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{{JSONFile, b}, {NoteFile, signature}, {HTMLFile, page}} {
		if f.b == nil {
			continue
		}
		if err := durable.Replace(filepath.Join(dir, f.name), f.b, 0o644); err != nil {
			return fmt.Errorf("commission: %w", err)
		}
	}
	return nil
}

// statement is what a lane signs.
func statement(lane string, report []byte) string {
	h := sha256.Sum256(report)
	return fmt.Sprintf("passage/acceptance/%s\n%s\n", lane, hex.EncodeToString(h[:]))
}

// Verify says whether the lane whose public key v is signed for the report in
// dir as it is there.
func Verify(dir string, v note.Verifier) (*Report, error) {
	b, err := os.ReadFile(filepath.Join(dir, JSONFile))
	if err != nil {
		return nil, fmt.Errorf("commission: %w", err)
	}
	signature, err := os.ReadFile(filepath.Join(dir, NoteFile))
	if err != nil {
		return nil, fmt.Errorf("commission: %w", err)
	}
	r, err := ParseReport(b)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(signature, note.VerifierList(v))
	if err != nil {
		return nil, fmt.Errorf("commission: signature: %w", err)
	}
	if n.Text != statement(r.Lane, b) {
		return nil, errors.New("commission: the report is not the one that was signed")
	}
	return r, nil
}
