package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"passage/eesclient"
	"passage/hwsim/register/testca"
	"passage/kiosk/fleet"
)

// ports are n free ones in a row, the first of which is returned.
func ports(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		first, free := l.Addr().(*net.TCPAddr).Port, true
		l.Close()
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if free = free && err == nil; err == nil {
				l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// The shipped programs' lines: TLS 1.3 and nothing older, a lane's computer that
// was replaced is out within a minute and stays out, and a renewed certificate
// counts without a restart.
func TestShippedLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("links three programs")
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin")+"/", "./kiosk/cmd/consoled", "./kiosk/cmd/passage", "./hwsim/cmd/hwsim")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Chdir(dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}()
	port := ports(t, 4)
	site, err := startConsole(ctx, group, filepath.Join(dir, "site"), port, []area{{"Hall", []string{"E1"}}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	asked := fmt.Sprintf("127.0.0.1:%d", port+3)
	reg := &program{name: "register", log: filepath.Join(dir, "register.log"), args: []string{"hwsim", "register", "--dir", dir, "--listen", asked, "--empty"}}
	group.Go(func() error { return reg.run(ctx) })

	// A lane's computer, with the files that its enrolment left.
	if _, err := site.enrol(ctx, "E1"); err != nil {
		t.Fatal(err)
	}
	creds, err := fleet.Load(filepath.Join(dir, "site", "lane-E1"), "")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := creds.TLS()
	if err != nil {
		t.Fatal(err)
	}
	join := func(conf *tls.Config, more ...nats.Option) (*nats.Conn, error) {
		return nats.Connect(creds.URL, append(more, nats.Secure(conf), nats.UserCredentials(creds.User), nats.CustomInboxPrefix(fleet.Inbox("E1")), nats.NoReconnect())...)
	}
	closed := make(chan struct{})
	lane, err := join(conf, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer lane.Close()
	waitForRegister(t, "https://"+asked, dir)

	// The same keys and nothing newer than TLS 1.2.
	old := conf.Clone()
	old.MinVersion, old.MaxVersion = 0, tls.VersionTLS12
	if nc, err := join(old); err == nil {
		nc.Close()
		t.Error("the site speaks TLS 1.2 to lanes")
	}
	files := testca.Files(dir, "lane")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	for where, c := range map[string]*tls.Config{
		fmt.Sprintf("127.0.0.1:%d", port+2): {RootCAs: authority(t, creds.CA)},
		asked:                               {RootCAs: authority(t, files.CA), Certificates: []tls.Certificate{pair}},
	} {
		if err := speak(where, c); err != nil {
			t.Errorf("%s: TLS 1.3: %v", where, err)
		}
		c.MaxVersion = tls.VersionTLS12
		if speak(where, c) == nil {
			t.Errorf("%s speaks TLS 1.2", where)
		}
	}

	// Another computer takes the lane's place: the stolen one is out.
	if err := os.Rename(filepath.Join(dir, "site", "lane-E1"), filepath.Join(dir, "stolen")); err != nil {
		t.Fatal(err)
	}
	stolen := fleet.Credentials{URL: creds.URL, CA: filepath.Join(dir, "stolen", filepath.Base(creds.CA)), Cert: filepath.Join(dir, "stolen", filepath.Base(creds.Cert)), Key: filepath.Join(dir, "stolen", filepath.Base(creds.Key)), User: filepath.Join(dir, "stolen", filepath.Base(creds.User))}
	began := time.Now()
	if _, err := site.enrol(ctx, "E1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
		t.Logf("out %v after the other one's enrolment began", time.Since(began).Round(time.Millisecond))
	case <-time.After(time.Minute):
		t.Fatal("a lane's computer that was replaced is still connected")
	}
	if conf, err = stolen.TLS(); err != nil {
		t.Fatal(err)
	}
	creds.User = stolen.User
	if nc, err := join(conf); err == nil {
		nc.Close()
		t.Error("a lane's computer that was replaced comes back")
	}

	// The register's certificates are renewed, its authority's with them.
	if err := testca.Write(dir, registerNames("lane")...); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Second) // whatever the disk's clock can tell apart
	for _, name := range []string{"ca.pem", "register.pem", "register.key"} {
		if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	client, err := eesclient.New("https://"+asked, testca.Files(dir, "lane"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Health(ctx, &eesclient.Clock{}); err != nil {
		t.Errorf("with renewed certificates: %v", err)
	}
}

// waitForRegister returns when the register answers a lane.
func waitForRegister(t *testing.T, url, dir string) {
	t.Helper()
	for ctx := t.Context(); ; {
		c, err := eesclient.New(url, testca.Files(dir, "lane"))
		if err == nil {
			_, err = c.Health(ctx, &eesclient.Clock{})
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func authority(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(path)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s: no certificate: %v", path, err)
	}
	return pool
}

// speak shakes hands and hears what the server makes of it.
func speak(where string, c *tls.Config) error {
	nc, err := tls.Dial("tcp", where, c)
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	_, err = nc.Read(make([]byte, 1))
	return err
}
