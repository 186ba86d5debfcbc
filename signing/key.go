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

// publicKeyOf is a key that metadata describes.
func publicKeyOf(described *tuf.Key) (PublicKey, error) {
	parsed, err := described.ToPublicKey()
	if err != nil {
		return PublicKey{}, err
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("a key of type %.40q: want ed25519", described.Type)
	}
	return newPublicKey(public)
}

func newPublicKey(key ed25519.PublicKey) (PublicKey, error) {
	described, err := tuf.KeyFromPublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	id, err := described.ID()
	return PublicKey{key, id}, err
}

// PrivateKey is an ed25519 private key.
type PrivateKey struct {
	key    ed25519.PrivateKey
	public PublicKey
}

// Public is the key's public half.
func (k PrivateKey) Public() PublicKey { return k.public }

// sign gives the key's signature of payload.
func (k PrivateKey) sign(payload []byte) ([]byte, error) {
	return ed25519.Sign(k.key, payload), nil
}

// CreateKeyFile makes a new key and writes it to path (PKCS#8 PEM, mode 0600),
// and its public half beside it with the ending .pub. It never replaces a file.
func CreateKeyFile(path string) (PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return PublicKey{}, fmt.Errorf("making a key: %w", err)
	}
	known, err := newPublicKey(public)
	if err != nil {
		return PublicKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
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
	if err := durable.CreateFile(path, pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), 0o600); err != nil {
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
	return strings.TrimSuffix(path, PrivateKeyEnding) + PublicKeyEnding
}

// ReadKeyFile reads a private key. A file that group or others may read, that
// is not one PKCS#8 PEM block, or whose key is not ed25519 is refused.
func ReadKeyFile(path string) (PrivateKey, error) {
	parsed, err := ReadAnyKeyFile(path)
	if err != nil {
		return PrivateKey{}, err
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return PrivateKey{}, fmt.Errorf("key file %s holds a %T: want ed25519", path, parsed)
	}
	public, err := newPublicKey(private.Public().(ed25519.PublicKey))
	return PrivateKey{private, public}, err
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
	if mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s has mode %04o, want 0600: %w", path, mode.Perm(), ErrKeyExposed)
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
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("key file %s holds a %T: want ed25519", path, parsed)
	}
	return newPublicKey(public)
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
