package devices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	zone "passage/drivers/emrtd/mrz"
	"passage/drivers/mrz"
	"passage/matcher"
)

// Folder reads zones from pictures of pages that a page reader's software
// leaves in a folder: written under a name that begins with a dot and renamed
// when it is whole. A picture is deleted before it is read, as it shows a
// document.
type Folder struct {
	root *os.Root
	read func(ctx context.Context, image []byte) ([]zone.MRZ, error)
}

// often is how often a folder is looked at.
const often = 100 * time.Millisecond

// OpenFolder opens a folder whose pictures are read by read, such as Page.Read.
func OpenFolder(dir string, read func(context.Context, []byte) ([]zone.MRZ, error)) (*Folder, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("devices: pages: %w", err)
	}
	return &Folder{r, read}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Read blocks until a picture has come and returns the likeliest reading of
// its zone. One that has none is mrz.ErrUnreadable.
func (f *Folder) Read(ctx context.Context) (zone.MRZ, error) {
	for tick := time.Tick(often); ; {
		image, err := f.next()
		switch {
		case err != nil:
			return zone.MRZ{}, fmt.Errorf("devices: pages: %w", err)
		case image != nil:
			list, err := f.read(ctx, image)
			if err != nil {
				return zone.MRZ{}, fmt.Errorf("%w: %w", mrz.ErrUnreadable, err)
			}
			return list[0], nil
		}
		select {
		case <-ctx.Done():
			return zone.MRZ{}, ctx.Err()
		case <-tick:
		}
	}
}

// next takes the newest picture out of the folder and throws older ones away:
// they are of documents that were there before. nil if there is none.
func (f *Folder) next() ([]byte, error) {
	list, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	type picture struct {
		name string
		at   time.Time
	}
	var all []picture
	for _, e := range list {
		if i, err := e.Info(); err == nil && e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			all = append(all, picture{e.Name(), i.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b picture) int { return b.at.Compare(a.at) })
	var image []byte
	for i, p := range all {
		if i == 0 {
			if image, err = f.take(p.name); err != nil {
				return nil, err
			}
		}
		if err := f.root.Remove(p.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return image, nil
}

// take reads a picture of at most the size that is decoded; a longer one is
// handed on too long by a byte, to be refused.
func (f *Folder) take(name string) ([]byte, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, matcher.MaxImage+1))
	if b == nil {
		b = []byte{}
	}
	return b, err
}
