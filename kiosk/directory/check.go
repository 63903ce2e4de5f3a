package directory

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Finding is one look at the provider: what was found, and what to do about it.
type Finding struct {
	Check, Found, Todo string
	Bad                bool
}

// Check asks the provider what it is, and compares that with what we need. No
// person signs in.
func (d *Directory) Check(ctx context.Context) []Finding {
	p, err := d.learn(ctx, 0)
	if err != nil {
		return []Finding{{"provider", err.Error(), "see that " + d.conf.Issuer + "/.well-known/openid-configuration answers from here, that directory.ca signs for it, and that directory.hosts names all its endpoints", true}}
	}
	list := []Finding{{Check: "provider", Found: d.conf.Issuer + " answers"}}
	n, err := d.keys(ctx, p)
	switch {
	case err != nil:
		list = append(list, Finding{"keys", err.Error(), "without its keys no token is believed: see " + p.KeysAt, true})
	case n == 0:
		list = append(list, Finding{"keys", "none that we could use", "have the provider sign with one of " + strings.Join(algorithms, ", "), true})
	default:
		list = append(list, Finding{Check: "keys", Found: fmt.Sprintf("%d", n)})
	}
	offers := func(check, what string, of []string, todo string, bad bool) {
		switch {
		case slices.Contains(of, what):
			list = append(list, Finding{Check: check, Found: what})
		case len(of) == 0:
			list = append(list, Finding{Check: check, Found: "it does not say whether it knows " + what, Todo: todo})
		default:
			list = append(list, Finding{check, "it knows " + strings.Join(of, ", ") + " only", todo, bad})
		}
	}
	if len(p.Algorithms) > 0 && !slices.ContainsFunc(p.Algorithms, func(a string) bool { return slices.Contains(algorithms, a) }) {
		list = append(list, Finding{"signatures", strings.Join(p.Algorithms, ", "), "have it sign with one of " + strings.Join(algorithms, ", "), true})
	}
	offers("PKCE", "S256", p.PKCE, "switch it on for this client", true)
	offers("asked again", "refresh_token", p.Grants, "without refresh tokens officers sign in anew every hour; some providers want the scope offline_access", false)
	offers("groups", d.conf.Groups, p.Listed, "have it put the groups into userinfo as "+d.conf.Groups+", or set directory.groups", false)
	return append(list, Finding{Check: "to register there", Found: d.conf.Redirect})
}

// keys counts the provider's keys that may verify a signature.
func (d *Directory) keys(ctx context.Context, p provider) (int, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, p.KeysAt, nil)
	if err != nil {
		return 0, fmt.Errorf("directory: %w", err)
	}
	r, err := (&asking{d: d}).client().Do(q)
	if err != nil {
		return 0, fmt.Errorf("directory: %w", err)
	}
	defer r.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(r.Body).Decode(&set); err != nil || r.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("directory: keys: status %d, no JSON Web Key Set", r.StatusCode)
	}
	n := 0
	for _, k := range set.Keys {
		if k.Valid() && k.IsPublic() && k.Use != "enc" {
			n++
		}
	}
	return n, nil
}
