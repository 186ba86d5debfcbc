package rpm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/openpgp"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

// key is an OpenPGP key of the tests.
type key struct{ entity *pgp.Entity }

// keyMade is when all of them were made.
var keyMade = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func newKey(lifetime time.Duration) key {
	entity, err := pgp.NewEntity("test", "", "test@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: uint32(lifetime.Seconds()), Time: func() time.Time { return keyMade },
	})
	if err != nil {
		panic(err)
	}
	return key{entity}
}

var ours = sync.OnceValue(func() key { return newKey(0) })

// sign signs a month after the key was made.
func (k key) sign(data []byte) []byte { return k.signAt(data, keyMade.AddDate(0, 1, 0)) }

func (k key) signAt(data []byte, at time.Time) []byte {
	var out bytes.Buffer
	config := &packet.Config{Time: func() time.Time { return at }}
	signer, ok := k.entity.SigningKeyById(keyMade, k.entity.PrimaryKey.KeyId)
	if !ok {
		panic("no key that signs")
	}
	s := &packet.Signature{
		Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: signer.PrivateKey.PubKeyAlgo, Hash: config.Hash(),
		CreationTime: at, IssuerKeyId: &signer.PublicKey.KeyId, IssuerFingerprint: signer.PublicKey.Fingerprint,
	}
	h := config.Hash().New()
	h.Write(data)
	if err := s.Sign(h, signer.PrivateKey, config); err != nil {
		panic(err)
	}
	if err := s.Serialize(&out); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func (k key) ring(t testing.TB) *openpgp.Keyring {
	t.Helper()
	var out bytes.Buffer
	if err := k.entity.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	ring, err := openpgp.Parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// limits keep a test that fails from filling the disk.
func limits() content.Limits {
	l := content.DefaultLimits()
	l.Free, l.Expanded, l.Spool = 4<<20, 64<<20, 64<<20
	return l
}

func newStore(t testing.TB) *content.Store {
	t.Helper()
	store, err := content.NewBounded(t.TempDir(), limits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.rpm")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read reads a package that is signed with our key.
func read(t testing.TB, data []byte) (packages.Payload, error) {
	t.Helper()
	return rpm.Read(t.Context(), newStore(t), write(t, data), rpm.ReadConfig{Keys: ours().ring(t), Source: "rpm"})
}

// lay lays a payload into an empty tree and shows that.
func lay(t testing.TB, p packages.Payload) ([]string, error) {
	t.Helper()
	into := tree.New()
	if err := packages.Lay(t.Context(), into, "rpm", []packages.Payload{p}, nil); err != nil {
		return nil, err
	}
	return treetest.List(into)
}
