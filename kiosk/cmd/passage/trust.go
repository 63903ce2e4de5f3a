package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"passage/drivers/emrtd"
	"passage/drivers/emrtd/lds"
	"passage/drivers/emrtd/pki"
	"passage/drivers/emrtd/trust"
	"passage/kiosk/config"
)

// storeFlags say where a trust store is and whose signatures count.
type storeFlags struct {
	Config     string   `type:"existingfile" help:"A lane's configuration: its store and whose signatures count."`
	Dir        string   `help:"The store, if not the configuration's."`
	Person     []string `type:"existingfile" placeholder:"FILE.pub" help:"Public key of somebody whose signature counts; once for each."`
	TwoPersons bool     `help:"Who activates is not who imported."`
}

// dir is the store that the flags mean.
func (f storeFlags) dir() (trust.Dir, error) {
	if f.Config != "" {
		c, err := config.Load(f.Config)
		if err != nil {
			return trust.Dir{}, err
		}
		f.Person, f.TwoPersons = append(f.Person, c.Trust.Persons...), f.TwoPersons || c.Trust.TwoPersons
		if f.Dir == "" {
			f.Dir = c.Trust.Dir
		}
	}
	if f.Dir == "" {
		return trust.Dir{}, errors.New("trust: which store? --dir FOLDER or --config FILE")
	}
	rule, err := trust.ReadRule(f.Person, f.TwoPersons)
	return trust.Dir{Path: f.Dir, Rule: rule}, err
}

// signing is the store and the key with which it is changed. Where nobody is
// named whose signature counts it is the key's owner's.
func (f storeFlags) signing(path string) (trust.Dir, trust.Key, error) {
	d, err := f.dir()
	if err != nil {
		return d, trust.Key{}, err
	}
	key, err := trust.ReadKey(path)
	if err == nil && len(d.Rule.Persons) == 0 {
		d.Rule.Persons = []trust.Person{key.Person()}
	}
	return d, key, err
}

type keyCmd struct {
	Name string `arg:"" help:"Path of the new key, without ending: NAME.key is its owner's secret, NAME.pub is for lanes."`
}

func (keyCmd) Help() string {
	return `Example:

  passage trust key anna
  passage trust import --dir trust --key anna.key --pin DE_ROOT_CA_CSCA07.cer DE_ML.ml

NAME.pub goes into trust.persons of each lane's configuration.`
}

func (c keyCmd) Run() error {
	if err := trust.NewKey(c.Name); err != nil {
		return err
	}
	fmt.Printf("%s.key signs; keep it. %s.pub goes into the lanes' trust.persons.\n", c.Name, c.Name)
	return nil
}

type importCmd struct {
	storeFlags
	Key      string   `required:"" type:"existingfile" help:"Private key of the person who imports."`
	Pin      bool     `help:"The certificates among the files may vouch for master lists: their fingerprints were compared with what their states handed over."`
	Unsigned bool     `help:"Take master lists whose signature fails, on your own word."`
	JSON     bool     `name:"json" help:"As JSON."`
	Files    []string `arg:"" name:"file" type:"existingfile" help:"Master lists, deviation and defect lists, revocation lists, certificates, LDIF of the ICAO PKD; DER or PEM."`
}

func (importCmd) Help() string {
	return `Example: the German master list, vouched for by its state's authority.

  passage trust key anna
  passage trust import --dir trust --key anna.key --pin DE_ROOT_CA_CSCA07.cer DE_ML.ml

A new version is made from the one that counts and the files, and says of each
what was taken in and what was refused, with the reason. A file that is there
already confirms that it is current, and makes the store young again.
Certificates count when you hand them over; master lists when a pinned
authority's signer signed them; revocation lists when an authority of the store
did. It counts at once, or where two persons are demanded when another one
activates it. Lanes take it over without a restart.`
}

func (c importCmd) Run() error {
	d, key, err := c.signing(c.Key)
	if err != nil {
		return err
	}
	v, err := d.Import(c.Files, trust.Import{Key: key, Now: time.Now(), Pin: c.Pin, Unsigned: c.Unsigned})
	if v == nil {
		return err
	}
	if c.JSON {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(map[string]any{
			"version": v.Version, "base": v.Base, "by": v.By, "created": v.Created, "sources": v.Sources, "active": err == nil && !d.Rule.TwoPersons,
			"authorities": v.Count("anchor"), "links": v.Count("link"), "revocation_lists": v.Count("crl"), "deviation_lists": v.Count("deviations"),
			"document_signers": v.Signers,
		}), err)
	}
	for _, s := range v.Sources {
		fmt.Printf("%s: %d new, %d known", s.Name, s.Accepted, s.Known)
		if s.Signer != "" {
			fmt.Printf(", signed by %s", s.Signer)
		}
		fmt.Println()
		for _, n := range s.Notes {
			fmt.Println("  note:", n)
		}
		for _, r := range s.Refused {
			fmt.Printf("  refused: %s: %s\n", r.What, r.Why)
		}
		if s.MoreRefused > 0 {
			fmt.Printf("  and %d more were refused\n", s.MoreRefused)
		}
	}
	fmt.Println(summary(*v))
	if err == nil && d.Rule.TwoPersons {
		fmt.Printf("it counts when somebody else than %s says so: passage trust activate %d\n", v.By, v.Version)
	}
	return err
}

// summary says what a version holds.
func summary(v trust.Version) string {
	return fmt.Sprintf("version %d: %d authorities, %d links, %d revocation lists, %d deviation lists, %d document signers",
		v.Version, v.Count("anchor"), v.Count("link"), v.Count("crl"), v.Count("deviations"), v.Signers)
}

type activateCmd struct {
	storeFlags
	Key     string `required:"" type:"existingfile" help:"Private key of the person who activates."`
	Reason  string `help:"Why; it is kept."`
	Version int    `arg:"" help:"The version that is to count, an earlier one too."`
}

func (activateCmd) Help() string {
	return `Example: bert activates what anna has imported.

  passage trust activate --config /etc/passage/lane.toml --key bert.key 2`
}

func (c activateCmd) Run() error {
	d, key, err := c.signing(c.Key)
	if err != nil {
		return err
	}
	if err := d.Activate(c.Version, key, time.Now(), c.Reason); err != nil {
		return err
	}
	fmt.Printf("version %d counts\n", c.Version)
	return nil
}

type listCmd struct {
	storeFlags
	Authorities bool   `help:"Name every authority."`
	Folder      string `arg:"" optional:"" help:"The store or folder, instead of --dir."`
}

func (listCmd) Help() string {
	return `Example:

  passage trust list --config /etc/passage/lane.toml
  passage trust list --person anna.pub trust

After 72 hours without an import a warning is shown; after seven days travellers
of the EES classes are diverted.`
}

func (c listCmd) Run() error {
	if c.Folder != "" {
		c.Dir = c.Folder
	}
	d, err := c.dir()
	if err != nil {
		return err
	}
	live, err := trust.Open(d.Path, d.Rule, slog.New(slog.DiscardHandler))
	if err != nil && !errors.Is(err, trust.ErrNothing) {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if len(d.Rule.Persons) > 0 {
		if err := listVersions(w, d); err != nil {
			return err
		}
	}
	if err != nil {
		return errors.Join(w.Flush(), err)
	}
	s := live.Store()
	if c.Authorities || len(d.Rule.Persons) == 0 {
		for _, a := range s.Anchors() {
			fmt.Fprintf(w, "%s\t%v\t%s\t%s\n", a.Subject.Country, a.Key, a.NotAfter.Format(time.DateOnly), a.ID()[:16])
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var states []string
	for _, st := range s.States() {
		states = append(states, st.Code+" "+strconv.Itoa(st.Anchors))
	}
	fmt.Println("states:", strings.Join(states, ", "))
	for _, err := range s.Refused {
		fmt.Println("refused:", err)
	}
	fmt.Printf("%d authorities, %d revocation lists, confirmed on %s (%.0f h ago)\n", s.Len(), s.CRLs(), s.Newest.Format(time.DateOnly), time.Since(s.Newest).Hours())
	for _, n := range trust.Notices(s, time.Now()) {
		fmt.Println("attention:", n)
	}
	return nil
}

// listVersions prints a store's versions, the one that counts marked.
func listVersions(w *tabwriter.Writer, d trust.Dir) error {
	versions, bad := d.Versions()
	if bad != nil {
		fmt.Println("damaged:", bad)
	}
	active, err := d.Active()
	if active == nil && !errors.Is(err, trust.ErrNothing) {
		return err
	}
	for _, v := range versions {
		mark := ""
		if active != nil && v.Version == active.Version.Version {
			mark = fmt.Sprintf("counts since %s by %s %s", active.Activated.Format(time.DateTime), active.Activator, active.Reason)
		}
		fmt.Fprintf(w, "%s\tfrom %d, imported %s by %s\t%s\n", summary(v), v.Base, v.Created.Format(time.DateTime), v.By, mark)
	}
	return nil
}

type verifyCmd struct {
	SOD        string         `name:"sod" required:"" type:"existingfile" help:"The document's security object, EF.SOD."`
	DG         map[int]string `name:"dg" placeholder:"N=FILE" help:"A data group; once for each."`
	MasterList []string       `type:"existingfile" placeholder:"FILE" help:"A master list, a country signing certificate or an LDIF that you vouch for; once for each."`
	CRL        []string       `name:"crl" type:"existingfile" placeholder:"FILE" help:"A revocation or deviation list; once for each."`
	Trust      string         `type:"existingdir" help:"A trust store or folder."`
	Person     []string       `type:"existingfile" placeholder:"FILE.pub" help:"Whose signatures count in a trust store."`
	At         string         `placeholder:"YYYY-MM-DD" help:"Judge as on this day; today by default."`
	JSON       bool           `name:"json" help:"As JSON."`
}

func (verifyCmd) Help() string {
	return `Example: the files of a simulated passport, judged a second time.

  passage emrtd read --sim pace --out /tmp/anna
  passage trust verify --trust /tmp/anna/trust --sod /tmp/anna/SOD.bin --dg 1=/tmp/anna/DG1.bin --dg 2=/tmp/anna/DG2.bin

or a security object alone against a state's list:

  passage trust verify --sod EF_SOD.bin --master-list DE_ML.ml --json

The best that files without their chip can give is copy_not_excluded; while DG1
or DG2 is not given it is incomplete.
Any other answer makes the exit status 1.`
}

// passiveReport is what Passive Authentication found, part by part. The last
// three are one of successful, failed, undetermined, not_supported, aborted.
type passiveReport struct {
	Issuer             string `json:"issuer"`
	DigestAlgorithm    string `json:"digest_algorithm"`
	SignatureAlgorithm string `json:"signature_algorithm"`
	Signature          string `json:"signature"`
	Chain              string `json:"chain"`
	Revocation         string `json:"revocation"`
	Because            string `json:"because,omitempty"`
}

func (c verifyCmd) Run() error {
	sod, err := os.ReadFile(c.SOD)
	if err != nil {
		return err
	}
	if len(sod) > 0 && sod[0] == 0x30 {
		sod = lds.Make(lds.SOD.Tag, sod) // the CMS object alone, as some tools keep it
	}
	groups := map[int][]byte{}
	for n, path := range c.DG {
		if n < 1 || n > 16 {
			return fmt.Errorf("trust verify: there is no data group %d; they are 1 to 16", n)
		}
		if groups[n], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	o := emrtd.Options{Now: time.Now()}
	if c.At != "" {
		if o.Now, err = time.Parse(time.DateOnly, c.At); err != nil {
			return fmt.Errorf("trust verify: --at: %q is not a day such as 2026-06-20", c.At)
		}
	}
	if o.Trust, err = c.store(); err != nil {
		return err
	}
	d := emrtd.Verify(sod, groups, o)
	var bad error
	if d.Verdict != emrtd.CopyPossible && d.Verdict != emrtd.Incomplete {
		bad = fmt.Errorf("trust verify: %s", d.Verdict)
	}
	p := d.Passive
	r := passiveReport{p.Issuer, p.DigestAlgorithm, p.SignatureAlgorithm, string(p.Signature), string(p.Chain), string(p.Revocation), d.Because}
	if c.JSON {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(struct {
			passiveReport
			documentReport
		}{r, report(d, nil)}), bad)
	}
	printDocument(d)
	fmt.Printf("\nissuer               %s\ndigest_algorithm     %s\nsignature_algorithm  %s\nsignature            %s\nchain                %s\nrevocation           %s\n",
		r.Issuer, r.DigestAlgorithm, r.SignatureAlgorithm, r.Signature, r.Chain, r.Revocation)
	return bad
}

// store gathers what the document is judged by.
func (c verifyCmd) store() (*pki.Store, error) {
	var files []pki.File
	paths := append(append([]string(nil), c.MasterList...), c.CRL...)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, pki.ParseFile(b))
	}
	base := pki.NewStore(nil, nil)
	if c.Trust != "" {
		rule, err := trust.ReadRule(c.Person, false)
		if err != nil {
			return nil, err
		}
		live, err := trust.Open(c.Trust, rule, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		base = live.Store()
	}
	s := base.With(files, paths)
	for _, err := range s.Refused {
		fmt.Fprintln(os.Stderr, "passage: refused:", err)
	}
	return s, nil
}
