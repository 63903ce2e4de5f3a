// Package testca makes a throw-away certificate authority for mutual TLS
// between simulated peers on loopback.
package testca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"passage/eesclient"
)

// Write makes an authority and one certificate a name in dir: ca.pem,
// NAME.pem and NAME.key. A name is NAME, NAME/ROLE or NAME/ROLE/expired; without
// a role it is a lane's.
func Write(dir string, names ...string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("testca: %w", err)
	}
	now := time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("testca: %w", err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Passage test authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(0, 1, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return fmt.Errorf("testca: %w", err)
	}
	if err := write(filepath.Join(dir, "ca.pem"), "CERTIFICATE", der); err != nil {
		return err
	}
	for i, name := range names {
		name, role, _ := strings.Cut(name, "/")
		role, expired, _ := strings.Cut(role, "/")
		if role == "" {
			role = "lane"
		}
		until := ca.NotAfter
		if expired != "" {
			until = now.Add(-time.Minute)
		}
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("testca: %w", err)
		}
		t := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{role}}, NotBefore: ca.NotBefore, NotAfter: until,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		}
		cert, err := x509.CreateCertificate(rand.Reader, t, ca, own.Public(), key)
		if err != nil {
			return fmt.Errorf("testca: %w", err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			return fmt.Errorf("testca: %w", err)
		}
		if err := write(filepath.Join(dir, name+".pem"), "CERTIFICATE", cert); err != nil {
			return err
		}
		if err := write(filepath.Join(dir, name+".key"), "PRIVATE KEY", private); err != nil {
			return err
		}
	}
	return nil
}

func write(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("testca: %w", err)
	}
	return nil
}

// Files names what Write has made for name.
func Files(dir, name string) eesclient.Files {
	return eesclient.Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
}
