package oci_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/manifests"
)

// What follows writes signatures by cosign's SIGNATURE_SPEC.md, with nothing
// but the standard library.

func public(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func signed(t *testing.T, key crypto.Signer, payload string) string {
	t.Helper()
	message, hash := []byte(payload), crypto.Hash(0)
	if _, whole := key.(ed25519.PrivateKey); !whole {
		sum := sha256.Sum256(message)
		message, hash = sum[:], crypto.SHA256
	}
	signature, err := key.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func payload(reference, digest, kind string) string {
	return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":%q},"optional":null}`, reference, digest, kind)
}

const cosignType = "cosign container image signature"

type signatureLayer struct{ payload, signature string }

// attach puts signatures where cosign puts them.
func (s *shop) attach(t *testing.T, repository, digest string, layers ...signatureLayer) {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		const kind = "application/vnd.dev.cosign.simplesigning.v1+json"
		var err error
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: static.NewLayer([]byte(l.payload), kind), MediaType: kind,
			Annotations: map[string]string{"dev.cosignproject.cosign/signature": l.signature},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.push(t, repository+":"+strings.Replace(digest, ":", "-", 1)+".sig", img)
}

func ecdsaKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func resolveSigned(t *testing.T, reference string, key []byte) error {
	t.Helper()
	_, err := oci.Resolve(t.Context(), oci.ResolveConfig{Reference: reference, Arch: manifests.AMD64, CosignKey: key, Remote: impatient})
	return err
}

func digestOf(t *testing.T, what interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestSignaturesByCosignAreVerified(t *testing.T) {
	s := openShop(t)
	key, stranger := ecdsaKey(t), ecdsaKey(t)
	img := image(t, "amd64", tartest.Archive(file("a", "1")))
	reference := s.push(t, "team/a:1", img)
	repository, digest := s.host+"/team/a", digestOf(t, img)
	other := "sha256:" + strings.Repeat("1", 64)
	by := func(key crypto.Signer, payload string) signatureLayer {
		return signatureLayer{payload, signed(t, key, payload)}
	}
	good := payload(repository, digest, cosignType)
	if err := resolveSigned(t, reference, public(t, key)); !errors.Is(err, oci.ErrUnsigned) {
		t.Errorf("no signature at all: %v", err)
	}
	for name, c := range map[string]struct {
		want   error
		layers []signatureLayer
	}{
		"good":                       {nil, []signatureLayer{by(key, good)}},
		"good, named with its tag":   {nil, []signatureLayer{by(key, payload(reference, digest, cosignType))}},
		"good after others":          {nil, []signatureLayer{by(stranger, good), {good, "!"}, by(key, payload(repository, other, cosignType)), by(key, good)}},
		"none":                       {oci.ErrUnsigned, nil},
		"empty":                      {oci.ErrUnsigned, []signatureLayer{{good, ""}}},
		"no base64":                  {oci.ErrWrongKey, []signatureLayer{{good, "!"}}},
		"wrong key":                  {oci.ErrWrongKey, []signatureLayer{by(stranger, good)}},
		"of another payload":         {oci.ErrWrongKey, []signatureLayer{{good, signed(t, key, good+" ")}}},
		"huge payload":               {oci.ErrWrongKey, []signatureLayer{by(key, good+strings.Repeat(" ", 1<<20))}},
		"other image":                {oci.ErrOtherImage, []signatureLayer{by(key, payload(repository, other, cosignType))}},
		"other image, after a wrong": {oci.ErrOtherImage, []signatureLayer{by(stranger, good), by(key, payload(repository, other, cosignType)), by(stranger, good)}},
		"no digest":                  {oci.ErrOtherImage, []signatureLayer{by(key, payload(repository, "", cosignType))}},
		"other type":                 {oci.ErrOtherImage, []signatureLayer{by(key, payload(repository, digest, "atomic container signature"))}},
		"no JSON":                    {oci.ErrOtherImage, []signatureLayer{by(key, "{")}},
		"other repository":           {oci.ErrOtherIdentity, []signatureLayer{by(key, payload(s.host+"/team/b", digest, cosignType))}},
		"other registry":             {oci.ErrOtherIdentity, []signatureLayer{by(key, payload("registry.example/team/a", digest, cosignType))}},
		"no repository":              {oci.ErrOtherIdentity, []signatureLayer{by(key, payload("", digest, cosignType))}},
	} {
		s.attach(t, "team/a", digest, c.layers...)
		err := resolveSigned(t, reference, public(t, key))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v: want %v", name, err, c.want)
		}
		for _, known := range []error{oci.ErrUnsigned, oci.ErrWrongKey, oci.ErrOtherImage, oci.ErrOtherIdentity} {
			if known != c.want && errors.Is(err, known) {
				t.Errorf("%s: error %v is %v, too", name, err, known)
			}
		}
	}
	s.attach(t, "team/a", digest, by(key, good))
	s.misbehave(first(-1, func(r *http.Request) bool {
		return isBlob(r) && strings.Contains(r.URL.Path, "/blobs/"+manifests.DigestOf([]byte(good)).String())
	},
		func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			fmt.Fprint(w, strings.Replace(good, "team/a", "team/b", 1))
		}))
	wantError(t, "payload with another digest", resolveSigned(t, reference, public(t, key)), "want sha256:")
}

func TestTheIndexIsWhatIsSigned(t *testing.T) {
	s := openShop(t)
	key := ecdsaKey(t)
	img := image(t, "amd64", tartest.Archive(file("a", "1")))
	index := mutate.AppendManifests(emptyIndex(), mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	reference := s.push(t, "a:1", index)
	sign := func(digest string) {
		text := payload(s.host+"/a", digest, cosignType)
		s.attach(t, "a", digest, signatureLayer{text, signed(t, key, text)})
	}
	sign(digestOf(t, img))
	if err := resolveSigned(t, reference, public(t, key)); !errors.Is(err, oci.ErrUnsigned) {
		t.Errorf("index without a signature: %v", err)
	}
	if err := resolveSigned(t, s.host+"/a@"+digestOf(t, img), public(t, key)); err != nil {
		t.Errorf("the signed image of it: %v", err)
	}
	sign(digestOf(t, index))
	if err := resolveSigned(t, reference, public(t, key)); err != nil {
		t.Errorf("signed index: %v", err)
	}
}

func TestKeysOfOtherKindsVerify(t *testing.T) {
	s := openShop(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	img := image(t, "amd64", tartest.Archive(file("a", "1")))
	reference := s.push(t, "a:1", img)
	text := payload(s.host+"/a", digestOf(t, img), cosignType)
	for _, key := range []crypto.Signer{rsaKey, edKey} {
		s.attach(t, "a", digestOf(t, img), signatureLayer{text, signed(t, key, text)})
		if err := resolveSigned(t, reference, public(t, key)); err != nil {
			t.Errorf("%T: %v", key, err)
		}
		if err := resolveSigned(t, reference, public(t, ecdsaKey(t))); !errors.Is(err, oci.ErrWrongKey) {
			t.Errorf("%T, other key: %v", key, err)
		}
	}
	before := s.requests.Load()
	private, err := x509.MarshalPKCS8PrivateKey(edKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "text": []byte("key"), "long": make([]byte, 1<<20),
		"private": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"damaged": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
	} {
		wantError(t, name, resolveSigned(t, reference, bad), "cosign key")
	}
	if s.requests.Load() != before {
		t.Error("the registry was asked with a key that is none")
	}
}
