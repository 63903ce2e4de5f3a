package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	zone "passage/drivers/emrtd/mrz"
	"passage/kiosk/devices"
	"passage/matcher"
)

type mrzReadCmd struct {
	Image   string `arg:"" type:"existingfile" help:"Picture of a page: JPEG, JPEG 2000 or PNG."`
	Program string `help:"visiond; beside this program by default."`
	JSON    bool   `name:"json" help:"As JSON."`
}

func (mrzReadCmd) Help() string {
	return `Example: the data page of a passport.

  passage mrz read page.jpg

The picture may be turned by a few degrees or by quarter turns. A character
should have eight pixels or more. What the characters may be is weighed with the
alphabet of each field and its check digits; where more than one reading is
possible, the likeliest comes first.`
}

// pageReport is one reading of a page.
type pageReport struct {
	Size        string   `json:"size"`
	Lines       []string `json:"lines"`
	Code        string   `json:"document_code"`
	Issuer      string   `json:"issuer"`
	Surname     string   `json:"surname"`
	GivenNames  string   `json:"given_names"`
	Number      string   `json:"number"`
	Nationality string   `json:"nationality"`
	Birth       string   `json:"birth"` // yymmdd
	Sex         string   `json:"sex"`
	Expiry      string   `json:"expiry"` // yymmdd
	Composite   bool     `json:"composite_digit"`
}

func pageReportOf(m zone.MRZ) pageReport {
	return pageReport{m.Size.String(), m.Lines(), m.Code, m.Issuer, m.Surname, m.GivenNames, m.Number, m.Nationality, m.Birth, m.Sex, m.Expiry, m.Composite()}
}

func (c mrzReadCmd) Run(ctx context.Context) error {
	if c.Program == "" {
		var err error
		if c.Program, err = beside("visiond"); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(c.Image)
	if err != nil {
		return err
	}
	list, err := pageOf(c.Program).Read(ctx, b)
	if err != nil {
		return fmt.Errorf("mrz read: %w", err)
	}
	if c.JSON {
		var out []pageReport
		for _, m := range list {
			out = append(out, pageReportOf(m))
		}
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false) // zones are full of fillers
		return e.Encode(out)
	}
	for _, l := range list[0].Lines() {
		fmt.Println(l)
	}
	r := pageReportOf(list[0])
	fmt.Printf("%s %s of %s, number %s: %s, %s, nationality %s, born %s, sex %s, until %s\n", r.Size, r.Code, r.Issuer, r.Number, r.Surname, r.GivenNames, r.Nationality, r.Birth, r.Sex, r.Expiry)
	if !r.Composite {
		fmt.Println("the composite check digit is wrong")
	}
	if len(list) > 1 {
		fmt.Printf("%d other readings are possible\n", len(list)-1)
	}
	return nil
}

func pageOf(visiond string) devices.Page {
	return devices.Page{Program: matcher.Program{Path: visiond}}
}
