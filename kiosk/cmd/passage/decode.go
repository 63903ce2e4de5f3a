package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"passage/drivers/emrtd/biometric"
	"passage/drivers/emrtd/face"
	"passage/drivers/emrtd/lds"
	zone "passage/drivers/emrtd/mrz"
)

type emrtdDecodeCmd struct {
	Files []string `arg:"" type:"existingfile" help:"Files as they were read: DG1.bin, SOD.bin, …; emrtd read --out writes them."`
	As    string   `placeholder:"FILE" help:"What the files should be: COM, SOD, DG1 to DG16, CardAccess, CardSecurity, ATR/INFO or DIR; by their first tag otherwise."`
}

func (emrtdDecodeCmd) Help() string {
	return `Example: the files of a simulated passport.

  passage emrtd read --sim pace --out files
  passage emrtd decode files/DG1.bin files/DG2.bin

Prints one JSON object for each file. Nothing is verified: that is what
emrtd read and trust verify do. Images are described, not shown. Where both DG1
and DG11 are given, what they say of the holder is compared.`
}

// decoded is what one file says.
type decoded struct {
	File    string `json:"path"`
	Name    string `json:"file"`
	Bytes   int    `json:"bytes"`
	Content any    `json:"content,omitempty"`
	Raw     string `json:"raw,omitempty"` // hexadecimal, of what is not decoded
	Error   string `json:"error,omitempty"`
	value   any
}

func (c emrtdDecodeCmd) Run() error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false) // zones are full of fillers
	var m zone.MRZ
	var details *lds.Personal
	failed := 0
	for _, path := range c.Files {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		d := c.decode(path, b)
		if d.Error != "" {
			failed++
		}
		switch v := d.value.(type) {
		case zone.MRZ:
			m = v
		case lds.Personal:
			details = &v
		}
		if err := out.Encode(d); err != nil {
			return err
		}
	}
	if details != nil && len(m.Lines()) > 0 {
		if err := out.Encode(map[string]any{"dg1_and_dg11": zone.Compare(m.Person(), personOf(*details))}); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("emrtd decode: %d of %d files are not what they should be", failed, len(c.Files))
	}
	return nil
}

func (c emrtdDecodeCmd) decode(path string, b []byte) decoded {
	d := decoded{File: path, Bytes: len(b)}
	f, err := c.file(b)
	if err == nil {
		d.Name = f.Name
		d.value, err = lds.Decode(f, b)
	}
	if err == nil {
		d.Content, err = shown(f, d.value)
	}
	if err != nil {
		d.Error = err.Error()
		d.Raw = hex.EncodeToString(b[:min(len(b), 64)])
	}
	return d
}

// file says what a file should be.
func (c emrtdDecodeCmd) file(b []byte) (lds.File, error) {
	if c.As != "" {
		files := []lds.File{lds.COM, lds.SOD, lds.CardAccess, lds.CardSecurity, lds.ATRInfo, lds.Dir}
		for n := 1; n <= 16; n++ {
			files = append(files, lds.Group(n))
		}
		for _, f := range files {
			if strings.EqualFold(f.Name, c.As) {
				return f, nil
			}
		}
		return lds.File{}, fmt.Errorf("there is no file %q", c.As)
	}
	tag, _, _, err := lds.Header(b)
	if err != nil {
		return lds.File{}, err
	}
	if f, ok := lds.FileOf(tag); ok {
		return f, nil
	}
	return lds.File{}, errors.New("its first tag is of no file; --as names it")
}

// shown is what is printed of a file's content.
func shown(f lds.File, v any) (any, error) {
	switch v := v.(type) {
	case zone.MRZ:
		return pageReportOf(v), nil
	case []lds.Template:
		var all []any
		for _, t := range v {
			if f.Group == 2 {
				list, err := face.All(t.Record)
				if err != nil {
					return nil, err
				}
				for _, x := range list {
					all = append(all, map[string]any{"face": x, "image": imageOf(x.Portrait)})
				}
				continue
			}
			list, err := biometric.Parse(t.Record)
			if err != nil {
				return nil, err
			}
			for _, x := range list {
				all = append(all, map[string]any{"sample": x, "image": imageOf(x.Image)})
			}
		}
		return all, nil
	case []lds.Image:
		var all []any
		for _, i := range v {
			all = append(all, imageOf(i))
		}
		return all, nil
	case [][]byte:
		var all []string
		for _, b := range v {
			all = append(all, hex.EncodeToString(b))
		}
		return all, nil
	case []byte:
		return hex.EncodeToString(v[:min(len(v), 64)]), nil
	}
	return v, nil
}

func imageOf(i lds.Image) map[string]any {
	return map[string]any{"format": i.Format, "bytes": len(i.Stream), "sha256": hex.EncodeToString(i.SHA256[:])}
}

// personOf is what DG11 says of the holder.
func personOf(d lds.Personal) zone.Person {
	p := zone.Person{Birth: d.Birth}
	if len(d.Name) > 0 {
		p.Surname = d.Name[0]
	}
	if len(d.Name) > 1 {
		p.GivenNames = d.Name[1]
	}
	return p
}
