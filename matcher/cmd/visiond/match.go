//go:build customenv

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"gocv.io/x/gocv"
	"golang.org/x/sys/unix"

	"passage/matcher"
	"passage/matcher/opencv"
	"passage/matcher/pack"
	"passage/matcher/sandbox"
)

type matchCmd struct {
	Pack   string `required:"" type:"existingdir" help:"Folder of the model pack."`
	Listen string `help:"Serve several lanes of this machine at this unix socket, instead of one on standard input and output."`
	Bare   bool   `help:"Descriptors alone, without quality and attack cues."`
}

// load opens a pack: every file is compared with its hash before OpenCV sees
// it, which a corrupt model would abort.
func load(dir string) (*opencv.Engine, error) {
	p, err := pack.Open(dir)
	if err != nil {
		return nil, err
	}
	return opencv.Load(p)
}

func (m matchCmd) Run(c *cli) error {
	e, err := load(m.Pack)
	var l net.Listener
	if err == nil && m.Listen != "" {
		l, err = private(m.Listen)
	}
	if err == nil {
		e.Bare = m.Bare
		profile := sandbox.Match
		if l != nil {
			profile = sandbox.Shared
		}
		err = c.confine(profile)
	}
	if err != nil {
		return matcher.WriteProblem(os.Stdout, err)
	}
	hello := matcher.Hello{Role: "match"}
	if l == nil {
		return matcher.Speak(os.Stdin, os.Stdout, hello, e.Analyse)
	}
	fmt.Println("visiond: serving", m.Listen)
	return matcher.Serve(context.Background(), l, hello, e.Analyse)
}

// private listens at a unix socket that only this user's programs can reach.
func private(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("match: %w", err)
	}
	was := unix.Umask(0o177)
	defer unix.Umask(was)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	return l, nil
}

type portraitsCmd struct {
	Pack  string   `required:"" type:"existingdir" help:"Folder of the model pack."`
	Out   string   `required:"" help:"Folder for p01.jpg, p02.jpg, …"`
	Files []string `arg:"" type:"existingfile" help:"Pictures with faces."`
}

func (p portraitsCmd) Run(*cli) error {
	e, err := load(p.Pack)
	if err != nil {
		return err
	}
	m, err := pack.Read(p.Pack)
	if err != nil {
		return err
	}
	// Portraits must be told apart by the matcher: look-alikes are dropped.
	alike, err := m.Threshold(0.003)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.Out, 0o755); err != nil {
		return err
	}
	var known [][]float32
	for _, file := range p.Files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := opencv.Decode(b, 4096)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for n := range 16 {
			img, a, ok, err := e.Portrait(f, n, 360, 480)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			face := a.Faces[0]
			why := ""
			for _, k := range known {
				if matcher.Cosine(k, a.Descriptor) > alike {
					why = "looks like another one"
				}
			}
			if face.Eyes < 28 || face.Yaw < -25 || face.Yaw > 25 {
				why = fmt.Sprintf("too small or turned (eyes %.0f px, yaw %.0f°)", face.Eyes, face.Yaw)
			}
			if why == "" {
				known = append(known, a.Descriptor)
				name := filepath.Join(p.Out, fmt.Sprintf("p%02d.jpg", len(known)))
				if !gocv.IMWriteWithParams(name, img, []int{gocv.IMWriteJpegQuality, 92}) {
					return fmt.Errorf("%s cannot be written", name)
				}
				why = filepath.Base(name)
			}
			fmt.Printf("%-14s face %2d: %s\n", filepath.Base(file), n+1, why)
			img.Close()
		}
	}
	fmt.Printf("%d portraits\n", len(known))
	return nil
}

type goldenCmd struct {
	Pack string `required:"" type:"existingdir" help:"Folder of the model pack."`
}

func (g goldenCmd) Run(*cli) error {
	e, err := load(g.Pack)
	if err != nil {
		return err
	}
	list, err := e.Goldens()
	if err != nil {
		return err
	}
	p, err := pack.Read(g.Pack)
	if err != nil {
		return err
	}
	for _, m := range p.Models() {
		fmt.Printf("# %s\ngolden = [", m.File)
		for i, v := range list[m.File] {
			if i > 0 {
				fmt.Print(", ")
			}
			fmt.Printf("%g", v)
		}
		fmt.Println("]")
	}
	return nil
}
