package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	tuf "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/regular"
)

// The endings of key files.
const (
	PrivateKeyEnding = ".pem"
	PublicKeyEnding  = ".pub"
)

const (
	privateBlock = "PRIVATE KEY" // PKCS#8, RFC 5958
	publicBlock  = "PUBLIC KEY"  // SubjectPublicKeyInfo, RFC 5280
	keyFileMost  = 16 << 10      // bytes
)

// PublicKey is an ed25519 public key and its TUF key id.
type PublicKey struct {
	key ed25519.PublicKey
	id  string
}

// ID is the TUF key id: 64 hex digits, the SHA-256 of the key's canonical JSON
// (TUF specification, section 4.2).
func (k PublicKey) ID() string { return k.id }

// PEM is the key as a PEM block.
func (k PublicKey) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), nil
}

// verify reports whether signature is this key's of payload.
func (k PublicKey) verify(payload, signature []byte) bool {
	return ed25519.Verify(k.key, payload, signature)
}

func newPublicKey(key ed25519.PublicKey) (PublicKey, error) {
	described, err := tuf.KeyFromPublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	id, err := described.ID()
	return PublicKey{key, id}, err
}

// PrivateKey is an ed25519 private key, or a way to have it sign.
type PrivateKey struct {
	key    ed25519.PrivateKey // nil if it is elsewhere, or locked
	public PublicKey
	remote func(payload []byte) ([]byte, error) // signs when key is nil
	unlock func() (PrivateKey, error)           // of a locked key; nil otherwise
}

// Public is the key's public half.
func (k PrivateKey) Public() PublicKey { return k.public }

// Unlock is the key, opened: a passphrase that is asked for when a locked key
// signs is asked for now. Other keys are as they are.
func (k PrivateKey) Unlock() (PrivateKey, error) {
	if k.unlock == nil {
		return k, nil
	}
	open, err := k.unlock()
	if err == nil && open.public.id != k.public.id {
		err = fmt.Errorf("key %.12s: %w", k.public.id, errForeignSignature)
	}
	return open, err
}

// sign gives the key's signature of payload.
func (k PrivateKey) sign(payload []byte) ([]byte, error) {
	if k.unlock != nil {
		open, err := k.Unlock()
		if err != nil {
			return nil, err
		}
		return open.sign(payload)
	}
	if k.remote == nil {
		return ed25519.Sign(k.key, payload), nil
	}
	signature, err := k.remote(payload)
	if err == nil && !k.public.verify(payload, signature) {
		err = errForeignSignature
	}
	return signature, err
}

// CreateKeyFile makes a new key and writes it to path (PKCS#8 PEM, mode 0600),
// and its public half beside it with the ending .pub. It never replaces a file.
func CreateKeyFile(path string) (PublicKey, error) { return createKeyFile(path, plainKey) }

// CreateLockedKeyFile is CreateKeyFile for a key that a passphrase opens.
func CreateLockedKeyFile(path string, passphrase []byte) (PublicKey, error) {
	if len(passphrase) == 0 {
		return PublicKey{}, errors.New("an empty passphrase")
	}
	return createKeyFile(path, func(key ed25519.PrivateKey) (*pem.Block, error) {
		der, err := lockKey(key, passphrase)
		return &pem.Block{Type: lockedBlock, Bytes: der}, err
	})
}

func plainKey(key ed25519.PrivateKey) (*pem.Block, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return &pem.Block{Type: privateBlock, Bytes: der}, err
}

func createKeyFile(path string, encode func(ed25519.PrivateKey) (*pem.Block, error)) (PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return PublicKey{}, fmt.Errorf("making a key: %w", err)
	}
	known, err := newPublicKey(public)
	if err != nil {
		return PublicKey{}, err
	}
	block, err := encode(private)
	if err != nil {
		return PublicKey{}, err
	}
	publicPEM, err := known.PEM()
	if err != nil {
		return PublicKey{}, err
	}
	publicPath := PublicKeyPath(path)
	if publicPath == path {
		return PublicKey{}, fmt.Errorf("key file %s: want another ending than %s, which is the public key's", path, PublicKeyEnding)
	}
	if err := durable.CreateFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return PublicKey{}, err
	}
	if err := durable.CreateFile(publicPath, publicPEM, 0o644); err != nil {
		os.Remove(path)
		return PublicKey{}, err
	}
	return known, durable.SyncFolder(filepath.Dir(path))
}

// PublicKeyPath is where CreateKeyFile puts the public half of the key at path.
func PublicKeyPath(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(path, PrivateKeyEnding), SignerEnding) + PublicKeyEnding
}

// Passphrase gives the passphrase of a key file that is locked. It is asked when
// the key signs.
type Passphrase func(path string) ([]byte, error)

// ReadKeyFile is OpenKeyFile for keys that need no passphrase.
func ReadKeyFile(path string) (PrivateKey, error) { return OpenKeyFile(path, nil) }

// OpenKeyFile reads a private key: PKCS#8 in PEM, which a passphrase may lock, or
// a file with the ending .signer that says where the key is. A file that group or
// others may read, that is not one PEM block, or whose key is not ed25519 is
// refused. A key that is locked or elsewhere has its public half beside it.
func OpenKeyFile(path string, passphrase Passphrase) (PrivateKey, error) {
	content, mode, err := readKeyFile(path)
	if err != nil {
		return PrivateKey{}, err
	}
	elsewhere := strings.HasSuffix(path, SignerEnding)
	block, _ := pem.Decode(content)
	if !elsewhere && (block == nil || block.Type != lockedBlock) {
		parsed, err := ReadAnyKeyFile(path)
		if err != nil {
			return PrivateKey{}, err
		}
		return edKey(path, parsed)
	}
	if err := checkMode(path, mode); err != nil {
		return PrivateKey{}, err
	}
	public, err := ReadPublicKeyFile(PublicKeyPath(path))
	if err != nil {
		return PrivateKey{}, fmt.Errorf("the public half of %s: %w", path, err)
	}
	if elsewhere {
		return readSigner(path, content, public)
	}
	der, err := onlyBlock(content, lockedBlock)
	var locked lockedKey
	if err == nil {
		locked, err = parseLockedKey(der)
	}
	if err != nil {
		return PrivateKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return PrivateKey{public: public, unlock: func() (PrivateKey, error) { return unlock(path, locked, passphrase) }}, nil
}

func unlock(path string, locked lockedKey, passphrase Passphrase) (PrivateKey, error) {
	if passphrase == nil {
		return PrivateKey{}, fmt.Errorf("key file %s: %w", path, ErrKeyLocked)
	}
	secret, err := passphrase(path)
	if err != nil {
		return PrivateKey{}, err
	}
	parsed, err := locked.open(secret)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return edKey(path, parsed)
}

// edKey is a parsed key that must be ed25519.
func edKey(path string, parsed any) (PrivateKey, error) {
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return PrivateKey{}, fmt.Errorf("key file %s holds a %T: want ed25519", path, parsed)
	}
	public, err := newPublicKey(private.Public().(ed25519.PublicKey))
	return PrivateKey{key: private, public: public}, err
}

// checkMode refuses what group or others may read.
func checkMode(path string, mode fs.FileMode) error {
	if mode.Perm()&0o077 != 0 {
		return fmt.Errorf("key file %s has mode %04o, want 0600: %w", path, mode.Perm(), ErrKeyExposed)
	}
	return nil
}

// ReadAnyKeyFile reads a private key of any kind that PKCS#8 knows, as
// x509.ParsePKCS8PrivateKey gives it, from a file as ReadKeyFile wants it.
func ReadAnyKeyFile(path string) (any, error) {
	content, mode, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	der, err := onlyBlock(content, privateBlock)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	if err := checkMode(path, mode); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

// ReadPublicKeyFile reads a public key.
func ReadPublicKeyFile(path string) (PublicKey, error) {
	content, _, err := readKeyFile(path)
	if err != nil {
		return PublicKey{}, err
	}
	der, err := onlyBlock(content, publicBlock)
	if err != nil {
		return PublicKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	key, err := parsePublicKey(der)
	if err != nil {
		return PublicKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

func readKeyFile(path string) ([]byte, fs.FileMode, error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("key file %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, keyFileMost+1))
	if err != nil {
		return nil, 0, err
	}
	if len(content) > keyFileMost {
		return nil, 0, fmt.Errorf("key file %s: want at most %d bytes", path, keyFileMost)
	}
	return content, info.Mode(), nil
}

// onlyBlock is the content of the one PEM block in content.
func onlyBlock(content []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(content)
	switch {
	case block == nil:
		return nil, fmt.Errorf("no PEM block: want one of type %s", kind)
	case block.Type != kind:
		return nil, fmt.Errorf("PEM block of type %.40q: want %s", block.Type, kind)
	case len(strings.TrimSpace(string(rest))) > 0:
		return nil, errors.New("bytes after the PEM block")
	}
	return block.Bytes, nil
}
