package fleet_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
	"passage/kiosk/site"
)

// free is a port that nobody has.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A site on servers of its own, started from the files that consoled cluster
// writes: lanes enrol, their journals arrive, and who is shut out is gone.
func TestSiteOnCluster(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	port := free(t)
	if err := site.Configure(t.Context(), dir, out, site.Server{Name: "nats1", Host: "127.0.0.1", Port: port}); err != nil {
		t.Fatal(err)
	}
	t.Chdir(out)
	options, err := server.ProcessConfigFile("nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	options.Host = "127.0.0.1"
	nats1, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	nats1.Start()
	t.Cleanup(func() {
		nats1.Shutdown()
		nats1.WaitForShutdown()
	})
	if !nats1.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	a := &airport{t: t, dir: dir, conf: site.Config{NATS: []string{fmt.Sprintf("tls://127.0.0.1:%d", port)}, Hosts: []string{"127.0.0.1"}}}
	a.start()
	t.Cleanup(func() { a.stop() })
	c := a.computer("E1")
	c.start()
	c.cross(3)
	a.has("E1", 3, 60)
	a.stop() // the console's machine: the lane goes on, into the cluster
	c.cross(2)
	a.start()
	a.has("E1", 5, 100)
	if err := a.site.Revoke(t.Context(), "E1"); err != nil {
		t.Fatal(err)
	}
	until(t, "the lane is shut out", func() bool {
		list, _, _ := a.site.Hub().Since(0)
		return len(list) == 1 && list[0].Away
	})
}

// Two embedded servers: a site's, joined to its country's as a leaf node. The
// country sees the lanes and keeps their journals, also those of the time when
// it was away; a site cannot speak for another one.
func TestSiteInCountry(t *testing.T) {
	leafs := fmt.Sprintf("127.0.0.1:%d", free(t))
	country := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Leafs: leafs, Hosts: []string{"127.0.0.1"}}}
	country.start()
	t.Cleanup(func() { country.stop() })
	creds := filepath.Join(t.TempDir(), "country")
	if err := site.Join(country.dir, "CDG", creds); err != nil {
		t.Fatal(err)
	}
	airport := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Above: site.Above{URL: "tls://" + leafs, Dir: creds}, Hosts: []string{"127.0.0.1"}}}
	airport.start()
	t.Cleanup(func() { airport.stop() })
	c := airport.computer("E1")
	c.start()
	c.cross(3)
	airport.has("E1", 3, 60)
	country.has("CDG.E1", 3, 60)
	until(t, "the country sees the lane", func() bool {
		list, _, _ := country.site.Hub().Since(0)
		return len(list) == 1 && list[0].ID == "CDG.E1" && !list[0].Away
	})
	country.stop()
	c.cross(20)
	airport.has("E1", 23, 460)
	country.start()
	country.has("CDG.E1", 23, 460)

	// The site's credentials, in the hands of somebody who has taken it over.
	ca, err := os.ReadFile(filepath.Join(creds, "country.pem"))
	if err != nil || len(ca) == 0 {
		t.Fatal(err)
	}
	secure := fleet.Credentials{CA: filepath.Join(creds, "country.pem"), Cert: filepath.Join(creds, "site.pem"), Key: filepath.Join(creds, "site.key")}
	conf, err := secure.TLS()
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 8)
	nc, err := nats.Connect(country.site.Address(), nats.Secure(conf), nats.UserCredentials(filepath.Join(creds, "site.creds")), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{"country.MUC.view.E1", "country.MUC.journal.E1", fleet.Subject("E1", "view"), "$JS.API.STREAM.DELETE.JOURNAL"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-refused:
		case <-time.After(5 * time.Second):
			t.Errorf("a site may say %s", subject)
		}
	}
}
