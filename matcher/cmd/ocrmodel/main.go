// Ocrmodel trains the network that reads OCR-B, from the shapes of a font
// (Debian's fonts-ocr-b, in the public domain). The weights are in the
// repository; this program is how they were made.
package main

import (
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"

	"github.com/alecthomas/kong"

	"passage/matcher/ocr"
)

type cli struct {
	Out     string   `default:"matcher/ocr/ocrb.bin" help:"Where the weights go."`
	Samples int      `default:"600000" help:"How many pictures of characters are drawn."`
	Seed    uint64   `default:"1"`
	Fonts   []string `arg:"" optional:"" type:"existingfile" help:"OpenType fonts; OCRB.otf and OCRBS.otf of fonts-ocr-b by default."`
}

func main() {
	log.SetFlags(0)
	var c cli
	k := kong.Parse(&c, kong.Description("Train the network that reads OCR-B."))
	if err := k.Run(); err != nil {
		log.Fatal("ocrmodel: ", err)
	}
}

func (c cli) Run() error {
	if len(c.Fonts) == 0 {
		const dir = "/usr/share/fonts/opentype/ocr-b/"
		c.Fonts = []string{dir + "OCRB.otf", dir + "OCRBS.otf"}
	}
	var files [][]byte
	for _, path := range c.Fonts {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, b)
	}
	var glyphs []*ocr.Glyphs
	for range files {
		g, err := ocr.NewGlyphs(files...)
		if err != nil {
			return err
		}
		glyphs = append(glyphs, g)
		files = append(files[1:], files[0])
	}
	r := rand.New(rand.NewPCG(c.Seed, 0))
	t := ocr.NewTrainer(r)
	const batch = 32
	for done := 0; done < c.Samples; done += batch {
		for range batch {
			t.Add(glyphs[r.IntN(len(glyphs))].Sample(r))
		}
		progress := float64(done) / float64(c.Samples)
		t.Step(batch, .003*(.02+.98*(1+math.Cos(math.Pi*progress))/2))
		if n := done/batch + 1; n%1000 == 0 {
			fmt.Printf("%7d samples: loss %.4f, %.2f %% right\n", done+batch, t.Loss/(1000*batch), 100*t.Right/(1000*batch))
			t.Loss, t.Right = 0, 0
		}
	}
	return os.WriteFile(c.Out, t.Net.Marshal(), 0o644)
}
