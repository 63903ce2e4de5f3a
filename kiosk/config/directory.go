package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"passage/kiosk/officer"
)

// Directory is the OpenID provider that says who officers are.
type Directory struct {
	Issuer, Client string
	Secret, CA     string // paths of files; empty for none
	Scopes         []string
	Groups         string // the claim that lists a person's groups
	Hosts          []string
	Roles          map[string]officer.Role // by group
	Recheck        time.Duration           // between two questions about somebody who is signed in
	Offline        time.Duration           // for which the last answer holds while there is no new one
}

type rawDirectory struct {
	Issuer, Client, Secret, CA, Groups string
	Scopes, Hosts                      []string
	Roles                              map[string]string
	Recheck                            duration
	Offline                            *duration
}

// Limits of the directory's answers.
const (
	usualRecheck = 10 * time.Minute
	usualOffline = time.Hour
	mostOffline  = 72 * time.Hour
)

func (p *problems) directory(r *rawDirectory) *Directory {
	if r == nil {
		return nil
	}
	d := &Directory{
		Issuer: r.Issuer, Client: p.need("directory.client", r.Client), Secret: r.Secret, CA: r.CA, Scopes: r.Scopes, Groups: r.Groups, Hosts: r.Hosts,
		Roles: map[string]officer.Role{}, Offline: usualOffline, Recheck: p.within("directory.recheck", r.Recheck, usualRecheck, time.Minute, time.Hour),
	}
	u, err := url.Parse(r.Issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost") {
		p.add("directory.issuer", "%q is no issuer such as https://login.example/realms/border: https, without a query; http is for localhost only", r.Issuer)
	}
	if d.Groups == "" {
		d.Groups = "groups"
	}
	for _, s := range d.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\"\\") {
			p.add("directory.scopes", "%q is no scope", s)
		}
	}
	for _, h := range d.Hosts {
		if u, err := url.Parse("https://" + h); err != nil || u.Host != h || u.Hostname() == "" {
			p.add("directory.hosts", "%q is no host, or host:port where it is not 443", h)
		}
	}
	if len(r.Roles) == 0 {
		p.add("directory.roles", "is missing: which group is which role, such as \"border-guards\" = \"guard\"; nobody could sign in")
	}
	for _, group := range slices.Sorted(maps.Keys(r.Roles)) {
		role := officer.Role(r.Roles[group])
		if _, ok := officer.Rights[role]; !ok || group == "" {
			p.add("directory.roles", "%q = %q: the role is one of guard, shift_lead, supervisor, technician and dpo", group, role)
		}
		d.Roles[group] = role
	}
	if r.Offline != nil {
		d.Offline = time.Duration(*r.Offline)
	}
	if d.Offline < 0 || d.Offline > mostOffline {
		p.add("directory.offline", "%v is not within 0 (nobody without the directory) and %v", d.Offline, mostOffline)
	}
	return d
}
