// Modelpack makes the default model pack from two unpacked npm packages.
package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"passage/matcher/convert"
	"passage/matcher/pack"
)

// manifest states the hashes of the models: a conversion that gives other bytes
// is refused.
//
//go:embed default.toml
var manifest []byte

type cli struct {
	Human   string `required:"" help:"Folder of the unpacked package @vladmandic/human 3.3.6."`
	FaceAPI string `required:"" name:"face-api" help:"Folder of the unpacked package @vladmandic/face-api 1.7.15."`
	Out     string `required:"" help:"Folder to write the pack to."`
}

func main() {
	log.SetFlags(0)
	var c cli
	kong.Parse(&c, kong.Description("Converts BlazeFace, Face Mesh and a MobileNet (human) and the dlib ResNet (face-api) to ONNX and writes a model pack with its manifest."))
	if err := c.run(); err != nil {
		log.Fatal("modelpack: ", err)
	}
}

func (c cli) run() error {
	read := func(parts ...string) []byte {
		b, err := os.ReadFile(filepath.Join(parts...))
		if err != nil {
			log.Fatal("modelpack: ", err)
		}
		return b
	}
	blaze, err := convert.GraphModel("blazeface", read(c.Human, "models", "blazeface.json"), read(c.Human, "models", "blazeface.bin"), 256,
		map[string]string{"Identity:0": "scores1", "Identity_1:0": "scores2", "Identity_2:0": "boxes1", "Identity_3:0": "boxes2"})
	if err != nil {
		return err
	}
	mesh, err := convert.GraphModel("facemesh", read(c.Human, "models", "facemesh.json"), read(c.Human, "models", "facemesh.bin"), 192,
		map[string]string{"output_mesh": "mesh", "output_faceflag": "flag"})
	if err != nil {
		return err
	}
	embed, err := convert.Embedding(read(c.FaceAPI, "model", "face_recognition_model-weights_manifest.json"), read(c.FaceAPI, "model", "face_recognition_model.bin"))
	if err != nil {
		return err
	}
	second, err := convert.GraphModel("faceres", read(c.Human, "models", "faceres.json"), read(c.Human, "models", "faceres.bin"), 224,
		map[string]string{"global_pooling/Mean": "descriptor"})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	want, err := pack.Parse(manifest)
	if err != nil {
		return err
	}
	models := want.Models()
	for i, b := range [][]byte{blaze, mesh, embed, second} {
		if sum := hex.EncodeToString(sum256(b)); sum != models[i].SHA256 {
			return fmt.Errorf("%s: the conversion gives %s, the manifest says %s: another version of the package, or a changed converter", models[i].File, sum, models[i].SHA256)
		}
		if err := os.WriteFile(filepath.Join(c.Out, models[i].File), b, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(c.Out, "manifest.toml"), manifest, 0o644)
}

func sum256(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}
