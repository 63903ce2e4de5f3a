// Package trust keeps trust material on disk in signed versions: what was
// imported, by whom, from which lists, and which version counts. A version is
// never changed once it is there, so that going back is choosing an earlier
// one, and a power cut leaves either the old state or the new one.
//
//	DIR/versions/000002/manifest.json    what the version holds, and from where
//	                    manifest.sig     its signature by who imported it
//	                    material.bin     certificates and lists, one after another
//	                    signers.der,.idx document signers of the PKD, found on disk
//	DIR/activations/000003.json          "version 2 counts from now on", signed
//
// Whoever's public key the lane's configuration names may import and activate;
// with two persons the one who activates is not the one who imported.
package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"passage/drivers/emrtd/pki"
	"passage/durable"
)

// Ages of trust material (domain: trust lists): after Aging it is warned about,
// after Old travellers whose crossing is recorded are diverted.
const (
	Aging = 72 * time.Hour
	Old   = 7 * 24 * time.Hour
)

// Limits of what is read back.
const (
	maxManifest = 32 << 20
	maxMaterial = 256 << 20
)

// Person may import and activate.
type Person struct {
	Name string // the name of the key's file
	Key  ed25519.PublicKey
}

// Rule says whose signatures count.
type Rule struct {
	Persons []Person
	// TwoPersons demands that a version is activated by somebody else than who
	// imported it.
	TwoPersons bool
}

// Why a version does not count.
var (
	ErrSignature  = errors.New("trust: not signed by anybody who may")
	ErrOnePerson  = errors.New("trust: the one who imported a version cannot activate it")
	ErrDamaged    = errors.New("trust: damaged")
	ErrNothing    = errors.New("trust: no version is active")
	ErrRolledBack = errors.New("trust: an earlier activation than the one in force")
)

// Key is a person's private key.
type Key struct {
	Name    string
	private ed25519.PrivateKey
}

// NewKey makes a key pair: NAME.key, which its owner keeps, and NAME.pub, which
// lanes are configured with. It overwrites nothing.
func NewKey(path string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("trust: key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("trust: key: %w", err)
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("trust: key: %w", err)
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
		mode       os.FileMode
	}{{path + ".key", "PRIVATE KEY", secret, 0o600}, {path + ".pub", "PUBLIC KEY", open, 0o644}} {
		out, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return fmt.Errorf("trust: key: %w", err)
		}
		err = pem.Encode(out, &pem.Block{Type: f.kind, Bytes: f.der})
		if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
			return fmt.Errorf("trust: key: %w", err)
		}
	}
	return nil
}

// keyName is what a key's file says about its owner.
func keyName(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".key"), ".pub")
}

func readPEM(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("trust: %s has no PEM block", path)
	}
	return block.Bytes, nil
}

// ReadKey reads a private key.
func ReadKey(path string) (Key, error) {
	der, err := readPEM(path)
	if err != nil {
		return Key{}, err
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("trust: %s: %w", path, err)
	}
	private, ok := k.(ed25519.PrivateKey)
	if !ok {
		return Key{}, fmt.Errorf("trust: %s is no Ed25519 key", path)
	}
	return Key{keyName(path), private}, nil
}

// ReadPerson reads a public key.
func ReadPerson(path string) (Person, error) {
	der, err := readPEM(path)
	if err != nil {
		return Person{}, err
	}
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Person{}, fmt.Errorf("trust: %s: %w", path, err)
	}
	public, ok := k.(ed25519.PublicKey)
	if !ok {
		return Person{}, fmt.Errorf("trust: %s is no Ed25519 key", path)
	}
	return Person{keyName(path), public}, nil
}

// ReadRule reads the public keys of those whose signatures count.
func ReadRule(paths []string, twoPersons bool) (Rule, error) {
	r := Rule{TwoPersons: twoPersons}
	for _, path := range paths {
		p, err := ReadPerson(path)
		if err != nil {
			return r, err
		}
		r.Persons = append(r.Persons, p)
	}
	return r, nil
}

// Person is the key's owner.
func (k Key) Person() Person {
	public, _ := k.private.Public().(ed25519.PublicKey) // it always is
	return Person{k.Name, public}
}

// signature is who signed something, beside it.
type signature struct {
	Key       string `json:"key"` // SHA-256 of the public key, in hexadecimal
	Signature []byte `json:"signature"`
}

// What a signature is for; one for a version cannot activate another.
const (
	forVersion    = "passage trust version 1\n"
	forActivation = "passage trust activation 1\n"
)

func keyID(k ed25519.PublicKey) string {
	h := sha256.Sum256(k)
	return hex.EncodeToString(h[:])
}

func (k Key) sign(purpose string, b []byte) signature {
	return signature{keyID(k.Person().Key), ed25519.Sign(k.private, append([]byte(purpose), b...))}
}

// verify returns who signed b.
func (r Rule) verify(purpose string, b []byte, s signature) (Person, error) {
	for _, p := range r.Persons {
		if keyID(p.Key) == s.Key && ed25519.Verify(p.Key, append([]byte(purpose), b...), s.Signature) {
			return p, nil
		}
	}
	return Person{}, ErrSignature
}

// Source is one file of an import and what became of it.
type Source struct {
	Name        string    `json:"name"`
	SHA256      string    `json:"sha256"`
	Signer      string    `json:"signer,omitempty"` // of a list
	Accepted    int       `json:"accepted"`
	Known       int       `json:"known"` // were there already
	Refused     []Refusal `json:"refused,omitempty"`
	MoreRefused int       `json:"more_refused,omitempty"` // beyond those that are named
	Notes       []string  `json:"notes,omitempty"`
}

// Refusal is what was not taken in, and why.
type Refusal struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// item is one piece of material.
type item struct {
	Kind   string   `json:"kind"`
	Size   int      `json:"size"`
	SHA256 string   `json:"sha256"`
	From   []string `json:"from"` // the files it came in, of all versions
	Pinned bool     `json:"pinned,omitempty"`
}

// Kinds of items.
const (
	kindAnchor    = "anchor"
	kindLink      = "link"
	kindCRL       = "crl"
	kindDeviation = "deviations"
)

// Version is one version's manifest.
type Version struct {
	Version  int       `json:"version"`
	Base     int       `json:"base"` // the version it was made from; 0 for none
	Created  time.Time `json:"created"`
	By       string    `json:"by"`
	Sources  []Source  `json:"sources"`
	Items    []item    `json:"items"`
	Material string    `json:"material_sha256"`
	Signers  int       `json:"signers"` // document signers on disk
	SignDER  string    `json:"signers_der_sha256,omitempty"`
	SignIdx  string    `json:"signers_idx_sha256,omitempty"`

	by Person
}

// Count returns how many items of a kind there are: "anchor", "link", "crl" or
// "deviations".
func (v Version) Count(kind string) int {
	n := 0
	for _, i := range v.Items {
		if i.Kind == kind {
			n++
		}
	}
	return n
}

// activation says which version counts.
type activation struct {
	Sequence int       `json:"sequence"`
	Version  int       `json:"version"`
	Manifest string    `json:"manifest_sha256"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Reason   string    `json:"reason,omitempty"`
}

type signedActivation struct {
	Activation json.RawMessage `json:"activation"`
	signature
}

// Active is the version that counts, and who says so.
type Active struct {
	Version
	Sequence  int
	Activated time.Time
	Activator string
	Reason    string
}

// Dir is a trust store on disk.
type Dir struct {
	Path string
	Rule Rule
}

// Is says whether a directory is a trust store of versions, and not just a
// folder of files.
func Is(path string) bool {
	info, err := os.Stat(filepath.Join(path, "versions"))
	return err == nil && info.IsDir()
}

func (d Dir) versionPath(n int) string {
	return filepath.Join(d.Path, "versions", fmt.Sprintf("%06d", n))
}

// numbered lists the numbers that names in a folder stand for, in order.
func numbered(dir, suffix string) ([]int, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	var list []int
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 && fmt.Sprintf("%06d", n) == name {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// Versions lists the versions that are there; damaged ones are in the error.
func (d Dir) Versions() ([]Version, error) {
	numbers, err := numbered(filepath.Join(d.Path, "versions"), "")
	if err != nil {
		return nil, err
	}
	var list []Version
	var bad []error
	for _, n := range numbers {
		v, _, err := d.version(n)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		list = append(list, v)
	}
	return list, errors.Join(bad...)
}

// version reads and verifies a manifest.
func (d Dir) version(n int) (Version, string, error) {
	b, err := readFile(filepath.Join(d.versionPath(n), "manifest.json"), maxManifest)
	if err != nil {
		return Version{}, "", err
	}
	sb, err := readFile(filepath.Join(d.versionPath(n), "manifest.sig"), maxManifest)
	if err != nil {
		return Version{}, "", err
	}
	var s signature
	if err := json.Unmarshal(sb, &s); err != nil {
		return Version{}, "", fmt.Errorf("%w: signature of version %d: %w", ErrDamaged, n, err)
	}
	by, err := d.Rule.verify(forVersion, b, s)
	if err != nil {
		return Version{}, "", fmt.Errorf("trust: version %d: %w", n, err)
	}
	var v Version
	if err := json.Unmarshal(b, &v); err != nil {
		return Version{}, "", fmt.Errorf("%w: version %d: %w", ErrDamaged, n, err)
	}
	if v.Version != n {
		return Version{}, "", fmt.Errorf("%w: version %d lies in the place of %d", ErrDamaged, v.Version, n)
	}
	v.By, v.by = by.Name, by
	return v, sum(b), nil
}

// Active returns the version of the newest activation that counts. Activations
// that do not are in the error beside it; without any it is ErrNothing.
func (d Dir) Active() (*Active, error) {
	numbers, err := numbered(filepath.Join(d.Path, "activations"), ".json")
	if err != nil {
		return nil, err
	}
	var bad []error
	for _, n := range slices.Backward(numbers) {
		a, err := d.activated(n)
		if err == nil {
			return a, errors.Join(bad...)
		}
		bad = append(bad, err)
	}
	return nil, errors.Join(append([]error{ErrNothing}, bad...)...)
}

// activated reads and verifies one activation.
func (d Dir) activated(n int) (*Active, error) {
	b, err := readFile(filepath.Join(d.Path, "activations", fmt.Sprintf("%06d.json", n)), maxManifest)
	if err != nil {
		return nil, err
	}
	var s signedActivation
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%w: activation %d: %w", ErrDamaged, n, err)
	}
	by, err := d.Rule.verify(forActivation, s.Activation, s.signature)
	if err != nil {
		return nil, fmt.Errorf("trust: activation %d: %w", n, err)
	}
	var a activation
	if err := json.Unmarshal(s.Activation, &a); err != nil || a.Sequence != n {
		return nil, errors.Join(fmt.Errorf("%w: activation %d", ErrDamaged, n), err)
	}
	v, hash, err := d.version(a.Version)
	if err != nil {
		return nil, err
	}
	if hash != a.Manifest {
		return nil, fmt.Errorf("%w: version %d is not the one that was activated", ErrDamaged, a.Version)
	}
	if d.Rule.TwoPersons && keyID(v.by.Key) == keyID(by.Key) {
		return nil, fmt.Errorf("%w: version %d", ErrOnePerson, a.Version)
	}
	return &Active{v, a.Sequence, a.At, by.Name, a.Reason}, nil
}

// Activate makes a version count, an earlier one too. reason is kept.
func (d Dir) Activate(version int, key Key, now time.Time, reason string) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return d.activate(version, key, now, reason)
}

func (d Dir) activate(version int, key Key, now time.Time, reason string) error {
	v, hash, err := d.version(version)
	if err != nil {
		return err
	}
	if _, err := d.store(v); err != nil {
		return err
	}
	public := key.Person().Key
	if d.Rule.TwoPersons && keyID(v.by.Key) == keyID(public) {
		return fmt.Errorf("%w: version %d", ErrOnePerson, version)
	}
	if !slices.ContainsFunc(d.Rule.Persons, func(p Person) bool { return p.Key.Equal(public) }) {
		return fmt.Errorf("%w: %s", ErrSignature, key.Name)
	}
	dir := filepath.Join(d.Path, "activations")
	numbers, err := numbered(dir, ".json")
	if err != nil {
		return err
	}
	n := 1
	if len(numbers) > 0 {
		n = numbers[len(numbers)-1] + 1
	}
	b, err := json.Marshal(activation{n, version, hash, now.UTC(), key.Name, reason})
	if err != nil {
		return fmt.Errorf("trust: activate: %w", err)
	}
	if b, err = json.Marshal(signedActivation{b, key.sign(forActivation, b)}); err != nil {
		return fmt.Errorf("trust: activate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("trust: activate: %w", err)
	}
	return writeFile(filepath.Join(dir, fmt.Sprintf("%06d.json", n)), b)
}

// Load reads the store that counts.
func (d Dir) Load() (*pki.Store, *Active, error) {
	a, err := d.Active()
	if a == nil {
		return nil, nil, err
	}
	s, lerr := d.store(a.Version)
	if lerr != nil {
		return nil, nil, lerr
	}
	if err != nil {
		s.Refused = append(s.Refused, err)
	}
	return s, a, nil
}

// store reads a version's material.
func (d Dir) store(v Version) (*pki.Store, error) {
	m, _, err := d.material(v)
	if err != nil {
		return nil, err
	}
	if v.Signers > 0 {
		s, err := openSigners(d.versionPath(v.Version), v)
		if err != nil {
			return nil, err
		}
		m.Signers = s
	}
	m.Updated = v.Created
	return pki.New(m), nil
}

// piece is an item with its bytes.
type piece struct {
	item
	der []byte
}

// material reads and verifies a version's items.
func (d Dir) material(v Version) (pki.Material, []piece, error) {
	var m pki.Material
	b, err := readFile(filepath.Join(d.versionPath(v.Version), "material.bin"), maxMaterial)
	if err != nil {
		return m, nil, err
	}
	bad := func(err error) (pki.Material, []piece, error) {
		return m, nil, errors.Join(fmt.Errorf("%w: material of version %d", ErrDamaged, v.Version), err)
	}
	if sum(b) != v.Material {
		return bad(nil)
	}
	var pieces []piece
	for _, i := range v.Items {
		if i.Size < 0 || i.Size > len(b) {
			return bad(nil)
		}
		p := piece{i, b[:i.Size:i.Size]}
		b = b[i.Size:]
		pieces = append(pieces, p)
		switch i.Kind {
		case kindAnchor, kindLink:
			c, err := pki.ParseCertificate(p.der)
			if err != nil {
				return bad(err)
			}
			if i.Kind == kindAnchor {
				m.Anchors = append(m.Anchors, c)
			} else {
				m.Links = append(m.Links, c)
			}
		case kindCRL:
			l, err := pki.ParseCRL(p.der)
			if err != nil {
				return bad(err)
			}
			m.CRLs = append(m.CRLs, l)
		case kindDeviation:
			l, err := pki.ParseDeviationList(p.der)
			if err != nil {
				return bad(err)
			}
			if i.Pinned {
				l.Everywhere()
			}
			m.Deviations = append(m.Deviations, l.Deviations...)
		}
	}
	return m, pieces, nil
}

// lock keeps two imports apart.
func (d Dir) lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(d.Path, "versions"), 0o755); err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(d.Path, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("trust: lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("trust: somebody else is importing: %w", err)
	}
	return func() { f.Close() }, nil
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return b, nil
}

func writeFile(path string, b []byte) error {
	if err := durable.Replace(path, b, 0o644); err != nil {
		return fmt.Errorf("trust: write: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	if err := durable.Sync(path); err != nil {
		return fmt.Errorf("trust: sync: %w", err)
	}
	return nil
}
