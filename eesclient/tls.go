package eesclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLS loads a mutual TLS 1.3 configuration for either side. Files that change
// count from the next handshake on, so that a certificate is renewed without a
// restart; while they are half written the ones before hold. Only the authority
// by which a client judges a server is read once.
func TLS(f Files) (*tls.Config, error) {
	l := &live{files: f}
	now, err := l.load()
	if err != nil {
		return nil, err
	}
	c := now.Clone()
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &l.fresh().Certificates[0], nil }
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.fresh(), nil }
	return c, nil
}

// live is the configuration of files as they are now.
type live struct {
	files Files

	mu  sync.Mutex
	now *tls.Config
	was [3]stamp
}

type stamp struct {
	at   time.Time
	size int64
}

// fresh returns the newest configuration that could be loaded.
func (l *live) fresh() *tls.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stamps() != l.was {
		_, _ = l.load() // a renewal under way: the old ones hold, and the next handshake looks again
	}
	return l.now
}

func (l *live) stamps() (s [3]stamp) {
	for i, name := range []string{l.files.CA, l.files.Cert, l.files.Key} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

func (l *live) load() (*tls.Config, error) {
	is := l.stamps()
	cert, err := tls.LoadX509KeyPair(l.files.Cert, l.files.Key)
	if err != nil {
		return nil, fmt.Errorf("eesclient: certificate: %w", err)
	}
	pem, err := os.ReadFile(l.files.CA)
	if err != nil {
		return nil, fmt.Errorf("eesclient: authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("eesclient: authority: %s has no certificate", l.files.CA)
	}
	l.now, l.was = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}, is
	return l.now, nil
}
