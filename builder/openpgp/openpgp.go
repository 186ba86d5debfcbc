// Package openpgp says who signed what, for package repositories and packages:
// detached signatures (repomd.xml.asc, the headers of RPM packages) and
// clear-signed documents (InRelease), RFC 9580 and what came before it.
//
// Make a Keyring of the keys that the recipe names (Read, Parse), then ask it
// (VerifyDetached, VerifyInline). One good signature by one of its keys is
// enough; signatures by keys that it does not have are passed over.
//
// Refused are signatures over MD5, SHA-1 and RIPEMD-160, RSA keys of less than
// 2048 bits, DSA, ElGamal and secp256k1. SHA-1 is accepted only inside a key,
// between its parts: keys of old distributions have that, and the recipe
// vouches for the key file as a whole. The newest self-signature of a key says
// when it expires, as gpg sees it. Revocations by third parties are not looked
// at. Nothing is ever asked of a key server or of the user's own keyring.
package openpgp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
)

// What can be wrong. Where several signatures are wrong in several ways, the
// error is each of them.
var (
	ErrUnsigned     = errors.New("there is no signature")
	ErrUnknownKey   = errors.New("not signed by a known key")
	ErrExpired      = errors.New("not valid at that time") // the key or the signature
	ErrRevoked      = errors.New("the key is revoked")
	ErrBadSignature = errors.New("the signature is wrong")
	ErrWeak         = errors.New("algorithm not accepted") // too weak, or not known
)

const (
	// maxKeys bounds one file of keys; Debian's removed ones are 73 KB.
	maxKeys = 4 << 20
	// maxSignature bounds the bytes of signatures, maxSignatures their number.
	maxSignature  = 1 << 20
	maxSignatures = 64
)

// Keyring is a set of public keys. It is never empty.
type Keyring struct {
	mu       sync.Mutex // the library notes in the keys what it found out about them
	entities pgp.EntityList
	digest   manifests.Digest
}

// Signer is who made a good signature.
type Signer struct {
	Fingerprint string    // of the primary key: 40 or 64 upper-case hex digits
	KeyID       string    // of the key or subkey that signed: 16 upper-case hex digits
	Name        string    // the key's first user id, as its owner writes it
	Created     time.Time // when the signature says it was made
}

// Parse reads keys, armored or binary; a blob may have several. Keys that are
// not understood are passed over as long as each blob has one that is.
func Parse(blobs ...[]byte) (*Keyring, error) {
	k := &Keyring{}
	var raw [][]byte
	for _, blob := range blobs {
		parts, err := dearmor(blob, pgp.PublicKeyType, maxKeys)
		if err != nil {
			return nil, err
		}
		found := 0
		for _, part := range parts {
			entities, err := readKeys(part)
			if err != nil {
				return nil, err
			}
			found += len(entities)
			k.entities = append(k.entities, entities...)
		}
		if found == 0 {
			return nil, errors.New("no OpenPGP key that can be used")
		}
		raw = append(raw, parts...)
	}
	if len(k.entities) == 0 {
		return nil, errors.New("no OpenPGP keys are given")
	}
	var err error
	k.digest, err = digest(raw)
	return k, err
}

// Read is Parse of files.
func Read(paths ...string) (*Keyring, error) {
	blobs := make([][]byte, 0, len(paths))
	for _, path := range paths {
		blob, err := regular.Read(path, maxKeys)
		if err != nil {
			return nil, fmt.Errorf("public keys: %w", err)
		}
		if _, err := Parse(blob); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		blobs = append(blobs, blob)
	}
	return Parse(blobs...)
}

// Digest is of the key material: the same for the same keys, armored or binary,
// in whatever order, and another when a key is added, extended or revoked.
func (k *Keyring) Digest() manifests.Digest { return k.digest }

// readKeys reads the keys that have a self-signature which holds.
func readKeys(binary []byte) (pgp.EntityList, error) {
	all, err := pgp.ReadKeyRing(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("reading OpenPGP keys: %w", err)
	}
	var usable pgp.EntityList
	for _, e := range all {
		if e.PrivateKey != nil {
			return nil, fmt.Errorf("OpenPGP key %s is a private key: want public keys", e.PrimaryKey.KeyIdString())
		}
		if self, _ := selfSignature(e); self != nil {
			usable = append(usable, e)
		}
	}
	return usable, nil
}

// policy is what the library checks; its own defaults refuse MD5 and RIPEMD-160.
func policy() *packet.Config { return &packet.Config{MinRSABits: 2048} }

// dearmor returns the binary content of every armored block of the given type
// in data, or data itself when it is binary.
func dearmor(data []byte, kind string, most int) ([][]byte, error) {
	begin, end := []byte("-----BEGIN "+kind+"-----"), []byte("-----END "+kind+"-----")
	if len(data) > most {
		return nil, fmt.Errorf("%s of %d bytes: want at most %d", strings.ToLower(kind), len(data), most)
	}
	if len(data) > 0 && data[0]&0x80 != 0 { // the first bit of every packet (RFC 9580, section 4.2)
		return [][]byte{data}, nil
	}
	var parts [][]byte
	for {
		from := bytes.Index(data, begin)
		if from < 0 {
			return parts, nil
		}
		data = data[from:]
		to := bytes.Index(data, end)
		if to < 0 {
			return nil, fmt.Errorf("%s without its last line, %s", strings.ToLower(kind), end)
		}
		part, err := dearmorOne(data[:to+len(end)])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.ToLower(kind), err)
		}
		parts, data = append(parts, part), data[to+len(end):]
	}
}

// digest is of all keys with everything that is attached to them, each once, in
// the order of their own digests.
func digest(parts [][]byte) (manifests.Digest, error) {
	keys := map[manifests.Digest]bool{}
	for _, part := range parts {
		var key []byte
		flush := func() {
			if len(key) > 0 {
				keys[manifests.DigestOf(key)] = true
			}
			key = nil
		}
		for packets := packet.NewOpaqueReader(bytes.NewReader(part)); ; {
			p, err := packets.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return manifests.Digest{}, fmt.Errorf("reading OpenPGP keys: %w", err)
			}
			const publicKey = 6 // RFC 9580, section 5
			if p.Tag == publicKey {
				flush()
			}
			key = fmt.Appendf(key, "%d %d ", p.Tag, len(p.Contents))
			key = append(key, p.Contents...)
		}
		flush()
	}
	return digestOfSet(keys), nil
}
