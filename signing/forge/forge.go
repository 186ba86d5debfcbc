// Package forge signs TUF metadata that nobody should sign, for tests: it plays
// somebody who has a repository's server, and as many of its keys as he likes.
// It shares no code with package signing, so that the two cannot be wrong in the
// same way.
package forge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// Object is a JSON object.
type Object = map[string]any

// Key is a key, and the id under which it signs, which need not be its own.
type Key struct {
	ID      string
	Private crypto.Signer // ed25519, or ecdsa
}

// NewKey makes an ed25519 key that no repository knows.
func NewKey() Key {
	_, private, err := ed25519.GenerateKey(nil)
	must(err)
	return newKey(private)
}

// NewCurveKey is NewKey for ecdsa on a curve.
func NewCurveKey(curve elliptic.Curve) Key {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(err)
	return newKey(private)
}

func newKey(private crypto.Signer) Key {
	key := Key{Private: private}
	key.ID = idOf(key.Described())
	return key
}

// ReadKey reads a key file: PKCS#8 in PEM.
func ReadKey(t testing.TB, path string) Key {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatalf("%s holds no PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	check(t, err)
	return newKey(key.(crypto.Signer))
}

// readKeys reads the first key of each role from a folder of keys.
func readKeys(t testing.TB, folder string) map[string]Key {
	keys := map[string]Key{}
	for _, role := range []string{Root, Timestamp, Snapshot, Targets} {
		keys[role] = ReadKey(t, filepath.Join(folder, role+".pem"))
	}
	return keys
}

// Described is the key's public half as a root has it (TUF specification,
// section 4.2).
func (k Key) Described() Object {
	if public, ok := k.Private.Public().(ed25519.PublicKey); ok {
		return Object{"keytype": "ed25519", "scheme": "ed25519", "keyval": Object{"public": hex.EncodeToString(public)}}
	}
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	must(err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return Object{"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": Object{"public": string(public)}}
}

func idOf(described Object) string { return fmt.Sprintf("%x", sha256.Sum256(canonical(described))) }

// Sign is the metadata file of signed with a signature by each of the keys.
func Sign(signed Object, keys ...Key) []byte {
	signatures := []Object{}
	for _, key := range keys {
		signatures = append(signatures, key.Signature(signed))
	}
	return Envelope(signed, signatures...)
}

// Signature is the key's signature of signed.
func (k Key) Signature(signed Object) Object {
	content, hash := canonical(signed), crypto.Hash(0)
	if _, ok := k.Private.(*ecdsa.PrivateKey); ok {
		digest := sha256.Sum256(content)
		content, hash = digest[:], crypto.SHA256
	}
	signature, err := k.Private.Sign(rand.Reader, content, hash)
	must(err)
	return Object{"keyid": k.ID, "sig": hex.EncodeToString(signature)}
}

// Envelope is the metadata file of signed with the given signatures.
func Envelope(signed Object, signatures ...Object) []byte {
	data, err := json.Marshal(Object{"signed": signed, "signatures": append([]Object{}, signatures...)})
	must(err)
	return data
}

// Signed is the signed part of a metadata file, to be changed.
func Signed(data []byte) Object {
	var envelope struct {
		Signed Object `json:"signed"`
	}
	must(json.Unmarshal(data, &envelope))
	return envelope.Signed
}

// Up counts the version up.
func Up(signed Object) Object {
	signed["version"] = version(signed) + 1
	return signed
}

func version(signed Object) int64 {
	switch v := signed["version"].(type) {
	case float64: // as it is read
		return int64(v)
	case int64:
		return v
	}
	panic(fmt.Sprintf("forge: version %v", signed["version"]))
}

// Meta is how the role above speaks of content.
func Meta(version int64, content []byte) Object {
	meta := Listed(content)
	meta["version"] = version
	return meta
}

// Listed is how targets metadata speaks of content.
func Listed(content []byte) Object {
	return Object{"length": len(content), "hashes": Object{"sha256": fmt.Sprintf("%x", sha256.Sum256(content))}}
}

// AddKey gives a root a changed description of the key, under the id that fits
// it, and returns that id.
func AddKey(root Object, key Key, change func(Object)) (id string) {
	described := key.Described()
	change(described)
	id = idOf(described)
	root["keys"].(Object)[id] = described
	return id
}

// RoleOf is the entry of a role in a root.
func RoleOf(root Object, role string) Object { return root["roles"].(Object)[role].(Object) }

// canonical is the canonical JSON that signatures and key ids are of.
func canonical(v any) []byte {
	data, err := cjson.EncodeCanonical(v)
	must(err)
	return data
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
