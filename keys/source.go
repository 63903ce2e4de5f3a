package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"passage/durable"
)

// Load fetches a master key from where a configuration says:
//
//	/etc/passage/lane.key32     a file of 32 random bytes
//	credential:lane.key32       the same, as systemd hands it to the unit
//	                            (LoadCredential=, LoadCredentialEncrypted=)
//	tpm:/var/lib/passage/k.tpm  sealed to this machine's TPM 2.0; another
//	                            device than /dev/tpmrm0 follows as ?device=
//
// The caller clears the key when it is done.
func Load(source string) ([]byte, error) {
	if path, device, ok := tpmSource(source); ok {
		return unsealTPM(path, device)
	}
	if name, ok := strings.CutPrefix(source, "credential:"); ok {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, errors.New("keys: CREDENTIALS_DIRECTORY is not set: does systemd start this, with LoadCredential=?")
		}
		if name == "" || name != filepath.Base(name) {
			return nil, errors.New("keys: a credential's name has no folder")
		}
		source = filepath.Join(dir, name)
	}
	i, err := os.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if i.Size() != Size {
		return nil, fmt.Errorf("keys: %s has %d bytes; a key has %d", source, i.Size(), Size)
	}
	if i.Mode()&0o007 != 0 {
		return nil, fmt.Errorf("keys: everybody may use %s (mode %v): chmod 600", source, i.Mode().Perm())
	}
	key, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return key, nil
}

// New makes a master key at a source: a file, or tpm: and a file that only this
// machine's TPM opens. It replaces no key that is there, and puts nothing into
// a systemd credential, which is systemd-creds' work.
func New(source string) error {
	if strings.HasPrefix(source, "credential:") {
		return errors.New("keys: make a file and give it to systemd-creds encrypt")
	}
	key := make([]byte, Size)
	defer clear(key)
	rand.Read(key)
	path, content := source, key
	if p, device, ok := tpmSource(source); ok {
		blob, err := sealTPM(key, device)
		if err != nil {
			return err
		}
		path, content = p, blob
	}
	if err := durable.Create(path, content, 0o600); err != nil {
		return fmt.Errorf("keys: new: %w", err)
	}
	return nil
}
