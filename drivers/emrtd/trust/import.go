package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"passage/drivers/emrtd/pki"
)

// maxRefused bounds the report of one file; the rest is counted.
const maxRefused = 1000

// maxFile bounds a file that is not read as a stream.
const maxFile = 64 << 20

// Import says how files are taken in.
type Import struct {
	Key Key
	Now time.Time
	// Pin takes certificates as anchors that may vouch for master lists: who
	// imports has compared them with what their state handed over.
	Pin bool
	// Unsigned takes master lists whose signature fails, on the importer's own
	// word.
	Unsigned bool
}

// importing is an import under way.
type importing struct {
	Import
	d        Dir
	v        *Version
	pieces   []piece
	where    map[string]int // SHA-256 to the piece
	signers  *signerWriter
	lists    []pending[*pki.MasterList]
	crls     []pending[*pki.CRL]
	advice   []pending[*pki.DeviationList]
	held     map[[32]byte]bool // lists that came
	advisers map[int]string    // pieces of deviation lists to whose list it is
}

// pending is material that is judged once everything is read: a file may need
// what comes in a later one.
type pending[T any] struct {
	source int
	at     string
	what   T
}

// Import makes a new version from the active one and files, and says what
// became of each. Without two persons it counts at once.
func (d Dir) Import(paths []string, o Import) (*Version, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	numbers, err := numbered(filepath.Join(d.Path, "versions"), "")
	if err != nil {
		return nil, err
	}
	v := &Version{Version: 1, Created: o.Now.UTC(), By: o.Key.Name}
	if len(numbers) > 0 {
		v.Version = numbers[len(numbers)-1] + 1
	}
	temp, err := os.MkdirTemp(filepath.Join(d.Path, "versions"), ".new-")
	if err != nil {
		return nil, fmt.Errorf("trust: import: %w", err)
	}
	defer os.RemoveAll(temp) // renamed away if all went well
	i := &importing{Import: o, d: d, v: v, where: map[string]int{}, held: map[[32]byte]bool{}, advisers: map[int]string{}}
	if i.signers, err = newSignerWriter(temp); err != nil {
		return nil, err
	}
	if err := i.base(); err != nil {
		return nil, errors.Join(err, i.signers.file.Close())
	}
	for _, p := range paths {
		if err := i.file(p); err != nil {
			return nil, errors.Join(err, i.signers.file.Close())
		}
	}
	if err := i.judge(); err != nil {
		return nil, errors.Join(err, i.signers.file.Close())
	}
	if err := i.write(temp); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, d.versionPath(v.Version)); err != nil {
		return nil, fmt.Errorf("trust: import: %w", err)
	}
	if err := syncDir(filepath.Join(d.Path, "versions")); err != nil {
		return nil, err
	}
	if d.Rule.TwoPersons {
		return v, nil
	}
	return v, d.activate(v.Version, o.Key, o.Now, "import")
}

// base takes over the active version.
func (i *importing) base() error {
	a, err := i.d.Active()
	if errors.Is(err, ErrNothing) {
		return nil
	}
	if a == nil {
		return err
	}
	i.v.Base = a.Version.Version
	_, pieces, err := i.d.material(a.Version)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		i.where[p.SHA256] = len(i.pieces)
		if p.Kind == kindDeviation {
			if l, err := pki.ParseDeviationList(p.der); err == nil {
				i.advisers[len(i.pieces)] = adviser(l)
			}
		}
		i.pieces = append(i.pieces, p)
	}
	return eachSigner(i.d.versionPath(a.Version.Version), a.Version, func(c *pki.Certificate) error {
		_, err := i.signers.add(c)
		return err
	})
}

// adviser is whose list of deviations, or of defects, it is.
func adviser(l *pki.DeviationList) string { return l.Signed.ContentType.String() + " of " + l.State }

func (i *importing) refuse(source int, what string, err error) {
	s := &i.v.Sources[source]
	if len(s.Refused) >= maxRefused {
		s.MoreRefused++
		return
	}
	s.Refused = append(s.Refused, Refusal{what, err.Error()})
}

// add takes one piece in; what is there already is told so.
func (i *importing) add(source int, kind string, der []byte, pinned bool) int {
	s := &i.v.Sources[source]
	from := s.Name + " " + i.Now.UTC().Format(time.DateOnly)
	key := sum(der)
	if at, known := i.where[key]; known {
		p := &i.pieces[at]
		s.Known++
		p.Pinned = p.Pinned || pinned
		if kind == kindAnchor {
			p.Kind = kind // somebody vouches for what was a link
		}
		if !slices.Contains(p.From, from) {
			p.From = append(p.From, from)
		}
		return at
	}
	s.Accepted++
	i.where[key] = len(i.pieces)
	i.pieces = append(i.pieces, piece{item{kind, len(der), key, []string{from}, pinned}, der})
	return len(i.pieces) - 1
}

// file reads one file: a stream if it is an LDIF.
func (i *importing) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("trust: import: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	in := io.TeeReader(f, h)
	head := make([]byte, 512)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("trust: import: %w", err)
	}
	head = head[:n]
	source := len(i.v.Sources)
	i.v.Sources = append(i.v.Sources, Source{Name: filepath.Base(path)})
	whole := io.MultiReader(bytes.NewReader(head), in)
	if pki.IsLDIF(head) {
		err := pki.ReadLDIF(whole, func(line int, b []byte) error {
			return i.sort(source, fmt.Sprintf("line %d", line), pki.ParseFile(bytes.Clone(b)), false)
		})
		if err != nil {
			i.refuse(source, "the rest of the file", err)
		}
	} else {
		b, err := io.ReadAll(io.LimitReader(whole, maxFile+1))
		if err != nil {
			return fmt.Errorf("trust: import: %s: %w", path, err)
		}
		if len(b) > maxFile {
			i.refuse(source, "the file", fmt.Errorf("more than %d bytes", maxFile))
		} else if err := i.sort(source, "the file", pki.ParseFile(b), true); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return fmt.Errorf("trust: import: %s: %w", path, err)
	}
	i.v.Sources[source].SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}

// sort puts what a file holds where it belongs. handed says that the importer
// chose these certificates one by one; those of a directory dump count only
// once an authority signed them.
func (i *importing) sort(source int, at string, f pki.File, handed bool) error {
	for _, err := range f.Refused {
		i.refuse(source, at, err)
	}
	for _, c := range f.Certs {
		name := at + ": " + c.Subject.String()
		switch {
		case !c.Authority():
			fresh, err := i.signers.add(c)
			if err != nil {
				return err
			}
			if s := &i.v.Sources[source]; fresh {
				s.Accepted++
			} else {
				s.Known++
			}
		case handed && c.SelfIssued():
			if err := c.Signed(c); err != nil {
				i.refuse(source, name, fmt.Errorf("it did not sign itself: %w", err))
				continue
			}
			i.add(source, kindAnchor, c.Raw, i.Pin)
		default:
			i.add(source, kindLink, c.Raw, false)
		}
	}
	for _, l := range f.Lists {
		if i.first(source, l.Raw) {
			i.lists = append(i.lists, pending[*pki.MasterList]{source, at, l})
		}
	}
	for _, l := range f.CRLs {
		if i.first(source, l.Raw) {
			i.crls = append(i.crls, pending[*pki.CRL]{source, at, l})
		}
	}
	for _, l := range f.Deviations {
		if i.first(source, l.Raw) {
			i.advice = append(i.advice, pending[*pki.DeviationList]{source, at, l})
		}
	}
	return nil
}

// first says whether a list comes for the first time in this import: it is held
// until all files are read, and a directory has some lists many times.
func (i *importing) first(source int, raw []byte) bool {
	key := sha256.Sum256(raw)
	if i.held[key] {
		i.v.Sources[source].Known++
		return false
	}
	i.held[key] = true
	return true
}

// material is what has been taken in so far; pinned restricts the anchors to
// those that may vouch for lists.
func (i *importing) material(pinned bool) (pki.Material, error) {
	var m pki.Material
	for _, p := range i.pieces {
		if p.Kind != kindAnchor && p.Kind != kindLink {
			continue
		}
		c, err := pki.ParseCertificate(p.der)
		if err != nil {
			return m, fmt.Errorf("trust: import: %w", err)
		}
		switch {
		case p.Kind == kindLink, pinned && !p.Pinned:
			m.Links = append(m.Links, c)
		default:
			m.Anchors = append(m.Anchors, c)
		}
	}
	return m, nil
}

// judge accepts the lists, in the order in which one vouches for another.
func (i *importing) judge() error {
	m, err := i.material(true)
	if err != nil {
		return err
	}
	pinned := pki.New(m)
	for _, l := range i.lists {
		signer, err := pinned.AcceptList(l.what.Signed, pki.PurposeMasterList)
		s := &i.v.Sources[l.source]
		if signer != nil {
			s.Signer = signer.Issuer.String()
		}
		switch {
		case err != nil && !i.Unsigned:
			i.refuse(l.source, l.at+": master list", fmt.Errorf("%w; pin its state's authority with --pin, or take it on your own word with --unsigned", err))
			continue
		case err != nil:
			s.Notes = append(s.Notes, "taken on the importer's word: "+err.Error())
		}
		for _, err := range l.what.Refused {
			i.refuse(l.source, l.at+": master list", err)
		}
		for _, c := range l.what.Certs {
			i.add(l.source, kindAnchor, c.Raw, false)
		}
	}
	if m, err = i.material(false); err != nil {
		return err
	}
	all := pki.New(m)
	i.links(all, m.Links)
	if err := i.revocations(all); err != nil {
		return err
	}
	for _, l := range i.advice {
		if err := all.AcceptDeviations(l.what); err != nil {
			i.refuse(l.source, l.at+": deviation list", err)
			continue
		}
		i.v.Sources[l.source].Signer = l.what.State
		// Whoever may vouch for other states' authorities may tell of their
		// documents' defects.
		at := i.add(l.source, kindDeviation, l.what.Raw, pinned.AcceptDeviations(l.what) == nil)
		for other, s := range i.advisers {
			if other != at && s == adviser(l.what) {
				i.pieces[other].Kind = "" // a state's newer list stands for the older one
			}
		}
		i.advisers[at] = adviser(l.what)
	}
	i.pieces = slices.DeleteFunc(i.pieces, func(p piece) bool { return p.Kind == "" })
	return nil
}

// links drops country signing certificates to which no chain leads.
func (i *importing) links(all *pki.Store, list []*pki.Certificate) {
	for _, c := range list {
		if _, err := all.Chain(c); err != nil {
			p := &i.pieces[i.where[sum(c.Raw)]]
			p.Kind = ""
			for k := range i.v.Sources {
				if slices.Contains(p.From, i.v.Sources[k].Name+" "+i.Now.UTC().Format(time.DateOnly)) {
					i.v.Sources[k].Accepted--
					i.refuse(k, c.Subject.String(), err)
				}
			}
		}
	}
}

// revocations keeps the newest authentic list of each issuer.
func (i *importing) revocations(all *pki.Store) error {
	newest := map[string]int{} // folded issuer to piece
	lists := map[int]*pki.CRL{}
	for at, p := range i.pieces {
		if p.Kind == kindCRL {
			l, err := pki.ParseCRL(p.der)
			if err != nil {
				return fmt.Errorf("trust: import: %w", err)
			}
			newest[string(l.Issuer.Folded())], lists[at] = at, l
		}
	}
	for _, l := range i.crls {
		what := l.at + ": revocation list of " + l.what.Issuer.String()
		if err := all.AcceptCRL(l.what); err != nil {
			i.refuse(l.source, what, err)
			continue
		}
		key := string(l.what.Issuer.Folded())
		old, known := newest[key]
		if known && l.what.ThisUpdate.Before(lists[old].ThisUpdate) {
			i.refuse(l.source, what, fmt.Errorf("of %s, older than the one that is there", l.what.ThisUpdate.Format(time.DateOnly)))
			continue
		}
		at := i.add(l.source, kindCRL, l.what.Raw, false)
		if known && old != at {
			i.pieces[old].Kind = ""
		}
		newest[key], lists[at] = at, l.what
	}
	return nil
}

// write writes the version's files.
func (i *importing) write(dir string) error {
	if err := i.signers.finish(i.v); err != nil {
		return err
	}
	var all []byte
	for _, p := range i.pieces {
		i.v.Items = append(i.v.Items, p.item)
		all = append(all, p.der...)
	}
	i.v.Material = sum(all)
	if err := writeFile(filepath.Join(dir, "material.bin"), all); err != nil {
		return err
	}
	b, err := json.Marshal(i.v)
	if err != nil {
		return fmt.Errorf("trust: import: %w", err)
	}
	s, err := json.Marshal(i.Key.sign(forVersion, b))
	if err != nil {
		return fmt.Errorf("trust: import: %w", err)
	}
	if err := writeFile(filepath.Join(dir, "manifest.json"), b); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "manifest.sig"), s); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}
