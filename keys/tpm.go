package keys

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// A master key that is sealed to a TPM is a file of two TPM structures, which
// the TPM that made them opens under its storage root key and no other does.
type tpmBlob struct {
	TPM2    int    `json:"tpm2"` // version of the format: 1
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

// mostBlob bounds the file; ours has some 500 bytes.
const mostBlob = 16 << 10

const defaultTPM = "/dev/tpmrm0"

func tpmSource(source string) (path, device string, ok bool) {
	source, ok = strings.CutPrefix(source, "tpm:")
	path, device, _ = strings.Cut(source, "?device=")
	if device == "" {
		device = defaultTPM
	}
	return path, device, ok
}

// openTPM opens a device, or a TPM emulator's socket.
func openTPM(device string) (transport.TPMCloser, error) {
	i, err := os.Stat(device)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: %w", err)
	}
	open := linuxtpm.Open
	if i.Mode()&os.ModeSocket != 0 {
		open = linuxudstpm.Open
	}
	t, err := open(device)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: %w", err)
	}
	return t, nil
}

// root is the TPM's storage root key, made anew each time from its seed: TCG
// EK Credential Profile, template of an ECC P-256 storage key.
func root(t transport.TPM) (*tpm2.CreatePrimaryResponse, func(), error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: tpm: storage root key: %w", err)
	}
	return r, func() { _, _ = tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(t) }, nil // the resource manager does it otherwise
}

// session encrypts the key on the wires between processor and TPM, under a
// secret that only the storage root key's owner can open.
func session(r *tpm2.CreatePrimaryResponse, encrypt tpm2.AuthOption) (tpm2.Session, error) {
	public, err := r.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: %w", err)
	}
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, encrypt, tpm2.Salted(r.ObjectHandle, *public)), nil
}

func sealTPM(key []byte, device string) ([]byte, error) {
	t, err := openTPM(device)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	r, flush, err := root(t)
	if err != nil {
		return nil, err
	}
	defer flush()
	s, err := session(r, tpm2.AESEncryption(128, tpm2.EncryptIn))
	if err != nil {
		return nil, err
	}
	made, err := tpm2.Create{
		ParentHandle: tpm2.AuthHandle{Handle: r.ObjectHandle, Name: r.Name, Auth: s},
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key})}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
		}),
	}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: seal: %w", err)
	}
	b, err := json.Marshal(tpmBlob{1, tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)})
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: seal: %w", err)
	}
	return append(b, '\n'), nil
}

func unsealTPM(path, device string) ([]byte, error) {
	i, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if i.Size() > mostBlob {
		return nil, fmt.Errorf("keys: tpm: %s has %d bytes: that is no sealed key", path, i.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var blob tpmBlob
	if json.Unmarshal(b, &blob) != nil || blob.TPM2 != 1 {
		return nil, fmt.Errorf("keys: tpm: %s is no sealed key", path)
	}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](blob.Public)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: %s: %w", path, err)
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](blob.Private)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: %s: %w", path, err)
	}
	t, err := openTPM(device)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	r, flush, err := root(t)
	if err != nil {
		return nil, err
	}
	defer flush()
	loaded, err := tpm2.Load{ParentHandle: tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}, InPrivate: *private, InPublic: *public}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: %s was not sealed by this TPM: %w", path, err)
	}
	defer func() { _, _ = tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(t) }() // the resource manager does it otherwise
	s, err := session(r, tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return nil, err
	}
	out, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: s}}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("keys: tpm: unseal: %w", err)
	}
	if len(out.OutData.Buffer) != Size {
		return nil, fmt.Errorf("keys: tpm: %s holds %d bytes; a key has %d", path, len(out.OutData.Buffer), Size)
	}
	return out.OutData.Buffer, nil
}
