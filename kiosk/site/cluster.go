package site

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// A site that must outlive its own machine has a NATS cluster instead of the
// embedded server. The console stays the authority: it signs the servers'
// certificates, the account and the lanes' users, and writes the servers'
// configuration.

// Server is one nats-server of a site's cluster.
type Server struct {
	Name   string   // of the server, and of its folder's files
	Host   string   // by which lanes, the console and the other servers reach it
	Port   int      // for lanes and the console
	Routes []string // host:port of the cluster's servers, this one too; none for a single server
	Listen string   // host:port for the other servers; with Routes
}

// Configure writes what a server needs into the folder out: nats.conf and its
// keys. The server is started in that folder: nats-server -c nats.conf.
func Configure(ctx context.Context, dir, out string, v Server) error {
	fail := func(err error) error { return fmt.Errorf("site: configure %s: %w", v.Name, err) }
	k, err := loadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	db, err := openStore(ctx, filepath.Join(dir, "site.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	s := &Site{keys: k, db: db}
	operator, account, system, err := s.claims(ctx)
	if err != nil {
		return err
	}
	text := map[string]string{}
	for name, c := range map[string]jwt.Claims{"operator": operator, "account": account, "system": system} {
		if text[name], err = c.Encode(k.operator); err != nil {
			return fail(err)
		}
	}
	cert, key, err := k.pair(v.Name, x509.ExtKeyUsageServerAuth, v.Host)
	if err != nil {
		return err
	}
	tlsText := `{cert_file: "server.pem", key_file: "server.key", ca_file: "site.pem", verify: true, min_version: "1.3"}`
	conf := fmt.Sprintf(`# Written by consoled cluster. The console's authority signed what is beside it.
server_name: %q
listen: "0.0.0.0:%d"
tls: %s
max_payload: 1048576
max_pending: 16777216
write_deadline: "5s"
ping_interval: "5s"
ping_max: 2
operator: %q
system_account: %q
resolver: {type: full, dir: "jwt"}
resolver_preload: {%s: %q, %s: %q}
jetstream: {store_dir: "jetstream", sync_interval: "1s"}
`, v.Name, v.Port, tlsText, text["operator"], system.Subject, account.Subject, text["account"], system.Subject, text["system"])
	if len(v.Routes) > 0 {
		var routes []string
		for _, r := range v.Routes {
			routes = append(routes, fmt.Sprintf("%q", "nats://"+r))
		}
		conf += fmt.Sprintf("cluster: {name: \"site\", listen: %q, tls: %s, routes: [%s]}\n", v.Listen, tlsText, strings.Join(routes, ", "))
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fail(err)
	}
	for name, b := range map[string][]byte{"nats.conf": []byte(conf), "site.pem": certPEM(k.ca.Raw), "server.pem": cert, "server.key": key} {
		if err := os.WriteFile(filepath.Join(out, name), b, 0o600); err != nil {
			return fail(err)
		}
	}
	return nil
}

// pair makes a key and the authority's certificate for it, PEM.
func (k *keys) pair(name string, usage x509.ExtKeyUsage, hosts ...string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("site: %w", err)
	}
	der, err := k.certify(name, &private.PublicKey, usage, hosts...)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("site: %w", err)
	}
	return certPEM(der), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), nil
}

// join connects to the site's cluster, for the console's work and, as the
// system's user, to tell the servers who was shut out.
func (s *Site) join() error {
	cert, key, err := s.keys.pair("console", x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("site: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.keys.ca)
	secure := nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{pair}})
	lost := nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { s.conf.Log.Warn("site: cluster lost", "error", err) })
	own, err := s.keys.own()
	if err != nil {
		return err
	}
	url := strings.Join(s.conf.NATS, ",")
	if s.nc, err = nats.Connect(url, secure, own, lost, nats.Name("console"), nats.MaxReconnects(-1)); err != nil {
		return fmt.Errorf("site: cluster: %w", err)
	}
	user, err := userOf(s.keys.system)
	if err != nil {
		return err
	}
	if s.sys, err = nats.Connect(url, secure, user, lost, nats.Name("console's revocations"), nats.MaxReconnects(-1)); err != nil {
		return fmt.Errorf("site: cluster: %w", err)
	}
	// Those who were shut out before the servers' files were written anew.
	return s.publishAccount()
}

// publishAccount has the cluster's servers take the account as it is now.
func (s *Site) publishAccount() error {
	text, err := s.account.Encode(s.keys.operator)
	if err != nil {
		return fmt.Errorf("site: account: %w", err)
	}
	m, err := s.sys.Request("$SYS.REQ.CLAIMS.UPDATE", []byte(text), within)
	if err != nil {
		return fmt.Errorf("site: account: the cluster does not answer: %w", err)
	}
	var answer struct {
		Error *struct{ Description string } `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("site: account: %w", err)
	}
	if answer.Error != nil {
		return errors.New("site: account: the cluster refuses it: " + answer.Error.Description)
	}
	return nil
}
