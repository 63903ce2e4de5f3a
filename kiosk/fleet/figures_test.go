package fleet_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"passage/kiosk/fleet"
	"passage/kiosk/journal"
	"passage/kiosk/site"
)

var figures = flag.String("figures", "", "measure, and write the rows of docs/benchmarks.md to this file")

// TestLeafFigures measures journals from a site to its country through a leaf
// node, beside bare NATS servers that carry the same bytes over the same TLS:
// no accounts, users and permissions there, and no note of how far it came.
func TestLeafFigures(t *testing.T) {
	if *figures == "" {
		t.Skip("make bench AREA=fleet runs it with -figures")
	}
	const messages = 5000
	var rates [2][]float64
	for range 3 { // in turns, so that both see the same machine
		rates[0] = append(rates[0], overLeaf(t, messages))
		rates[1] = append(rates[1], overBare(t, messages))
	}
	ours, bare := middle(rates[0]), middle(rates[1])
	text := fmt.Sprintf("| journals from a site to its country through a leaf node, beside bare NATS doing the same | ≥ 70 %% | %.0f %% | %.0f and %.0f a second, in order and each acknowledged, two hundred at once; read at the other end meanwhile; ours are also checked there, on the same processors; medians of three times %d |\n", 100*ours/bare, ours, bare, messages)
	fmt.Print(text)
	if err := os.WriteFile(*figures, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func middle(list []float64) float64 {
	return max(min(list[0], list[1]), min(max(list[0], list[1]), list[2]))
}

// batchBody is a batch of a usual size that no store takes in: its journal has
// no beginning.
func batchBody(t *testing.T, n int) []byte {
	t.Helper()
	b := fleet.Batch{Lane: "E1", Journal: "1"}
	for i := range 6 {
		b.Entries = append(b.Entries, journal.Row{Seq: int64(1000 + 6*n + i), Event: "GateSeen", Body: make([]byte, 300), Effects: []byte("[]"), State: make([]byte, 32), Chain: make([]byte, 32)})
	}
	body, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// overLeaf fills a site's stream while its country is away and returns how many
// a second reach the country's stream when it is there.
func overLeaf(t *testing.T, messages int) float64 {
	leafs := fmt.Sprintf("127.0.0.1:%d", free(t))
	country := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Leafs: leafs, Hosts: []string{"127.0.0.1"}}}
	country.start()
	creds := filepath.Join(t.TempDir(), "country")
	if err := site.Join(country.dir, "CDG", creds); err != nil {
		t.Fatal(err)
	}
	country.stop()
	a := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Above: site.Above{URL: "tls://" + leafs, Dir: creds}, Hosts: []string{"127.0.0.1"}}}
	a.start()
	defer a.stop()
	c := a.computer("E1")
	nc := c.dial()
	defer nc.Close()
	fill(t, nc, messages)
	country.start()
	defer country.stop()
	return rate(t, messages, func() uint64 { return country.site.Streamed(t.Context()) })
}

// fill publishes batches to a stream of journals.
func fill(t *testing.T, nc *nats.Conn, messages int) {
	t.Helper()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := js.Publish(fleet.Subject("E1", "journal"), batchBody(t, i), nats.MsgId(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// rate waits until count has come to messages and returns how many came a
// second, from the first that was seen.
func rate(t *testing.T, messages int, count func() uint64) float64 {
	t.Helper()
	var began time.Time
	var first uint64
	deadline := time.After(2 * time.Minute)
	for {
		n := count()
		if began.IsZero() && n > 0 {
			began, first = time.Now(), n
		}
		if n >= uint64(messages) {
			return float64(n-first) / time.Since(began).Seconds()
		}
		select {
		case <-deadline:
			t.Fatalf("%d of %d messages within two minutes", n, messages)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// overBare does the same with nothing of ours.
func overBare(t *testing.T, messages int) float64 {
	pki := &airport{t: t, dir: t.TempDir(), conf: site.Config{Fleet: "127.0.0.1:0", Hosts: []string{"127.0.0.1"}}}
	pki.start() // only for certificates
	defer pki.stop()
	creds := pki.computer("E1").creds
	client, err := creds.TLS()
	if err != nil {
		t.Fatal(err)
	}
	start := func(o *server.Options) (*server.Server, *nats.Conn) {
		o.DontListen, o.NoSigs, o.NoLog = true, true, true
		o.JetStream, o.StoreDir, o.SyncInterval = true, t.TempDir(), time.Second
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(s.Shutdown)
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("a bare server does not start")
		}
		nc, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return s, nc
	}
	port := free(t)
	secure := pki.site.TLS()
	secure.ClientAuth = tls.RequireAnyClientCert
	_, up := start(&server.Options{ServerName: "up", JetStreamDomain: "up", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: port, TLSConfig: secure, TLSTimeout: 5}})
	above, err := up.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := above.AddStream(&nats.StreamConfig{Name: "UP", Subjects: []string{"up.>"}}); err != nil {
		t.Fatal(err)
	}
	_, down := start(&server.Options{ServerName: "down", JetStreamDomain: "down", LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{
		URLs: []*url.URL{{Scheme: "tls", Host: fmt.Sprintf("127.0.0.1:%d", port)}}, TLS: true, TLSTimeout: 5, TLSConfig: client,
	}}}})
	js, err := down.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "DOWN", Subjects: []string{"lane.>"}}); err != nil {
		t.Fatal(err)
	}
	fill(t, down, messages)
	until(t, "the leaf is up", func() bool { _, err := js.Publish("up.first", nil); return err == nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- carry(ctx, js, messages) }()
	go func() { ended <- read(ctx, above) }()
	defer func() {
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	return rate(t, messages, func() uint64 {
		info, err := above.StreamInfo("UP")
		if err != nil {
			return 0
		}
		return info.State.Msgs - 1 // the first
	})
}

// read takes what has arrived, as a country's console does.
func read(ctx context.Context, js nats.JetStreamContext) error {
	sub, err := js.PullSubscribe("up.>", "", nats.AckAll())
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		list, err := sub.Fetch(200, nats.MaxWait(time.Second))
		if errors.Is(err, nats.ErrTimeout) || ctx.Err() != nil || len(list) == 0 {
			continue
		}
		if err != nil {
			return err
		}
		if err := list[len(list)-1].Ack(); err != nil {
			return err
		}
	}
	return nil
}

func carry(ctx context.Context, js nats.JetStreamContext, messages int) error {
	sub, err := js.PullSubscribe("lane.>", "", nats.AckAll())
	if err != nil {
		return err
	}
	for n := 0; n < messages && ctx.Err() == nil; {
		list, err := sub.Fetch(200, nats.MaxWait(time.Second))
		if err != nil {
			return err
		}
		acks := make([]nats.PubAckFuture, len(list))
		for i, m := range list {
			up := nats.NewMsg("up." + m.Subject)
			up.Data = m.Data
			up.Header.Set(nats.MsgIdHdr, m.Header.Get(nats.MsgIdHdr))
			if acks[i], err = js.PublishMsgAsync(up); err != nil {
				return err
			}
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
				n++
			case err := <-ack.Err():
				return err
			case <-ctx.Done():
				return nil
			}
		}
		if err := list[len(list)-1].Ack(); err != nil {
			return err
		}
	}
	return nil
}
