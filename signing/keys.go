package signing

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Keys are the keys in one folder, by the role that each file is named for:
// root.pem, root-2.pem, targets.signer, … A public key (root-2.pub) without its
// private half takes part in a role but cannot sign for it here.
type Keys struct {
	folder     string
	public     map[Role][]PublicKey
	private    map[string]PrivateKey // by key id
	passphrase Passphrase
}

// KeyFileName is the name of the n-th key (from 1) for role in a folder of
// keys.
func KeyFileName(role Role, n int) string {
	if n == 1 {
		return string(role) + PrivateKeyEnding
	}
	return fmt.Sprintf("%s-%d%s", role, n, PrivateKeyEnding)
}

// LoadKeys is OpenKeys for keys that need no passphrase.
func LoadKeys(folder string) (Keys, error) { return OpenKeys(folder, nil) }

// OpenKeys reads the key files in folder. A file ending in .pem, .signer or .pub
// that is not named for a role, or that is refused by OpenKeyFile, is an error; so
// is one key in two files, which would count twice towards a threshold.
func OpenKeys(folder string, passphrase Passphrase) (Keys, error) {
	keys := Keys{folder: folder, public: map[Role][]PublicKey{}, private: map[string]PrivateKey{}, passphrase: passphrase}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return Keys{}, err
	}
	stemOf, idOf := map[string]string{}, map[string]string{} // by key id, by file name without ending
	for _, entry := range entries {
		ending := filepath.Ext(entry.Name())
		if ending != PrivateKeyEnding && ending != PublicKeyEnding && ending != SignerEnding {
			continue
		}
		stem := strings.TrimSuffix(entry.Name(), ending)
		roleName, _, _ := strings.Cut(stem, "-")
		role, err := ParseRole(roleName)
		if err != nil {
			return Keys{}, fmt.Errorf("key file %s: %w", filepath.Join(folder, entry.Name()), err)
		}
		public, err := keys.read(filepath.Join(folder, entry.Name()), ending)
		if err != nil {
			return Keys{}, err
		}
		if other, known := stemOf[public.id]; known && other != stem {
			return Keys{}, fmt.Errorf("key files %s and %s in %s hold the same key: want one key for each", other, stem, folder)
		}
		if other, known := idOf[stem]; known && other != public.id {
			return Keys{}, fmt.Errorf("key files %s.pem and %s.pub in %s do not belong together", stem, stem, folder)
		}
		if _, known := stemOf[public.id]; !known {
			keys.public[role] = append(keys.public[role], public)
		}
		stemOf[public.id], idOf[stem] = stem, public.id
	}
	if len(stemOf) == 0 {
		return Keys{}, fmt.Errorf("no key files in %s: %w", folder, ErrKeyMissing)
	}
	return keys, nil
}

func (k Keys) read(path, ending string) (PublicKey, error) {
	if ending == PublicKeyEnding {
		return ReadPublicKeyFile(path)
	}
	private, err := OpenKeyFile(path, k.passphrase)
	if err != nil {
		return PublicKey{}, err
	}
	k.private[private.public.id] = private
	return private.public, nil
}

// unlockedOnce is the same keys; a passphrase that they need is asked for once, at
// the first of several signatures.
func (k Keys) unlockedOnce() Keys {
	private := maps.Clone(k.private)
	for id, key := range private {
		if key.unlock != nil {
			key.unlock = sync.OnceValues(key.unlock)
			private[id] = key
		}
	}
	k.private = private
	return k
}

// signers are the private keys at hand for the given key ids. Fewer than
// threshold is ErrKeyMissing.
func (k Keys) signers(role Role, ids []string, threshold int) ([]PrivateKey, error) {
	var found []PrivateKey
	for _, id := range ids {
		if key, ok := k.private[id]; ok {
			found = append(found, key)
		}
	}
	if len(found) < threshold || len(found) == 0 {
		return nil, fmt.Errorf("%s needs %d of the keys %s, %s has %d: %w",
			role, threshold, shortIDs(ids), k.folder, len(found), ErrKeyMissing)
	}
	return found, nil
}

func shortIDs(ids []string) string {
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = id[:min(12, len(id))]
	}
	return strings.Join(short, ", ")
}
