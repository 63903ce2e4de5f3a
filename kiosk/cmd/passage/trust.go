package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"passage/drivers/emrtd"
	"passage/drivers/emrtd/pki"
)

type verifyCmd struct {
	SOD   string         `name:"sod" required:"" type:"existingfile" help:"The document's security object, EF.SOD."`
	DG    map[int]string `name:"dg" placeholder:"N=FILE" help:"A data group; once for each."`
	Trust string         `required:"" type:"existingdir" help:"Trust folder."`
	JSON  bool           `name:"json" help:"As JSON."`
}

func (verifyCmd) Help() string {
	return `Example: the files of a simulated passport, judged a second time.

  passage emrtd read --sim pace --out /tmp/anna
  passage trust verify --trust /tmp/anna/trust --sod /tmp/anna/SOD.bin --dg 1=/tmp/anna/DG1.bin --dg 2=/tmp/anna/DG2.bin

The best that files without their chip can give is copy_not_excluded; while DG1
or DG2 is not given it is incomplete.
Any other answer makes the exit status 1.`
}

func (c verifyCmd) Run() error {
	sod, err := os.ReadFile(c.SOD)
	if err != nil {
		return err
	}
	groups := map[int][]byte{}
	for n, path := range c.DG {
		if n < 1 || n > 16 {
			return fmt.Errorf("trust verify: there is no data group %d; they are 1 to 16", n)
		}
		if groups[n], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	store, err := pki.LoadDir(c.Trust)
	if err != nil {
		return err
	}
	d := emrtd.Verify(sod, groups, emrtd.Options{Trust: store})
	var bad error
	if d.Verdict != emrtd.CopyPossible && d.Verdict != emrtd.Incomplete {
		bad = fmt.Errorf("trust verify: %s", d.Verdict)
	}
	if c.JSON {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(report(d, nil)), bad)
	}
	printDocument(d)
	return bad
}
