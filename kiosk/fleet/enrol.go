package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"passage/durable"
)

// Letters are those of enrolment codes.
var Letters = base32.StdEncoding.WithPadding(base32.NoPadding)

// Fingerprint is the second half of an enrolment code: 80 bits of the SHA-256
// of the site's authority, so that a lane knows whom it speaks to.
func Fingerprint(authority []byte) string {
	sum := sha256.Sum256(authority)
	return Letters.EncodeToString(sum[:10])
}

// Request is what a new lane computer sends: keys that it made itself, whose
// private halves never leave it.
type Request struct {
	Secret string `json:"secret"` // first half of the code
	CSR    []byte `json:"csr"`    // PKCS #10, DER
	User   string `json:"user"`   // public NATS key
}

// Enrolment is what it gets.
type Enrolment struct {
	Lane  string `json:"lane"`
	Fleet string `json:"fleet"` // address of the NATS server
	CA    []byte `json:"ca"`    // PEM
	Cert  []byte `json:"cert"`  // PEM
	JWT   string `json:"jwt"`
}

const maxEnrolment = 64 << 10

// Enrol makes keys for this computer, exchanges a one-time code for credentials
// at the console, and leaves them in dir; it returns the lane that they are
// for. Keys of an earlier enrolment in dir are overwritten and removed: the
// site has shut them out. console is https://host:port.
func Enrol(ctx context.Context, console, code, dir string) (string, Credentials, error) {
	fail := func(err error) (string, Credentials, error) {
		return "", Credentials{}, fmt.Errorf("fleet: enrol: %w", err)
	}
	if u, err := url.Parse(console); err != nil || u.Scheme != "https" {
		return fail(fmt.Errorf("%.60q is no address of a console: https://host:port is", console))
	}
	secret, print, ok := strings.Cut(strings.ToUpper(strings.TrimSpace(code)), "-")
	if !ok {
		return fail(errors.New("a code has two parts with a hyphen between them"))
	}
	authority, err := known(ctx, console, print)
	if err != nil {
		return fail(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "lane"}}, key)
	if err != nil {
		return fail(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return fail(err)
	}
	defer user.Wipe()
	public, err := user.PublicKey()
	if err != nil {
		return fail(err)
	}
	e, err := exchange(ctx, console, authority, Request{secret, csr, public})
	if err != nil {
		return fail(err)
	}
	if err := e.sound(authority, &key.PublicKey, public); err != nil {
		return fail(err)
	}
	c, err := leave(dir, e, key, user)
	if err != nil {
		return fail(err)
	}
	return e.Lane, c, nil
}

// known fetches the site's authority and compares it with the code: until then
// nothing is believed.
func known(ctx context.Context, console, print string) (*x509.Certificate, error) {
	blind := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}}}
	defer blind.CloseIdleConnections()
	b, err := call(ctx, blind, http.MethodGet, console+"/enrol/authority", nil)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(Fingerprint(b)), []byte(print)) != 1 {
		return nil, errors.New("this is not the site that the code is from: check the address, or whether somebody stands between")
	}
	return x509.ParseCertificate(b)
}

func exchange(ctx context.Context, console string, authority *x509.Certificate, r Request) (Enrolment, error) {
	var e Enrolment
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}}}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(r)
	if err != nil {
		return e, err
	}
	b, err := call(ctx, client, http.MethodPost, console+"/enrol", body)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("the console answers nonsense: %w", err)
	}
	return e, nil
}

// sound says whether an enrolment is one for these keys: from the authority that
// the code named, for a server that is spoken to by TLS.
func (e Enrolment) sound(authority *x509.Certificate, key *ecdsa.PublicKey, user string) error {
	if err := Valid(e.Lane); err != nil {
		return err
	}
	if u, err := url.Parse(e.Fleet); err != nil || u.Scheme != "tls" || u.Port() == "" {
		return fmt.Errorf("%.60q is no address of a fleet: tls://host:port is", e.Fleet)
	}
	if !bytes.Equal(e.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})) {
		return errors.New("the console names another authority than the code")
	}
	block, rest := pem.Decode(e.Cert)
	if block == nil || len(rest) > 0 {
		return errors.New("there is no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if !key.Equal(cert.PublicKey) {
		return errors.New("the certificate is for other keys")
	}
	if err := cert.CheckSignatureFrom(authority); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	claims, err := jwt.DecodeUserClaims(e.JWT)
	if err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if claims.Subject != user {
		return errors.New("the user is for other keys")
	}
	return nil
}

func call(ctx context.Context, c *http.Client, method, url string, body []byte) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxEnrolment))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var p struct{ Title string }
		_ = json.Unmarshal(b, &p) // what is no problem document has no title
		return nil, fmt.Errorf("the console says %s: %s", resp.Status, p.Title)
	}
	return b, nil
}

// leave writes the credentials, each file whole or not at all, the old ones
// overwritten before they go.
func leave(dir string, e Enrolment, key *ecdsa.PrivateKey, user nkeys.KeyPair) (Credentials, error) {
	var c Credentials
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return c, err
	}
	seed, err := user.Seed()
	if err != nil {
		return c, err
	}
	defer clear(seed)
	creds, err := jwt.FormatUserConfig(e.JWT, seed)
	if err != nil {
		return c, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, err
	}
	if err := durable.Hand(dir); err != nil {
		return c, err
	}
	c = credentials(dir)
	c.URL = e.Fleet
	for path, b := range map[string][]byte{
		filepath.Join(dir, address): []byte(e.Fleet + "\n"), c.CA: e.CA, c.Cert: e.Cert, c.Key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), c.User: creds,
	} {
		if err := replace(path, b); err != nil {
			return c, err
		}
	}
	return c, nil
}

const address = "site.url"

func credentials(dir string) Credentials {
	return Credentials{CA: filepath.Join(dir, "site.pem"), Cert: filepath.Join(dir, "lane.pem"), Key: filepath.Join(dir, "lane.key"), User: filepath.Join(dir, "lane.creds")}
}

// Load finds the credentials that Enrol left in dir, whose renewed certificate the
// lane keeps at renewed: the folder is the operator's.
func Load(dir, renewed string) (Credentials, error) {
	c := credentials(dir)
	c.Renewed = renewed
	b, err := os.ReadFile(filepath.Join(dir, address))
	if err != nil {
		return c, fmt.Errorf("fleet: %w: has this computer been enrolled? passage lane enrol does it", err)
	}
	c.URL = strings.TrimSpace(string(b))
	return c, nil
}

// replace writes a file in the place of the old one, and overwrites the old one's
// bytes once the new one is there.
func replace(path string, b []byte) error {
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		defer old.Close()
	}
	if err := durable.Replace(path, b, 0o600); err != nil || old == nil {
		return err
	}
	if info, err := old.Stat(); err == nil {
		_, _ = old.Write(make([]byte, info.Size())) // best effort: the site refuses these keys already
	}
	return old.Sync()
}
