package journal

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// The tree is the one of RFC 9162, as the library of Go's checksum database
// computes it from stored hashes.
func TestTreeIsTlogs(t *testing.T) {
	var mine Tree
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, n := range at {
			out[i] = stored[n]
		}
		return out, nil
	})
	for n := range int64(300) {
		leaf := fmt.Appendf(nil, "entry %d", n)
		mine.Add(leaf)
		hashes, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		want, err := tlog.TreeHash(n+1, reader)
		if err != nil || want != mine.Root() || mine.Size != n+1 {
			t.Fatalf("%d leaves: %v, want %v, %v", n+1, mine.Root(), want, err)
		}
		again, err := TreeOf(mine.Size, mine.Edge())
		if err != nil || again.Root() != want || !bytes.Equal(again.Edge(), mine.Edge()) {
			t.Fatalf("%d leaves, from their edge: %v, %v", n+1, again.Root(), err)
		}
		if _, err := TreeOf(mine.Size, mine.Edge()[1:]); err == nil {
			t.Fatal("an edge of another size")
		}
	}
}
