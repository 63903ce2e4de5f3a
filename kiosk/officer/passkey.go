package officer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// assertion is a passkey's answer as the browser sends it (WebAuthn Level 3
// §5.1, AuthenticationResponseJSON).
type assertion struct {
	RawID    encoded `json:"rawId"`
	Response struct {
		ClientData        encoded `json:"clientDataJSON"`
		AuthenticatorData encoded `json:"authenticatorData"`
		Signature         encoded `json:"signature"`
	} `json:"response"`
}

// encoded is base64url without padding.
type encoded []byte

func (e *encoded) UnmarshalText(b []byte) (err error) {
	*e, err = base64.RawURLEncoding.DecodeString(string(b))
	return err
}

// Flags of authenticator data (WebAuthn Level 3 §6.1).
const (
	userPresent  = 1 << 0
	userVerified = 1 << 2
)

// assertion verifies that one of the officer's passkeys signed the challenge on
// the console's own page, with the officer present and verified (WebAuthn Level
// 3 §7.2). Attestation and counters are the console's matter, at registration
// and at sign-in: a lane trusts the roster's keys and needs the signature only.
func (r *Roster) assertion(raw json.RawMessage, challenge []byte, o Officer) error {
	refuse := func(why string) error { return fmt.Errorf("%w: passkey: %s", ErrWord, why) }
	var a assertion
	if json.Unmarshal(raw, &a) != nil {
		return refuse("its answer cannot be read")
	}
	i := slices.IndexFunc(o.Passkeys, func(k Passkey) bool { return bytes.Equal(k.ID, a.RawID) })
	if i < 0 {
		return refuse(fmt.Sprintf("not one of officer %q", o.ID))
	}
	var said struct {
		Type        string  `json:"type"`
		Challenge   encoded `json:"challenge"`
		Origin      string  `json:"origin"`
		CrossOrigin bool    `json:"crossOrigin"`
	}
	if json.Unmarshal(a.Response.ClientData, &said) != nil {
		return refuse("its client data cannot be read")
	}
	data := a.Response.AuthenticatorData
	page := sha256.Sum256([]byte(r.RPID))
	switch {
	case said.Type != "webauthn.get":
		return refuse("it answered another question")
	case subtle.ConstantTimeCompare(said.Challenge, challenge) != 1:
		return refuse("it signed something else")
	case said.CrossOrigin || !slices.Contains(r.Origins, said.Origin):
		return refuse("it was used on another page")
	case len(data) < 37 || !bytes.Equal(data[:32], page[:]):
		return refuse("it is for another site")
	case data[32]&userPresent == 0 || data[32]&userVerified == 0:
		return refuse("the officer was not verified")
	}
	client := sha256.Sum256(a.Response.ClientData)
	message := slices.Concat(data, client[:])
	key, err := x509.ParsePKIXPublicKey(o.Passkeys[i].Key)
	if err != nil {
		return refuse("the roster's key cannot be read")
	}
	good := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		good = key.Curve == elliptic.P256() && ecdsa.VerifyASN1(key, digest[:], a.Response.Signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, message, a.Response.Signature)
	}
	if !good {
		return refuse("its signature is wrong")
	}
	return nil
}
