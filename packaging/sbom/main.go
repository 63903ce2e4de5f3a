// Sbom prints a program's bill of materials in CycloneDX 1.6, from what the Go
// linker wrote into it: the modules that are in the program, not those that a
// lock file mentions. Libraries of C are named by the caller, who knows the
// Debian packages that they come from.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

type cli struct {
	Version string   `required:"" help:"The release's version."`
	Time    int64    `required:"" help:"The release's time, Unix s: the same source gives the same bytes."`
	Library []string `help:"Debian package and version of a library, such as libpcsclite1=1.9.9-2."`
	Program string   `arg:"" type:"existingfile" help:"A program that Go has built."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("sbom"), kong.Description("Prints a program's bill of materials, CycloneDX 1.6."))
	if err := c.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type bom struct {
	Schema   string `json:"$schema"`
	Format   string `json:"bomFormat"`
	Spec     string `json:"specVersion"`
	Serial   string `json:"serialNumber"`
	Version  int    `json:"version"`
	Metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

func (c cli) run(out io.Writer) error {
	info, err := buildinfo.ReadFile(c.Program)
	if err != nil {
		return err
	}
	sum, err := digest(c.Program)
	if err != nil {
		return err
	}
	b := bom{Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Serial = "urn:uuid:" + serial(sum)
	b.Metadata.Timestamp = time.Unix(c.Time, 0).UTC().Format(time.RFC3339)
	name := filepath.Base(c.Program)
	b.Metadata.Component = component{Type: "application", Ref: name, Name: name, Version: c.Version, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}}
	b.Components = append(components(info), component{Type: "library", Ref: "std", Name: "Go standard library", Version: info.GoVersion, PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")})
	for _, l := range c.Library {
		pkg, version, ok := strings.Cut(l, "=")
		if !ok {
			return fmt.Errorf("library %q: package=version", l)
		}
		b.Components = append(b.Components, component{Type: "library", Ref: "deb:" + pkg, Name: pkg, Version: version, PURL: "pkg:deb/debian/" + pkg + "@" + version})
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(b)
}

// components are the modules of a program, each with the hash of its source as
// the checksum database has it (h1, the SHA-256 of its files' hashes).
func components(info *debug.BuildInfo) []component {
	var list []component
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Ref: m.Path, Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version}
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(raw) == sha256.Size {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}}
		}
		list = append(list, c)
	}
	return list
}

func digest(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// serial makes a UUID of a program's own hash (RFC 9562 version 8).
func serial(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0F|0x80, u[8]&0x3F|0x80
	x := hex.EncodeToString(u)
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}
