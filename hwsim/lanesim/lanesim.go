// Package lanesim is everything around one lane: its devices at the lowest
// wire, the person who walks through it, and the officers who decide by script.
package lanesim

import (
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/drivers/gate/regmap"
	"passage/hwsim/camera"
	"passage/hwsim/gate"
	"passage/hwsim/mrzreader"
	"passage/hwsim/passport"
	"passage/hwsim/people"
)

// Devices are one lane's simulated devices.
type Devices struct {
	Name   string // entry, exit
	Dir    string // where the pseudo-terminals are linked
	Camera string // host:port
	Dial   func() (net.Conn, error)
	// Resting is how long the camera waits between two pictures of nobody; 0 for
	// its full rate.
	Resting time.Duration
	// Steady leaves a document in the field while the reader is started again.
	Steady bool
	// Map is the register map by which the gate speaks; nil for ABC-LANE.
	Map *regmap.Map

	Gate *gate.Gate
	Eye  *camera.Camera
	MRZ  *mrzreader.Reader
}

// GatePath and MRZPath are the serial devices.
func (d *Devices) GatePath() string { return filepath.Join(d.Dir, d.Name+"-gate") }

// MRZPath is the MRZ reader's device.
func (d *Devices) MRZPath() string { return filepath.Join(d.Dir, d.Name+"-mrz") }

// Run serves the devices until ctx ends; ready is called once they are there.
func (d *Devices) Run(ctx context.Context, ready func()) error {
	d.Gate = gate.New(gate.Config{Serial: "SIM-" + d.Name})
	if d.Map != nil {
		d.Gate.Speak(d.Map)
	}
	there := make(chan struct{}, 2)
	d.Gate.Ready = func() { there <- struct{}{} }
	d.Eye = &camera.Camera{Resting: d.Resting, Ready: d.Gate.Ready}
	var err error
	if d.MRZ, err = mrzreader.Open(ctx, d.MRZPath(), 9600); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.Gate.Serve(ctx, d.GatePath()) })
	group.Go(func() error { return d.Eye.Serve(ctx, d.Camera) })
	for range cap(there) {
		select {
		case <-there:
		case <-ctx.Done():
			return group.Wait()
		}
	}
	ready()
	return group.Wait()
}

// Document is a passport that can be laid on the reader and taken back.
type Document struct {
	card  *passport.Card
	mu    sync.Mutex
	take  context.CancelFunc
	ended chan error
}

// Lay puts the document on the reader: the zone is read, the chip is in the
// field.
func (d *Devices) Lay(ctx context.Context, card *passport.Card) (*Document, error) {
	laid, take := context.WithCancel(ctx)
	doc := &Document{card: card, take: take, ended: make(chan error, 1)}
	go func() {
		err := card.ServeBy(laid, d.Dial)
		for d.Steady && laid.Err() == nil {
			people.Pause(laid, 200*time.Millisecond)
			err = card.ServeBy(laid, d.Dial)
		}
		if d.Steady {
			err = nil // a reader that is away is not the document's fault
		}
		doc.ended <- err
	}()
	if err := d.MRZ.Place(card.MRZ()); err != nil {
		take()
		return nil, err
	}
	return doc, nil
}

// Take takes the document back; it may be called more than once.
func (d *Document) Take() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.take == nil {
		return nil
	}
	d.take()
	d.take = nil
	if err := <-d.ended; err != nil {
		return fmt.Errorf("lanesim: the document: %w", err)
	}
	return nil
}

// Portraits loads p01.jpg, p02.jpg, … of a folder.
func Portraits(dir string) (pictures []image.Image, files [][]byte, err error) {
	for n := 1; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("p%02d.jpg", n))
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) && n > 1 {
			return pictures, files, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("lanesim: portraits (make setup makes them): %w", err)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, fmt.Errorf("lanesim: portraits: %w", err)
		}
		img, err := jpeg.Decode(f)
		f.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("lanesim: %s: %w", path, err)
		}
		pictures, files = append(pictures, img), append(files, b)
	}
}
