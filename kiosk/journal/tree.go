package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the right edge of the Merkle tree over a journal's chain hashes
// (RFC 9162 §2.1): the roots of the full subtrees that make it up, largest
// first. It is all that growing needs.
type Tree struct {
	Size int64
	edge []tlog.Hash // of the heights of Size's bits
}

// Add appends a leaf.
func (t *Tree) Add(leaf []byte) {
	t.edge = append(t.edge, tlog.RecordHash(leaf))
	// Two subtrees of one height make one: as often as adding one carries.
	for range bits.TrailingZeros64(^uint64(t.Size)) {
		n := len(t.edge)
		t.edge = append(t.edge[:n-2], tlog.NodeHash(t.edge[n-2], t.edge[n-1]))
	}
	t.Size++
}

// Root is the tree's hash; meaningless for an empty one.
func (t *Tree) Root() tlog.Hash {
	var root tlog.Hash
	for i := len(t.edge) - 1; i >= 0; i-- {
		if i == len(t.edge)-1 {
			root = t.edge[i]
		} else {
			root = tlog.NodeHash(t.edge[i], root)
		}
	}
	return root
}

// Edge is the tree's edge as bytes, for TreeOf.
func (t *Tree) Edge() []byte {
	var b []byte
	for _, h := range t.edge {
		b = append(b, h[:]...)
	}
	return b
}

// TreeOf is the tree of a size and an edge.
func TreeOf(size int64, edge []byte) (Tree, error) {
	t := Tree{Size: size}
	if size < 0 || len(edge) != tlog.HashSize*bits.OnesCount64(uint64(size)) {
		return Tree{}, errors.New("journal: that is no edge of a tree of this size")
	}
	for ; len(edge) > 0; edge = edge[tlog.HashSize:] {
		t.edge = append(t.edge, tlog.Hash(edge[:tlog.HashSize]))
	}
	return t, nil
}

// Grow takes the journal's entries that came since into the tree; see, unless it
// is nil, is called after each.
func (t *Tree) Grow(ctx context.Context, db *sql.DB, see func() error) error {
	base, err := Forgotten(ctx, db)
	if err != nil {
		return err
	}
	if t.Size < base.Seq {
		if *t, err = TreeOf(base.Seq, base.Edge); err != nil {
			return err
		}
		if see != nil {
			if err := see(); err != nil {
				return err
			}
		}
	}
	const batch = 1000
	for {
		rows, err := Entries(ctx, db, "WHERE seq > ? ORDER BY seq LIMIT ?", t.Size, batch)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if r.Seq != t.Size+1 {
				return fmt.Errorf("journal: entry %d is missing", t.Size+1)
			}
			t.Add(r.Chain)
			if see != nil {
				if err := see(); err != nil {
					return err
				}
			}
		}
	}
}
