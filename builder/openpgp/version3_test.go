package openpgp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/proa-os/proa/builder/openpgp"
)

// version3 signs as old versions of RPM did; GnuPG does not any more.
func (g gpg) version3(name string, at time.Time) []byte {
	g.t.Helper()
	keys, err := pgp.ReadKeyRing(bytes.NewReader(g.run(signed, "", "--export-secret-keys", name)))
	if err != nil {
		g.t.Fatal(err)
	}
	suffix := binary.BigEndian.AppendUint32([]byte{0}, uint32(at.Unix()))
	hash := sha256.Sum256(append([]byte(text), suffix...))
	number, err := rsa.SignPKCS1v15(rand.Reader, keys[0].PrivateKey.PrivateKey.(*rsa.PrivateKey), crypto.SHA256, hash[:])
	if err != nil {
		g.t.Fatal(err)
	}
	body := append([]byte{3, 5}, suffix...)
	body = binary.BigEndian.AppendUint64(body, keys[0].PrimaryKey.KeyId)
	body = append(body, 1, 8, hash[0], hash[1])
	body = binary.BigEndian.AppendUint16(body, uint16(len(number)*8))
	body = append(body, number...)
	return append(binary.BigEndian.AppendUint16([]byte{0x89}, uint16(len(body))), body...)
}

func TestVersion3SignaturesOfOldPackages(t *testing.T) {
	t.Parallel()
	g := newGPG(t)
	fingerprint := g.key("old", "rsa3072", "never")
	k, signature := g.keyring("old"), g.version3("old", signed)

	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(file+".sig", signature, 0o600)); err != nil {
		t.Fatal(err)
	}
	g.run(signed, "", "--verify", file+".sig", file)

	signer, err := verify(k, signature, signed)
	if err != nil || signer.Fingerprint != fingerprint || !signer.Created.Equal(signed) {
		t.Errorf("%+v, %v: want %s at %s", signer, err, fingerprint, signed)
	}
	for i := range signature {
		changed := bytes.Clone(signature)
		changed[i] ^= 1
		// The two bytes of the hash are a hint only, and no one looks at them; the
		// length of the number is not signed either.
		if hint := i == 20 || i == 21; hint || i == 23 {
			continue
		}
		if _, err := verify(k, changed, signed); err == nil {
			t.Errorf("accepted with byte %d changed", i)
		}
	}
	if _, err := verify(k, g.version3("old", made.AddDate(0, 0, -1)), signed); !errors.Is(err, openpgp.ErrBadSignature) {
		t.Errorf("made before its key: %v: want ErrBadSignature", err)
	}
}
