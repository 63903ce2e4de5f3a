package pace

import (
	"crypto/rand"
	"fmt"
	"testing"

	"passage/drivers/emrtd/curve"
	"passage/drivers/emrtd/kdf"
)

// BenchmarkReader is the reader's share of PACE with the generic mapping: all
// but the chip's computing and the link. The chip's part is played beforehand.
func BenchmarkReader(b *testing.B) {
	for _, id := range []int{12, 13, 16, 17} {
		c, _ := curve.ByID(id)
		i := Info{OID: append(append(base[:0:0], base...), 2, 2), Mapping: GM, ECDH: true, Cipher: kdf.AES128, Parameter: id}
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			chip, err := c.Generate(rand.Reader, c.G)
			if err != nil {
				b.Fatal(err)
			}
			theirs := c.Encode(chip.Public)
			for b.Loop() {
				r, err := Start(i, []byte("123456"), make([]byte, 16), rand.Reader)
				if err == nil {
					_, err = r.Map()
				}
				if err == nil {
					err = r.MapWith(theirs)
				}
				if err == nil {
					_, err = r.Agree()
				}
				if err == nil {
					err = r.AgreeWith(theirs)
				}
				if err == nil {
					_, err = r.OwnToken()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
