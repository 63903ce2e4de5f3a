package eesclient_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"passage/eesclient"
	"passage/hwsim/register/testca"
)

// Both sides take a renewed certificate, and a renewed authority for clients,
// at the next handshake; a renewal that is half done changes nothing.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	if err := testca.Write(dir, "register/register", "E1"); err != nil {
		t.Fatal(err)
	}
	server, err := eesclient.TLS(testca.Files(dir, "register"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := eesclient.TLS(testca.Files(dir, "E1"))
	if err != nil {
		t.Fatal(err)
	}
	client.ServerName = "localhost"
	// shake returns the names by which each side knew the other one's certificate.
	shake := func(client *tls.Config) (seen [2]string, err error) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		us, them := tls.Client(a, client), tls.Server(b, server)
		done := make(chan error, 1)
		go func() { done <- them.Handshake() }()
		if err := us.Handshake(); err != nil {
			b.Close()
			<-done
			return seen, err
		}
		go us.Read(make([]byte, 1)) // what a server says after its handshake
		if err := <-done; err != nil {
			return seen, err
		}
		key := func(c *tls.Conn) string {
			return c.ConnectionState().PeerCertificates[0].SerialNumber.String() + string(c.ConnectionState().PeerCertificates[0].Signature)
		}
		return [2]string{key(us), key(them)}, nil
	}
	first, err := shake(client)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := shake(client); err != nil || again != first {
		t.Error("without a change there is another certificate", err)
	}
	// Half done: the lane's certificate is there, its key is not.
	files := testca.Files(dir, "E1")
	old, err := os.ReadFile(files.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.Cert, []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := shake(client); err != nil || again != first {
		t.Errorf("half a certificate: %v", err)
	}
	if err := os.WriteFile(files.Cert, old, 0o600); err != nil {
		t.Fatal(err)
	}
	// Done: a new authority, and all certificates under it.
	if err := testca.Write(dir, "register/register", "E1"); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Second) // as another second's files, whatever the disk's clock can tell apart
	for _, f := range []string{files.CA, files.Cert, files.Key, testca.Files(dir, "register").Cert, testca.Files(dir, "register").Key} {
		if err := os.Chtimes(f, later, later); err != nil {
			t.Fatal(err)
		}
	}
	var unknown *tls.CertificateVerificationError
	if _, err := shake(client); !errors.As(err, &unknown) {
		t.Errorf("a client that knows the old authority only: %v", err)
	}
	fresh, err := eesclient.TLS(files)
	if err != nil {
		t.Fatal(err)
	}
	fresh.ServerName = "localhost"
	second, err := shake(fresh)
	if err != nil || second[0] == first[0] || second[1] == first[1] {
		t.Errorf("after the renewal: %v, the register's is new: %v, the lane's: %v", err, second[0] != first[0], second[1] != first[1])
	}
	client.RootCAs = fresh.RootCAs
	if third, err := shake(client); err != nil || third != second {
		t.Errorf("the client that was there before shows its old certificate: %v", err)
	}
}
