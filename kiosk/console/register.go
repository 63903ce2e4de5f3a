package console

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"passage/kiosk/officer"
	"passage/kiosk/pages"
	"passage/kiosk/site"
)

// An officer joins in three steps. Somebody with the right to enrol invites
// them; they register a passkey on their own device; and whoever holds the
// roster key, which no console has, signs a roster with it. Until then the
// passkey opens nothing.

// invitation is a registration under way.
type invitation struct {
	invited site.Invited
	session webauthn.SessionData
	person  *officer.Identity // of the directory; nil where there is none
}

// applicant is an invited officer in the library's words.
type applicant struct{ site.Invited }

func (a applicant) WebAuthnID() []byte                         { return []byte(a.Officer) }
func (a applicant) WebAuthnName() string                       { return a.Officer }
func (a applicant) WebAuthnDisplayName() string                { return a.Name }
func (a applicant) WebAuthnCredentials() []webauthn.Credential { return nil }

func (c *server) party() (*webauthn.WebAuthn, error) {
	return webauthn.New(&webauthn.Config{
		RPID: c.conf.RPID, RPDisplayName: "Passage " + c.conf.Name, RPOrigins: c.conf.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationRequired,
		},
	})
}

// kinds are the keys that a lane can verify.
var kinds = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
}

func (c *server) invite(w http.ResponseWriter, r *http.Request, x *session) {
	var q struct {
		Officer string       `json:"officer"`
		Name    string       `json:"name"`
		Role    officer.Role `json:"role"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	code, err := c.site.Invite(r.Context(), site.Invited{Officer: q.Officer, Name: q.Name, Role: q.Role}, x.officer.ID)
	if err != nil {
		pages.Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	c.conf.Log.Info("officer invited", "officer", q.Officer, "role", q.Role, "by", x.officer.ID)
	pages.Reply(w, http.StatusOK, map[string]string{"code": code})
}

func (c *server) beginRegister(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Code string `json:"code"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	who, err := c.site.Invited(r.Context(), q.Code)
	if err != nil {
		pages.Problem(w, http.StatusForbidden, err.Error())
		return
	}
	person, refusal := c.same(r, who)
	if refusal != "" {
		pages.Problem(w, http.StatusConflict, refusal)
		return
	}
	party, err := c.party()
	if err != nil {
		c.conf.Log.Error("passkeys", "error", err)
		pages.Problem(w, http.StatusInternalServerError, "the console's own address is not set up for passkeys")
		return
	}
	options, s, err := party.BeginRegistration(applicant{who}, webauthn.WithCredentialParameters(kinds))
	if err != nil {
		pages.Problem(w, http.StatusInternalServerError, "the registration could not begin")
		return
	}
	c.mu.Lock()
	if len(c.invited) > 1000 {
		clear(c.invited)
	}
	c.invited[q.Code] = &invitation{who, *s, person}
	c.mu.Unlock()
	pages.Reply(w, http.StatusOK, map[string]any{"officer": who.Officer, "name": who.Name, "role": who.Role, "options": options})
}

func (c *server) finishRegister(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Code     string          `json:"code"`
		Response json.RawMessage `json:"response"`
	}
	if !pages.Read(w, r, &q) {
		return
	}
	c.mu.Lock()
	i := c.invited[q.Code]
	delete(c.invited, q.Code)
	c.mu.Unlock()
	if i == nil {
		pages.Problem(w, http.StatusForbidden, "begin again")
		return
	}
	if now, refusal := c.same(r, i.invited); refusal != "" || now != nil && *now != *i.person {
		pages.Problem(w, http.StatusConflict, "begin again: the directory names somebody else now")
		return
	}
	p, err := c.registered(i, q.Response)
	if err != nil {
		c.conf.Log.Warn("passkey refused", "officer", i.invited.Officer, "error", err)
		pages.Problem(w, http.StatusBadRequest, "this passkey cannot be used here")
		return
	}
	if err := c.site.Apply(r.Context(), q.Code, p, i.person); err != nil {
		pages.Problem(w, http.StatusConflict, err.Error())
		return
	}
	c.used(w, r)
	pages.Reply(w, http.StatusOK, map[string]string{"result": "registered"})
}

// same says which person of the directory registers as an invited officer, or
// why not: the two belong together for good. It is nil where there is no
// directory.
func (c *server) same(r *http.Request, who site.Invited) (*officer.Identity, string) {
	if c.conf.Directory == nil {
		return nil, ""
	}
	p := c.person(r)
	if p == nil {
		return nil, "sign in at the directory first"
	}
	if !slices.Contains(p.Roles, who.Role) {
		return nil, "the directory has you in no group of a " + strings.ReplaceAll(string(who.Role), "_", " ")
	}
	roster, err := c.roster(r.Context())
	if err != nil {
		return &p.Identity, "" // the first officers: there is no roster yet
	}
	if o, ok := roster.Known(p.Identity); ok && o.ID != who.Officer {
		return nil, "the directory names another officer"
	}
	if o, ok := roster.Find(who.Officer); ok && o.Directory != nil && *o.Directory != p.Identity {
		return nil, "this invitation is for another person of the directory"
	}
	return &p.Identity, ""
}

func (c *server) registered(i *invitation, response []byte) (officer.Passkey, error) {
	var none officer.Passkey
	party, err := c.party()
	if err != nil {
		return none, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return none, err
	}
	made, err := party.CreateCredential(applicant{i.invited}, i.session, parsed)
	if err != nil {
		return none, err
	}
	key, err := pkix(made.PublicKey)
	return officer.Passkey{ID: made.ID, Key: key}, err
}

// pkix turns an authenticator's COSE key into the form that lanes read.
func pkix(cose []byte) ([]byte, error) {
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return nil, err
	}
	switch k := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		public, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, k.XCoord, k.YCoord))
		if err != nil {
			return nil, fmt.Errorf("console: passkey: %w", err)
		}
		return x509.MarshalPKIXPublicKey(public)
	case webauthncose.OKPPublicKeyData:
		if len(k.XCoord) == ed25519.PublicKeySize {
			return x509.MarshalPKIXPublicKey(ed25519.PublicKey(k.XCoord))
		}
	}
	return nil, errors.New("console: passkey: neither P-256 nor Ed25519")
}
