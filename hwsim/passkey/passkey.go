// Package passkey is a simulated authenticator: what an officer's phone or
// security key does when a page asks it (WebAuthn Level 3 §6), without the
// officer's finger.
package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Passkey is one P-256 credential for one site.
type Passkey struct {
	ID     []byte
	RPID   string
	key    *ecdsa.PrivateKey
	signed uint32

	// Unverified leaves out the flag that says that the officer was verified.
	Unverified bool
}

// New makes a credential for the site whose host name is rpID.
func New(rpID string) (*Passkey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &Passkey{ID: id, RPID: rpID, key: key}, nil
}

// Public is the credential's public key in PKIX form.
func (p *Passkey) Public() ([]byte, error) { return x509.MarshalPKIXPublicKey(&p.key.PublicKey) }

func url64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// clientData is what the browser says of the page.
func clientData(kind, origin string, challenge []byte) ([]byte, error) {
	return json.Marshal(map[string]any{"type": kind, "challenge": url64(challenge), "origin": origin, "crossOrigin": false})
}

// data is authenticator data: §6.1.
func (p *Passkey) data(flags byte) []byte {
	if !p.Unverified {
		flags |= 0x04
	}
	p.signed++
	page := sha256.Sum256([]byte(p.RPID))
	return binary.BigEndian.AppendUint32(append(page[:], flags|0x01), p.signed)
}

// Get answers navigator.credentials.get, as JSON.
func (p *Passkey) Get(origin string, challenge []byte) (json.RawMessage, error) {
	client, err := clientData("webauthn.get", origin, challenge)
	if err != nil {
		return nil, fmt.Errorf("passkey: get: %w", err)
	}
	data := p.data(0)
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, p.key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("passkey: get: %w", err)
	}
	return p.answer(map[string]any{"clientDataJSON": url64(client), "authenticatorData": url64(data), "signature": url64(signature)})
}

// Create answers navigator.credentials.create with no attestation, as JSON.
func (p *Passkey) Create(origin string, challenge []byte) (json.RawMessage, error) {
	client, err := clientData("webauthn.create", origin, challenge)
	if err != nil {
		return nil, fmt.Errorf("passkey: create: %w", err)
	}
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("passkey: create: %w", err)
	}
	// COSE key: EC2, ES256, P-256 (RFC 9053 §7.1.1).
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		return nil, fmt.Errorf("passkey: create: %w", err)
	}
	data := p.data(0x40)
	data = append(data, make([]byte, 16)...) // AAGUID of nobody
	data = binary.BigEndian.AppendUint16(data, uint16(len(p.ID)))
	data = append(append(data, p.ID...), cose...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		return nil, fmt.Errorf("passkey: create: %w", err)
	}
	return p.answer(map[string]any{"clientDataJSON": url64(client), "attestationObject": url64(object)})
}

func (p *Passkey) answer(response map[string]any) (json.RawMessage, error) {
	b, err := json.Marshal(map[string]any{
		"id": url64(p.ID), "rawId": url64(p.ID), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return b, nil
}
