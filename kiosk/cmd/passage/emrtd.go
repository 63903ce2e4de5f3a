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
	"passage/drivers/emrtd/curve"
	zone "passage/drivers/emrtd/mrz"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/ta"
	"passage/drivers/pcsc"
)

type emrtdReadCmd struct {
	Sim        string        `placeholder:"PROFILE" help:"Read a simulated passport; hwsim passport --list names the profiles."`
	Fault      []string      `help:"Faults of the simulated passport; hwsim passport --list names them."`
	MRZ        string        `name:"mrz" help:"The lines printed on the document: two of a passport, three of a card."`
	CAN        string        `name:"can" help:"The card access number printed on the document, instead of the lines."`
	Force      bool          `help:"With --can: ask even a chip that has few tries left and may lock itself."`
	Candidates int           `default:"8" help:"How many other readings of the lines (O for 0, I for 1 …) are tried if the chip refuses them; 0 to 8."`
	Reader     string        `help:"Part of the PC/SC reader's name; the first reader by default."`
	Trust      string        `type:"existingdir" help:"Trust folder; with --sim the simulated state's by default."`
	Terminal   string        `type:"existingdir" help:"Folder with this terminal's card verifiable certificates (*.cvcert) and its private key (key.pk8, PKCS #8), for fingerprints and iris. With --sim the passport trusts it, and an empty folder gets one."`
	All        bool          `help:"Read every signed data group, not only the zone, the portrait and what proves the chip."`
	Out        string        `help:"Write the files as they were read to this folder: SOD.bin, DG1.bin, …; with --sim the simulated state's trust folder, too."`
	SkipPACE   bool          `name:"skip-pace" help:"Read by BAC alone."`
	Trace      string        `placeholder:"FILE" help:"Write a log of all commands to this file: headers, lengths, status words, times; no keys and no personal data."`
	TracePlain bool          `help:"With --trace: also what was said, decrypted. The file then holds the document's data."`
	Wait       time.Duration `default:"30s" help:"How long to wait for a document."`
	Quiet      bool          `help:"Do not print each command."`
	JSON       bool          `name:"json" help:"As JSON."`
}

func (emrtdReadCmd) Help() string {
	return `Example: a simulated passport with PACE and Chip Authentication, then one whose
chip is a copy.

  passage emrtd read --sim icao-ext
  passage emrtd read --sim pace --fault clone

Fingerprints and iris, by a terminal that is made for it in an empty folder:

  mkdir /tmp/terminal
  passage emrtd read --sim full --all --terminal /tmp/terminal

With its files, to be judged again by passage trust verify:

  passage emrtd read --sim bac --out /tmp/anna

A real one on a PC/SC reader, by the printed lines, or by the six digits of its
card access number:

  passage emrtd read --mrz "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<
  L898902C36UTO7408122F1204159ZE184226B<<<<<10" --trust /var/lib/passage/trust
  passage emrtd read --can 123456 --trust /var/lib/passage/trust

A chip that will not be read, for whoever has to find out why:

  passage emrtd read --mrz "…" --trace /tmp/chip.log

Every command to the chip is printed on standard error as it is answered. What
the reading found is printed with the reason of each check: a forgery is an
answer, and no failure of this command. With --json, apdus and wire_bytes are
the commands and the bytes both ways.`
}

// maxReading bounds a reading; a chip takes seconds.
const maxReading = 2 * time.Minute

func (c emrtdReadCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait+maxReading)
	defer cancel()
	o := emrtd.Options{SkipPACE: c.SkipPACE, CAN: c.CAN, Force: c.Force, Candidates: c.Candidates, COM: true, Groups: []int{14, 15}}
	if c.All {
		o.Groups = []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	}
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
		s, err := startSim(ctx, path, c.Sim, c.Fault, dir, c.Terminal)
		if err != nil {
			return err
		}
		card, key = s, s.zone
		if c.Trust == "" {
			c.Trust = dir
		}
	case c.MRZ == "" && c.CAN == "":
		return errors.New("emrtd read: the chip opens only to who knows what is printed: --mrz \"two lines\" or --can 123456, or --sim pace without a document")
	default:
		if c.MRZ != "" {
			if key, err = zone.Parse(c.MRZ); err != nil {
				return err
			}
		}
		w, err := c.connect(ctx)
		if err != nil {
			return err
		}
		card, o.Back = w, w.back
	}
	defer card.Close()
	o.Trust = pki.NewStore(nil, nil)
	if c.Trust != "" {
		if o.Trust, err = pki.LoadDir(c.Trust); err != nil {
			return err
		}
	}
	if c.Terminal != "" {
		if o.Terminal, err = loadTerminal(c.Terminal); err != nil {
			return err
		}
	}
	end, err := c.listen(&o)
	if err != nil {
		return err
	}
	doc, err := emrtd.Read(ctx, card, key, o)
	if cerr := end(); cerr != nil {
		return errors.Join(err, cerr)
	}
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

// listen lets the reading tell what it does, on the terminal and in a file.
func (c emrtdReadCmd) listen(o *emrtd.Options) (end func() error, err error) {
	end = func() error { return nil }
	var heard []func(emrtd.Exchange)
	if !c.Quiet && !c.JSON {
		heard = append(heard, live(os.Stderr))
		o.Progress = func(p emrtd.Progress) {
			if p.Total > 0 && p.Done < p.Total {
				fmt.Fprintf(os.Stderr, "%11s  %s: %d of %d bytes\n", "", p.File, p.Done, p.Total)
			}
		}
	}
	if c.Trace != "" {
		f, err := os.OpenFile(c.Trace, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriter(f)
		heard = append(heard, apduLog(w, c.TracePlain))
		end = func() error { return errors.Join(w.Flush(), f.Close()) }
	}
	if len(heard) > 0 {
		o.Trace = func(x emrtd.Exchange) {
			for _, h := range heard {
				h(x)
			}
		}
	}
	return end, nil
}

// loadTerminal reads an inspection system's certificates and key.
func loadTerminal(dir string) (*ta.Terminal, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.cvcert"))
	if err != nil {
		return nil, err
	}
	t := &ta.Terminal{}
	var own *ta.Certificate
	var from *curve.Curve
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		cert, err := ta.Parse(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		t.Certificates = append(t.Certificates, cert)
		if cert.Role == ta.InspectionSystem {
			own = cert
		} else if k := cert.Curve(nil); k != nil {
			from = k
		}
	}
	if own == nil {
		return nil, fmt.Errorf("%s: no certificate of a terminal", dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "key.pk8"))
	if err != nil {
		return nil, err
	}
	t.Sign, err = ta.Key(own, from, b)
	return t, err
}

// connect waits for a document on the reader.
func (c emrtdReadCmd) connect(ctx context.Context) (*watched, error) {
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
			return &watched{card, r, there, end}, nil
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
	reader *pcsc.Reader
	there  <-chan struct{}
	end    func()
}

func (w *watched) Close() error {
	err := w.Card.Close()
	w.end()
	return err
}

// back connects again to a card that was lost, once it lies there again.
func (w *watched) back(ctx context.Context) (apdu.Card, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = w.Card.Close() // it has gone
	for {
		card, err := w.reader.Connect(ctx)
		if err == nil {
			w.Card = card
			return w, nil
		}
		select {
		case <-w.there:
		case <-ctx.Done():
			return nil, err
		}
	}
}

var instructions = map[byte]string{
	0x22: "MSE", 0x2A: "PSO:Verify Certificate", 0x82: "EXTERNAL AUTHENTICATE", 0x84: "GET CHALLENGE", 0x86: "GENERAL AUTHENTICATE",
	0x88: "INTERNAL AUTHENTICATE", 0xA4: "SELECT", 0xB0: "READ BINARY", 0xB1: "READ BINARY (odd)",
}

// nameOf is an exchange's command in words.
func nameOf(x emrtd.Exchange) string {
	c := x.Command
	name := instructions[c.INS]
	if name == "" {
		name = fmt.Sprintf("instruction %02X", c.INS)
	}
	if c.INS == 0xB0 && c.P1&0x80 != 0 {
		name += fmt.Sprintf(" file %02X", c.P1&0x1F)
	} else if c.INS == 0xB0 {
		name += fmt.Sprintf(" at %d", int(c.P1)<<8|int(c.P2))
	}
	if x.Protected {
		name += ", protected"
	}
	return name
}

func answerOf(x emrtd.Exchange) string {
	if x.Err != nil {
		return x.Err.Error()
	}
	return fmt.Sprintf("%v, %d bytes", x.Response.SW, len(x.Response.Data))
}

// live prints each exchange as it is answered, without data.
func live(w io.Writer) func(emrtd.Exchange) {
	return func(x emrtd.Exchange) {
		fmt.Fprintf(w, "%8.1f ms  %-34s %6.1f ms  %s\n", ms(x.At), nameOf(x), ms(x.Took), answerOf(x))
	}
}

// apduLog writes each exchange's header, lengths, answer and time. Data, which
// is the document's, is written only if plain is asked for; keys never are.
func apduLog(w io.Writer, plain bool) func(emrtd.Exchange) {
	fmt.Fprintln(w, "# began, took: CLA INS P1 P2, data bytes, expected bytes: status, data bytes (bytes on the wire: sent, received): command")
	return func(x emrtd.Exchange) {
		c := x.Command
		fmt.Fprintf(w, "%.3f ms, %.3f ms: %02X %02X %02X %02X, %d, %d: %s (%d, %d): %s\n",
			ms(x.At), ms(x.Took), c.CLA, c.INS, c.P1, c.P2, len(c.Data), c.Ne, answerOf(x), x.Sent, x.Received, nameOf(x))
		if plain {
			fmt.Fprintf(w, "  > %X\n  < %X\n", c.Data, x.Response.Data)
		}
	}
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
	APDUs    int             `json:"apdus"`
	Bytes    int             `json:"wire_bytes"` // both ways
	Again    int             `json:"sessions_again"`
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
	r := documentReport{Verdict: string(d.Verdict), Access: d.Access, Fallback: d.Fallback, Files: map[string]int{}, Checks: []checkReport{}, Steps: []stepReport{}, APDUs: d.APDUs, Bytes: d.Bytes, Again: d.Again}
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

// startSim starts hwsim at path. It writes the issuer's trust folder, and with a
// terminal's folder the passport trusts that terminal.
func startSim(ctx context.Context, path, profile string, faults []string, trust, terminal string) (*simCard, error) {
	args := []string{"passport", "--stdio", "--profile", profile, "--trust", trust}
	for _, f := range faults {
		args = append(args, "--fault", f)
	}
	if terminal != "" {
		args = append(args, "--terminal", terminal)
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
