package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
	"passage/kiosk/inlet"
)

// A country sees the lanes of its sites: each site's server joins the country's
// as a leaf node and hands on views and journals below country.SITE. What a
// site may touch there is in its credentials, so that no site can lie about
// another one. Officers' words and travellers' cases stay at the site.

// Subjects of the country.
const (
	countryViews    = "country.*.view.*"
	countryJournals = "country.*.journal.*"
)

func countrySubject(site, what, lane string) string {
	return "country." + site + "." + what + "." + lane
}

// Above is the country's server that a site joins. Dir is what consoled join
// wrote there for this site.
type Above struct {
	URL string // tls://host:port of its leaf nodes
	Dir string
}

// Files of Above.Dir.
const (
	aboveCA, aboveCert, aboveKey, aboveUser, aboveName = "country.pem", "site.pem", "site.key", "site.creds", "site.name"
)

// Join writes the credentials by which a site of this name joins the country
// whose console has dir, into the folder out.
func Join(dir, name, out string) error {
	if err := fleet.Valid(name); err != nil {
		return fmt.Errorf("site: join: %w", err)
	}
	fail := func(err error) error { return fmt.Errorf("site: join %s: %w", name, err) }
	k, err := loadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	u, err := createUser()
	if err != nil {
		return err
	}
	c := jwt.NewUserClaims(u.public)
	c.Name = "site " + name
	c.Pub.Allow.Add("country." + name + ".>")
	c.Sub.Allow.Add(siteInbox(name) + ".>")
	token, err := c.Encode(k.account)
	if err != nil {
		return fail(err)
	}
	seed, err := u.pair.Seed()
	if err != nil {
		return fail(err)
	}
	defer clear(seed)
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return fail(err)
	}
	cert, key, err := k.pair("site "+name, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fail(err)
	}
	for file, b := range map[string][]byte{aboveCA: certPEM(k.ca.Raw), aboveCert: cert, aboveKey: key, aboveUser: creds, aboveName: []byte(name + "\n")} {
		if err := os.WriteFile(filepath.Join(out, file), b, 0o600); err != nil {
			return fail(err)
		}
	}
	return nil
}

// siteInbox is where the country answers a site.
func siteInbox(site string) string { return "_INBOX_site_" + site }

// leafs adds to the options what a country's server listens for, and what a
// site's server joins.
func (s *Site) leafs(o *server.Options) error {
	if s.conf.Leafs != "" {
		host, port, err := net.SplitHostPort(s.conf.Leafs)
		n, err2 := strconv.Atoi(port)
		if err = errors.Join(err, err2); err != nil {
			return fmt.Errorf("site: address of leaf nodes: %w", err)
		}
		if n == 0 {
			n = server.RANDOM_PORT
		}
		o.LeafNode = server.LeafNodeOpts{Host: host, Port: n, TLSConfig: s.keys.serverTLS(tls.RequireAndVerifyClientCert, s.conf.Hosts), TLSTimeout: 5, AuthTimeout: 5, NoAdvertise: true}
	}
	if s.conf.Above.URL == "" {
		return nil
	}
	at := func(file string) string { return filepath.Join(s.conf.Above.Dir, file) }
	name, err := os.ReadFile(at(aboveName))
	if err != nil {
		return fmt.Errorf("site: country: %w: consoled join makes it, at the country's console", err)
	}
	s.name = strings.TrimSpace(string(name))
	u, err := url.Parse(s.conf.Above.URL)
	if err != nil {
		return fmt.Errorf("site: country: %w", err)
	}
	ca, err := os.ReadFile(at(aboveCA))
	if err != nil {
		return fmt.Errorf("site: country: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return fmt.Errorf("site: country: %s has no certificate", at(aboveCA))
	}
	pair, err := tls.LoadX509KeyPair(at(aboveCert), at(aboveKey))
	if err != nil {
		return fmt.Errorf("site: country: %w", err)
	}
	account, err := s.keys.account.PublicKey()
	if err != nil {
		return fmt.Errorf("site: country: %w", err)
	}
	o.LeafNode.Remotes = []*server.RemoteLeafOpts{{
		URLs: []*url.URL{u}, Credentials: at(aboveUser), LocalAccount: account, TLS: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: u.Hostname()},
	}}
	return nil
}

// relay hands the site's views and journals to the country until ctx ends:
// nothing is lost while the country is away, and what is sent twice it stores
// once.
func (s *Site) relay(ctx context.Context) error {
	if s.name == "" {
		return nil
	}
	pace := inlet.Paces{Rate: viewsPace, Burst: 2 * viewsPace, Most: maxLanes}
	_, err := s.nc.Subscribe(fleet.Views, func(m *nats.Msg) {
		if !pace.Allow(between(m.Subject)) {
			return // the site's own view of the lane counts it
		}
		_ = s.nc.Publish(countrySubject(s.name, "view", between(m.Subject)), m.Data) // the next one is a second away
	})
	if err != nil {
		return fmt.Errorf("site: country: %w", err)
	}
	return s.consume(ctx, "country", s.handOn)
}

// handOn publishes journals to the country in their order and waits until it has
// them all. After a failure all are sent again, under other numbers: the country
// has refused those behind a gap, and takes in the rest once.
func (s *Site) handOn(ctx context.Context, list []*nats.Msg, done func(*sql.Tx) error) error {
	js, err := s.nc.JetStream(nats.PublishAsyncMaxPending(fetchMost + 1))
	if err != nil {
		return fmt.Errorf("site: country: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, handOnFor)
	defer cancel()
	sending := strconv.FormatInt(time.Now().UnixNano(), 36)
	acks := make([]nats.PubAckFuture, len(list))
	for i, m := range list {
		up := &nats.Msg{Subject: countrySubject(s.name, "journal", between(m.Subject)), Data: m.Data, Header: nats.Header{}}
		up.Header.Set(nats.MsgIdHdr, s.name+"-"+sending+"-"+m.Header.Get(nats.MsgIdHdr))
		if acks[i], err = js.PublishMsgAsync(up); err != nil {
			return fmt.Errorf("site: country: %w", err)
		}
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return fmt.Errorf("site: country: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("site: country: %w", ctx.Err())
		}
	}
	return atomically(ctx, s.db.Writer, done)
}

const handOnFor = 10 * time.Second
