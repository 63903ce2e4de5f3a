package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"passage/kiosk/config"
	"passage/kiosk/console"
	"passage/kiosk/directory"
)

// organisation is the site's way to its directory, with what its files hold;
// nil where there is none.
func organisation(conf config.Console) (*console.Directory, error) {
	d := conf.Directory
	if d == nil {
		return nil, nil
	}
	there := directory.Config{
		Issuer: d.Issuer, Client: d.Client, Redirect: conf.URL.Scheme + "://" + conf.URL.Host + "/directory/callback",
		Scopes: d.Scopes, Groups: d.Groups, Roles: d.Roles, Hosts: d.Hosts,
	}
	if d.Secret != "" {
		b, err := os.ReadFile(d.Secret)
		if err != nil {
			return nil, fmt.Errorf("directory.secret: %w", err)
		}
		if there.Secret = strings.TrimSpace(string(b)); there.Secret == "" {
			return nil, fmt.Errorf("directory.secret: %s is empty", d.Secret)
		}
	}
	if d.CA != "" {
		b, err := os.ReadFile(d.CA)
		if err != nil {
			return nil, fmt.Errorf("directory.ca: %w", err)
		}
		there.CA = x509.NewCertPool()
		if !there.CA.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("directory.ca: %s has no certificate", d.CA)
		}
	}
	client, err := directory.New(there)
	if err != nil {
		return nil, err
	}
	return &console.Directory{Directory: client, Recheck: d.Recheck, Offline: d.Offline}, nil
}

type directoryCmd struct{ configured }

func (directoryCmd) Help() string {
	return `Example: after the client was registered at the provider.

  consoled directory --config console.toml

Each line is one look: what was found, and behind the arrow what to do about it.
Nobody signs in. The exit status is 1 if anything is bad.`
}

func (c directoryCmd) Run(ctx context.Context) error {
	conf, err := config.LoadConsole(c.Config)
	if err != nil {
		return err
	}
	d, err := organisation(conf)
	if err != nil {
		return err
	}
	if d == nil {
		return errors.New("the configuration has no [directory]; examples/console.toml shows one")
	}
	bad := 0
	for _, f := range d.Check(ctx) {
		state := "ok"
		if f.Bad {
			state = "bad"
			bad++
		} else if f.Todo != "" {
			state = "warn"
		}
		line := fmt.Sprintf("%-4s  %-17s  %s", state, f.Check, strings.ReplaceAll(f.Found, "\n", "; "))
		if f.Todo != "" {
			line += " → " + f.Todo
		}
		fmt.Println(line)
	}
	if bad > 0 {
		return fmt.Errorf("directory: %d looks found something bad", bad)
	}
	return nil
}
