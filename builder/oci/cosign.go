package oci

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// How the signature of an image fails, the nearest to a good one last: of
// several signatures, the error is about the one that came nearest.
var (
	ErrUnsigned      = errors.New("the image is not signed with cosign")
	ErrWrongKey      = errors.New("no signature of the image is by the given key")
	ErrOtherImage    = errors.New("the signature by the given key is for another image")
	ErrOtherIdentity = errors.New("the signature by the given key is for an image of another name")
)

// Of cosign's signature images
// (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
const (
	signaturePayload    = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	payloadType         = "cosign container image signature"

	maxSignatures = 64
	maxPayload    = 64 << 10 // bytes
	minRSA        = 2048     // bits
)

// verifyCosign looks for a signature by key under the tag that cosign gives
// it. Signatures that are attached as OCI 1.1 referrers, or kept in bundles,
// are not looked for.
func (r *repository) verifyCosign(ctx context.Context, digest v1.Hash, key signature.Verifier) error {
	tag := digest.Algorithm + "-" + digest.Hex + ".sig"
	m, err := r.manifest(ctx, tag)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no tag %s (signatures as OCI referrers or bundles are not read)", ErrUnsigned, tag)
	}
	if err != nil {
		return fmt.Errorf("reading signatures: %w", err)
	}
	signatures, err := v1.ParseManifest(bytes.NewReader(m.data))
	if err != nil {
		return fmt.Errorf("parsing signatures: %w", err)
	}
	nearest := fmt.Errorf("%w: none is at tag %s", ErrUnsigned, tag)
	for i, l := range signatures.Layers {
		if i >= maxSignatures {
			return fmt.Errorf("more than %d signatures, none of the first is good: %w", maxSignatures, nearest)
		}
		if l.MediaType != signaturePayload || l.Annotations[signatureAnnotation] == "" {
			continue
		}
		err := r.verifySignature(ctx, l, digest, key)
		if err == nil {
			return nil
		}
		if nearness(err) < 0 {
			return err
		}
		if nearness(err) > nearness(nearest) {
			nearest = err
		}
	}
	return nearest
}

// nearness orders the errors; -1 is for one that is not about the signature.
func nearness(err error) int {
	for i, known := range []error{ErrUnsigned, ErrWrongKey, ErrOtherImage, ErrOtherIdentity} {
		if errors.Is(err, known) {
			return i
		}
	}
	return -1
}

// verifySignature reads nothing of a payload before its signature is good.
func (r *repository) verifySignature(ctx context.Context, l v1.Descriptor, digest v1.Hash, verifier signature.Verifier) error {
	raw, err := base64.StdEncoding.DecodeString(l.Annotations[signatureAnnotation])
	if err != nil {
		return fmt.Errorf("%w: a signature is not base64", ErrWrongKey)
	}
	if l.Size > maxPayload {
		return fmt.Errorf("%w: a payload of %d bytes: want at most %d", ErrWrongKey, l.Size, maxPayload)
	}
	payload, err := readJSON(ctx, r, l)
	if err != nil {
		return fmt.Errorf("reading the payload of a signature: %w", err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(raw), bytes.NewReader(payload)); err != nil {
		return ErrWrongKey
	}
	return r.checkPayload(payload, digest)
}

func (r *repository) checkPayload(payload []byte, digest v1.Hash) error {
	var said struct {
		Critical struct {
			Identity struct {
				Reference string `json:"docker-reference"`
			}
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			}
			Type string
		}
	}
	if err := json.Unmarshal(payload, &said); err != nil {
		return fmt.Errorf("%w: its payload: %w", ErrOtherImage, err)
	}
	c := said.Critical
	switch {
	case c.Type != payloadType:
		return fmt.Errorf("%w: its payload is a %.60q: want %q", ErrOtherImage, c.Type, payloadType)
	case c.Image.Digest != digest.String():
		return fmt.Errorf("%w: %.100q: want %s", ErrOtherImage, c.Image.Digest, digest)
	}
	ref, err := parseReference(c.Identity.Reference)
	if err != nil || ref.repository.Name() != r.name.Name() {
		return fmt.Errorf("%w: %.200q: want %s", ErrOtherIdentity, c.Identity.Reference, r.name.Name())
	}
	return nil
}

// loadKey reads a public key as cosign generate-key-pair writes it: ECDSA on
// P-256; other ECDSA keys, RSA (PKCS #1 v1.5) and Ed25519 do, too.
func loadKey(text []byte) (signature.Verifier, error) {
	const most = 64 << 10
	if len(text) > most {
		return nil, fmt.Errorf("%d bytes: want at most %d", len(text), most)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("want a public key as PEM: %w", err)
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("RSA of %d bits: want at least %d", k.N.BitLen(), minRSA)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("of type %T: want ECDSA, RSA or Ed25519", key)
	}
	return signature.LoadVerifier(key, crypto.SHA256)
}
