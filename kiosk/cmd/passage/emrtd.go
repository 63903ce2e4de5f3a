package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"passage/drivers/apdu"
	"passage/drivers/emrtd"
	zone "passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/pcsc"
)

type emrtdReadCmd struct {
	Sim      string        `placeholder:"PROFILE" help:"Read a simulated passport: pace, bac or open."`
	Fault    []string      `help:"Faults of the simulated passport; hwsim passport --list names them."`
	MRZ      string        `name:"mrz" help:"The lines printed on the document: two of a passport, three of a card."`
	Reader   string        `help:"Part of the PC/SC reader's name; the first reader by default."`
	Trust    string        `type:"existingdir" help:"Trust folder; with --sim the simulated state's by default."`
	Out      string        `help:"Write the files as they were read to this folder: SOD.bin, DG1.bin, …; with --sim the simulated state's trust folder, too."`
	SkipPACE bool          `name:"skip-pace" help:"Read by BAC alone."`
	Wait     time.Duration `default:"30s" help:"How long to wait for a document."`
	Quiet    bool          `help:"Do not print each command."`
	JSON     bool          `name:"json" help:"As JSON."`
}

func (emrtdReadCmd) Help() string {
	return `Example: a simulated passport with PACE, then one whose chip is a copy.

  passage emrtd read --sim pace
  passage emrtd read --sim pace --fault clone

With its files, to be judged again by passage trust verify:

  passage emrtd read --sim bac --out /tmp/anna

A real one on a PC/SC reader:

  passage emrtd read --mrz "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<
  L898902C36UTO7408122F1204159ZE184226B<<<<<10" --trust /var/lib/passage/trust

Every command to the chip is printed on standard error as it is answered. What
the reading found is printed with the reason of each check: a forgery is an
answer, and no failure of this command.`
}

// maxReading bounds a reading; a chip takes seconds.
const maxReading = 2 * time.Minute

func (c emrtdReadCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait+maxReading)
	defer cancel()
	var card apdu.Card
	var key zone.MRZ
	var err error
	switch {
	case c.Sim != "":
		dir := filepath.Join(c.Out, "trust")
		if c.Out == "" {
			if dir, err = os.MkdirTemp("", "passage-trust-"); err != nil {
				return err
			}
			defer os.RemoveAll(dir)
		}
		path, err := beside("hwsim")
		if err != nil {
			return err
		}
		s, err := startSim(ctx, path, c.Sim, c.Fault, dir)
		if err != nil {
			return err
		}
		card, key = s, s.zone
		if c.Trust == "" {
			c.Trust = dir
		}
	case c.MRZ == "":
		return errors.New("emrtd read: the chip opens only to who knows the printed lines: --mrz \"two lines\", or --sim pace without a document")
	default:
		if key, err = zone.Parse(c.MRZ); err != nil {
			return err
		}
		if card, err = c.connect(ctx); err != nil {
			return err
		}
	}
	defer card.Close()
	trust := pki.NewStore(nil, nil)
	if c.Trust != "" {
		if trust, err = pki.LoadDir(c.Trust); err != nil {
			return err
		}
	}
	if !c.Quiet && !c.JSON {
		card = &traced{Card: card, out: os.Stderr, began: time.Now()}
	}
	doc, err := emrtd.Read(ctx, card, key, emrtd.Options{Trust: trust, SkipPACE: c.SkipPACE})
	if c.Out != "" {
		if werr := writeFiles(c.Out, doc.Files); werr != nil {
			return errors.Join(err, werr)
		}
	}
	if c.JSON {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(report(doc, err)), err)
	}
	printDocument(doc)
	if c.Trust == "" {
		fmt.Println("without --trust nothing can be said about the issuer")
	}
	return err
}

// connect waits for a document on the reader.
func (c emrtdReadCmd) connect(ctx context.Context) (apdu.Card, error) {
	names, err := pcsc.List()
	if err != nil {
		return nil, fmt.Errorf("%w: is pcscd running?", err)
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, c.Reader) }) {
		return nil, fmt.Errorf("emrtd read: no reader's name contains %q; there are %q", c.Reader, names)
	}
	r := &pcsc.Reader{Name: c.Reader}
	watching, stop := context.WithCancel(ctx)
	there := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Watch(watching, func(present bool) { // it ends with watching
			if present {
				select {
				case there <- struct{}{}:
				default:
				}
			}
		})
	}()
	end := func() {
		stop()
		<-ended
	}
	fmt.Fprintln(os.Stderr, "lay the document on the reader")
	select {
	case <-there:
		var card apdu.Card
		if card, err = r.Connect(ctx); err == nil {
			return &watched{card, end}, nil
		}
	case <-time.After(c.Wait):
		err = fmt.Errorf("emrtd read: no document within %v", c.Wait)
	case <-ctx.Done():
		err = ctx.Err()
	}
	end()
	return nil, err
}

// watched is a card on a reader that is watched until the card is closed: the
// watch's end takes its handle away.
type watched struct {
	apdu.Card
	end func()
}

func (w *watched) Close() error {
	err := w.Card.Close()
	w.end()
	return err
}

// traced prints what is asked of a card and how it answered, without data.
type traced struct {
	apdu.Card
	out   io.Writer
	began time.Time
}

var instructions = map[byte]string{
	0x22: "MSE:Set AT", 0x82: "EXTERNAL AUTHENTICATE", 0x84: "GET CHALLENGE", 0x86: "GENERAL AUTHENTICATE",
	0x88: "INTERNAL AUTHENTICATE", 0xA4: "SELECT", 0xB0: "READ BINARY", 0xB1: "READ BINARY (odd)",
}

func (t *traced) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	start := time.Now()
	reply, err := t.Card.Transmit(ctx, command)
	name := instructions[command[1]]
	if name == "" {
		name = fmt.Sprintf("instruction %02X", command[1])
	}
	if command[0]&0x0C == 0x0C {
		name += ", protected"
	}
	how := fmt.Sprint(err)
	if r, perr := apdu.ParseResponse(reply); err == nil && perr == nil {
		how = fmt.Sprintf("%v, %d bytes", r.SW, len(r.Data))
	}
	fmt.Fprintf(t.out, "%8.1f ms  %-34s %6.1f ms  %s\n", ms(start.Sub(t.began)), name, ms(time.Since(start)), how)
	return reply, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".bin"), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// documentReport is a reading as JSON.
type documentReport struct {
	Error    string          `json:"error,omitempty"`
	Verdict  string          `json:"verdict,omitempty"`
	Access   string          `json:"access"`
	Fallback []string        `json:"fallback,omitempty"`
	Zone     *zoneReport     `json:"zone,omitempty"`
	Portrait *portraitReport `json:"portrait,omitempty"`
	Files    map[string]int  `json:"files"` // name to bytes
	Checks   []checkReport   `json:"checks"`
	Steps    []stepReport    `json:"steps"`
	APDUs    int             `json:"apdus,omitempty"`
	Bytes    int             `json:"bytes,omitempty"`
}

type zoneReport struct {
	Size        string `json:"size"`
	Code        string `json:"code"`
	Issuer      string `json:"issuer"`
	Surname     string `json:"surname"`
	GivenNames  string `json:"given_names"`
	Number      string `json:"number"`
	Nationality string `json:"nationality"`
	Birth       string `json:"birth"` // yymmdd
	Sex         string `json:"sex"`
	Expiry      string `json:"expiry"` // yymmdd
}

type portraitReport struct {
	Format string `json:"format"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type checkReport struct {
	Name   string `json:"name"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

type stepReport struct {
	Name  string  `json:"name"`
	Start float64 `json:"start_ms"`
	Took  float64 `json:"took_ms"`
}

func report(d *emrtd.Document, err error) documentReport {
	r := documentReport{Verdict: string(d.Verdict), Access: d.Access, Fallback: d.Fallback, Files: map[string]int{}, Checks: []checkReport{}, Steps: []stepReport{}, APDUs: d.APDUs, Bytes: d.Bytes}
	if err != nil {
		r.Error = err.Error()
	}
	if m := d.MRZ; m.Size != 0 {
		r.Zone = &zoneReport{m.Size.String(), m.Code, m.Issuer, m.Surname, m.GivenNames, m.Number, m.Nationality, m.Birth, m.Sex, m.Expiry}
	}
	if p := d.Portrait; p.Format != 0 {
		r.Portrait = &portraitReport{p.Format.String(), len(p.Stream), hex.EncodeToString(p.SHA256[:])}
	}
	for name, b := range d.Files {
		r.Files[name] = len(b)
	}
	for _, c := range d.Checks {
		r.Checks = append(r.Checks, checkReport{c.Name, string(c.Code), c.Reason})
	}
	for _, s := range d.Steps {
		r.Steps = append(r.Steps, stepReport{s.Name, ms(s.Start), ms(s.End - s.Start)})
	}
	return r
}

func printDocument(d *emrtd.Document) {
	r := report(d, nil)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer w.Flush()
	if z := r.Zone; z != nil {
		fmt.Fprintf(w, "\ndocument\t%s %s of %s, %s, valid to %s\n", z.Size, z.Code, z.Issuer, z.Number, z.Expiry)
		fmt.Fprintf(w, "holder\t%s %s, %s, born %s, %s\n", z.GivenNames, z.Surname, z.Nationality, z.Birth, z.Sex)
	}
	if p := r.Portrait; p != nil {
		fmt.Fprintf(w, "portrait\t%s, %d bytes\n", p.Format, p.Bytes)
	}
	if r.APDUs > 0 {
		fmt.Fprintf(w, "access\t%s\n", r.Access)
	}
	for _, f := range r.Fallback {
		fmt.Fprintf(w, "\t%s\n", f)
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		files = append(files, fmt.Sprintf("%s %d", name, r.Files[name]))
	}
	fmt.Fprintf(w, "files\t%s\n", strings.Join(files, ", "))
	if r.APDUs > 0 {
		fmt.Fprintf(w, "exchanges\t%d, %d bytes\n", r.APDUs, r.Bytes)
	}
	fmt.Fprintln(w, "\ncheck\tresult\tbecause")
	for _, c := range r.Checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Name, c.Code, c.Reason)
	}
	if r.APDUs > 0 {
		fmt.Fprintln(w, "\nstep\tbegan\ttook")
		for _, s := range r.Steps {
			fmt.Fprintf(w, "%s\t%.1f ms\t%.1f ms\n", s.Name, s.Start, s.Took)
		}
	}
	if r.Verdict != "" {
		fmt.Fprintf(w, "\nverdict\t%s\n", r.Verdict)
	}
}

// simCard is a passport that hwsim simulates in a process of its own: what
// ships cannot simulate. They speak vsmartcard's frames (see drivers/vpcd) on
// standard input and output.
type simCard struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.Reader
	atr  []byte
	zone zone.MRZ
	last string        // what it said last
	mute chan struct{} // it says no more
}

const (
	powerOn = 1
	getATR  = 4
)

// beside is a program in the folder of this one.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not beside %s: make build makes both", name, self)
	}
	return path, nil
}

func startSim(ctx context.Context, path, profile string, faults []string, trust string) (*simCard, error) {
	args := []string{"passport", "--stdio", "--profile", profile, "--trust", trust}
	for _, f := range faults {
		args = append(args, "--fault", f)
	}
	s := &simCard{cmd: exec.CommandContext(ctx, path, args...), mute: make(chan struct{})}
	s.cmd.WaitDelay = time.Second
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	words, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	// It says its printed lines first. What it says later is why it ended.
	said := bufio.NewScanner(words)
	var lines []string
	for len(lines) < 2 && said.Scan() {
		lines = append(lines, said.Text())
	}
	go func() {
		defer close(s.mute)
		for said.Scan() {
			s.last = said.Text()
		}
	}()
	if s.zone, err = zone.Parse(lines...); err == nil {
		if err = s.write([]byte{powerOn}); err == nil {
			s.atr, err = s.exchange([]byte{getATR})
		}
	}
	if err != nil {
		_ = s.Close() // its own words say more
		return nil, fmt.Errorf("emrtd read: hwsim passport: %s", strings.TrimSpace(strings.Join(lines, " ")+" "+s.last))
	}
	return s, nil
}

func (s *simCard) ATR() []byte { return s.atr }

// Close ends the simulator, which reads to the end of its input.
func (s *simCard) Close() error {
	err := s.in.Close()
	<-s.mute
	return errors.Join(err, s.cmd.Wait())
}

// Transmit sends one command. The simulator ends with the context that it was
// started with, and no answer is a card that has gone.
func (s *simCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	b, err := s.exchange(command)
	if err != nil {
		return nil, fmt.Errorf("hwsim passport: %w: %w", apdu.ErrRemoved, err)
	}
	return b, nil
}

func (s *simCard) exchange(b []byte) ([]byte, error) {
	if err := s.write(b); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(s.out, head[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(s.out, reply)
	return reply, err
}

func (s *simCard) write(b []byte) error {
	if len(b) > 0xFFFF {
		return fmt.Errorf("%d bytes do not fit a frame", len(b))
	}
	_, err := s.in.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}
