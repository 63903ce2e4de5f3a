package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"passage/eesclient/stay"
	"passage/hwsim/persona"
	"passage/hwsim/register"
	"passage/hwsim/register/testca"
	"passage/sqlite"
)

// openRegister prepares a register at path, in SQLite, or in the PostgreSQL
// database at url if there is one. Its secret is beside path. The caller calls
// close.
func openRegister(ctx context.Context, path, url string) (reg *register.Register, end func() error, err error) {
	secret, err := keyFile(path + ".key")
	if err != nil {
		return nil, nil, err
	}
	if url != "" {
		if reg, err = register.OpenPostgres(ctx, url, secret); err != nil {
			return nil, nil, err
		}
		return reg, func() error { reg.Close(); return nil }, nil
	}
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if reg, err = register.Open(ctx, db.Writer, secret); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return reg, db.Close, nil
}

// acquaint makes a register know the travellers of list.
func acquaint(ctx context.Context, reg *register.Register, list []persona.Persona, today time.Time) error {
	for _, p := range list {
		if p.DocumentOf != "" {
			continue
		}
		if err := reg.Load(ctx, p.Person(today)); err != nil {
			return err
		}
	}
	return nil
}

// keyFile is the secret at path, made if it is not there.
func keyFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	b = make([]byte, register.KeySize)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	return b, os.WriteFile(path, b, 0o600)
}

type registerCmd struct {
	Listen string   `default:"127.0.0.1:8443" help:"Address on loopback."`
	Dir    string   `default:".cache/lane" help:"Folder of the certificates and of the records."`
	Lane   []string `default:"lane" help:"Lanes that get a certificate."`
	DB     string   `name:"db" placeholder:"URL" help:"PostgreSQL database, such as postgres://user@host/ees; an SQLite file in --dir without."`
	Empty  bool     `help:"Start without the catalogue's travellers."`
	Fault  []string `help:"Faults, WHAT=NAME; --list names them."`
	List   bool     `help:"List the faults and end."`
}

func (registerCmd) Help() string {
	return `Example: a register for the lane of hwsim lane, and its answer to that lane.

  hwsim register &
  cd .cache/lane
  curl --cacert ca.pem --cert lane.pem --key lane.key https://127.0.0.1:8443/v1/health

One whose SIS answers after four seconds, and which loses every record's
acknowledgement:

  hwsim register --fault SIS=slow --fault record=lost

A country's worth of people in PostgreSQL, behind the same address:

  hwsim population --people 10000000 --db 'host=/run/postgresql dbname=ees'
  hwsim register --db 'host=/run/postgresql dbname=ees'

A certificate's organisational unit says what its holder may ask: lane,
officer, desk or admin. officer.pem and admin.pem are made beside the lanes':

  curl --cacert ca.pem --cert officer.pem --key officer.key https://127.0.0.1:8443/v1/alerts
  curl --cacert ca.pem --cert admin.pem --key admin.key https://127.0.0.1:8443/v1/audit

What may no longer be kept is erased at the start and once a day; /v1/erasures
proves it.

Certificates are made where they are missing or have run out. Those of other
lanes are then made anew, too: the authority keeps no key.`
}

func (c registerCmd) Run(ctx context.Context) error {
	if c.List {
		fmt.Println("WHAT is search, consult, verifyFace, stay, record, health, all, SIS, SLTD, FPR or LOST; NAME is")
		for _, f := range register.Faults {
			fmt.Printf("%-10s %s\n", f.Name, f.Text)
		}
		return nil
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	made, err := certificates(dir, registerNames(c.Lane...), time.Now())
	if err != nil {
		return err
	}
	list, err := persona.All()
	if err != nil {
		return err
	}
	reg, end, err := openRegister(ctx, filepath.Join(dir, "ees.db"), c.DB)
	if err != nil {
		return err
	}
	defer end()
	if c.Empty {
		list = nil
	}
	if err := acquaint(ctx, reg, list, today()); err != nil {
		return err
	}
	for _, f := range c.Fault {
		what, name, ok := strings.Cut(f, "=")
		if !ok || !slices.ContainsFunc(register.Faults, func(k register.Fault) bool { return k.Name == name }) {
			return fmt.Errorf("register: %q is no fault; --list names them", f)
		}
		reg.Inject(what, name)
	}
	for _, name := range c.Lane {
		conf := registerConf(c.Listen, testca.Files(dir, name))
		path := filepath.Join(dir, name+"-register.toml")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return err
		}
		fmt.Printf("# %s, the register as lane %s reaches it\n%s\n", path, name, conf)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return forget(ctx, reg) })
	group.Go(func() error {
		return reg.Serve(ctx, c.Listen, testca.Files(dir, "register"), func(addr string) {
			where := "PostgreSQL"
			if c.DB == "" {
				where = filepath.Join(dir, "ees.db")
			}
			fmt.Printf("register at https://%s for %d travellers of the catalogue, records in %s\n", addr, len(list), where)
			if made {
				fmt.Println("certificates made in", dir)
			}
		})
	})
	return group.Wait()
}

// forget erases what may no longer be kept, now and once a day.
func forget(ctx context.Context, reg *register.Register) error {
	for {
		lines, err := reg.Erase(ctx, stay.On(time.Now()))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, l := range lines {
			fmt.Printf("erased: %d × %s: %s\n", l.Count, l.What, l.Rule)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(24 * time.Hour):
		}
	}
}

// registerNames are those who get a certificate where there is a register, with
// their roles; the lanes' is the usual one.
func registerNames(lanes ...string) []string {
	return append([]string{"register/register", "officer/officer", "desk/desk", "admin/admin"}, lanes...)
}

// certificates makes the certificates of names in dir unless all are there and
// valid; it reports whether it did.
func certificates(dir string, names []string, now time.Time) (bool, error) {
	for _, name := range names {
		of, _, _ := strings.Cut(name, "/")
		b, err := os.ReadFile(testca.Files(dir, of).Cert)
		if err == nil {
			if block, _ := pem.Decode(b); block != nil {
				if cert, err := x509.ParseCertificate(block.Bytes); err == nil && now.Before(cert.NotAfter) {
					continue
				}
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		return true, testca.Write(dir, names...)
	}
	return false, nil
}
