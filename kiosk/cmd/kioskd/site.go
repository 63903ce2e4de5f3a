package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"passage/eesclient"
	"passage/kiosk"
	"passage/kiosk/config"
	"passage/kiosk/inlet"
	"passage/kiosk/pages"
)

// neighbours asks the other lanes of the site whether they have a document,
// and answers them, over mutual TLS.
type neighbours struct {
	listen string
	peers  []string
	tls    *tls.Config
	client *http.Client
	door   net.Listener // nil: no neighbour asks

	mu   sync.Mutex
	seen map[string]time.Time
}

const usedFor = 2 * time.Minute

func newNeighbours(c config.Config) (*neighbours, error) {
	n := &neighbours{listen: c.Site.Listen, peers: c.Site.Peers, seen: map[string]time.Time{}}
	if n.listen == "" && len(n.peers) == 0 {
		return n, nil
	}
	t, err := eesclient.TLS(eesclient.Files{CA: c.Register.CA, Cert: c.Register.Cert, Key: c.Register.Key})
	if err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	n.tls = t.Clone() // a server adds its own protocols to its copy
	n.client = &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: t, MaxIdleConnsPerHost: 4}}
	return n, nil
}

// Claim notes the document as used here and asks the neighbours. One who does
// not answer cannot hold up a lane: correlation is an aid, not a condition.
func (n *neighbours) Claim(ctx context.Context, tag string) bool {
	n.mu.Lock()
	for t, at := range n.seen {
		if time.Since(at) > usedFor {
			delete(n.seen, t)
		}
	}
	n.seen[tag] = time.Now()
	n.mu.Unlock()
	var asking sync.WaitGroup
	var elsewhere atomic.Bool
	for _, p := range n.peers {
		asking.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, p+"/site/v1/document", bytes.NewReader([]byte(tag)))
			if err != nil {
				return
			}
			resp, err := n.client.Do(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			var a struct{ Used bool }
			if json.NewDecoder(io.LimitReader(resp.Body, 1024)).Decode(&a) == nil && a.Used {
				elsewhere.Store(true)
			}
		})
	}
	asking.Wait()
	return elsewhere.Load()
}

// Passed tells nobody: neighbours without a site know the first rule only.
func (*neighbours) Passed(context.Context, string) {}

// both asks the site and the neighbours that it may have by themselves.
type both struct {
	site  kiosk.Neighbours
	peers *neighbours
}

func (b both) Claim(ctx context.Context, tag string) bool {
	var asking sync.WaitGroup
	var peers bool
	asking.Go(func() { peers = b.peers.Claim(ctx, tag) })
	against := b.site.Claim(ctx, tag)
	asking.Wait()
	return against || peers
}

func (b both) Passed(ctx context.Context, tag string) { b.site.Passed(ctx, tag) }

// open listens for the neighbours, where the configuration says so.
func (n *neighbours) open() (err error) {
	if n.listen == "" {
		return nil
	}
	if n.door, err = net.Listen("tcp", n.listen); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	return nil
}

func (n *neighbours) serve(ctx context.Context, book *inlet.Book) error {
	if n.door == nil {
		<-ctx.Done()
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /site/v1/document", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(io.LimitReader(r.Body, 128))
		if err != nil {
			return
		}
		n.mu.Lock()
		at, ok := n.seen[string(b)]
		n.mu.Unlock()
		_ = json.NewEncoder(w).Encode(struct{ Used bool }{ok && time.Since(at) <= usedFor}) // the peer has gone otherwise
	})
	s := &http.Server{Handler: mux, TLSConfig: n.tls, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	if err := pages.Serve(ctx, s, n.door, pages.Door{Name: "neighbours", Most: 256, Each: 16, Book: book}); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	return nil
}
