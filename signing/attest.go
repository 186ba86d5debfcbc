package signing

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/proa-os/proa/manifests"
)

// PayloadInToto is the type of an envelope's payload that is an in-toto
// statement.
const PayloadInToto = "application/vnd.in-toto+json"

// envelopeMost bounds an envelope, in bytes.
const envelopeMost = 64 << 20

// What can be wrong with an attestation, for errors.Is.
var (
	ErrNotAttested = errors.New("the envelope is not signed by as many known keys as are wanted")
	ErrPayloadType = errors.New("the envelope holds something else")
)

// Seal puts a payload into an envelope (DSSE,
// https://github.com/secure-systems-lab/dsse), signed by each of the keys.
// Without keys it has no signature, and only a digest from elsewhere can vouch
// for it: that of a release that is signed, for one.
func Seal(payloadType string, payload []byte, keys ...PrivateKey) ([]byte, error) {
	envelope := &dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload), Signatures: []dsse.Signature{}}
	if len(keys) > 0 {
		seen := map[string]bool{}
		signers := make([]dsse.Signer, len(keys))
		for i, key := range keys {
			if seen[key.public.id] {
				return nil, fmt.Errorf("key %s: want it once", key.public.id)
			}
			seen[key.public.id] = true
			signers[i] = envelopeSigner{key}
		}
		signer, err := dsse.NewEnvelopeSigner(signers...)
		if err != nil {
			return nil, err
		}
		if envelope, err = signer.SignPayload(context.Background(), payloadType, payload); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(envelope)
	return append(text, '\n'), err
}

// OpenSealed is the payload of an envelope that at least threshold of the keys
// have signed. The error is ErrNotAttested when they have not, ErrPayloadType
// when the payload is not of the wanted type.
func OpenSealed(envelope []byte, payloadType string, threshold int, keys ...PublicKey) ([]byte, error) {
	payload, _, err := openSealed(envelope, payloadType, threshold, keys)
	return payload, err
}

// OpenSealedBy is the payload of an envelope that at least one of the keys has
// signed, and those of them that have.
func OpenSealedBy(envelope []byte, payloadType string, keys ...PublicKey) ([]byte, []PublicKey, error) {
	return openSealed(envelope, payloadType, 1, keys)
}

func openSealed(envelope []byte, payloadType string, threshold int, keys []PublicKey) ([]byte, []PublicKey, error) {
	if threshold < 1 || threshold > len(keys) {
		return nil, nil, fmt.Errorf("threshold %d of %d keys: want 1 to %[2]d", threshold, len(keys))
	}
	seen := map[string]PublicKey{}
	verifiers := make([]dsse.Verifier, len(keys))
	for i, key := range keys {
		// A key counts once, under whatever name.
		if _, twice := seen[key.id]; twice {
			return nil, nil, fmt.Errorf("key %s: want it once", key.id)
		}
		seen[key.id] = key
		verifiers[i] = envelopeVerifier{key}
	}
	parsed, _, err := parseEnvelope(envelope, payloadType)
	if err != nil {
		return nil, nil, err
	}
	verifier, err := dsse.NewMultiEnvelopeVerifier(threshold, verifiers...)
	if err != nil {
		return nil, nil, err
	}
	accepted, payload, err := verifier.VerifyAndDecode(context.Background(), parsed)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %d of %d: %w", ErrNotAttested, len(accepted), threshold, err)
	}
	var by []PublicKey
	for _, key := range accepted {
		by = append(by, seen[key.KeyID])
	}
	return payload, by, nil
}

// NamedSigners is the ids of the keys that an envelope says to be signed by, as they
// stand there: it verifies nothing.
func NamedSigners(envelope []byte, payloadType string) ([]string, error) {
	parsed, _, err := parseEnvelope(envelope, payloadType)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, signature := range parsed.Signatures {
		ids = append(ids, signature.KeyID)
	}
	return ids, nil
}

// OpenUnsealed is the payload of an envelope whose bytes the caller trusts
// already, because something signed names their digest. It looks at no
// signature.
func OpenUnsealed(envelope []byte, payloadType string) ([]byte, error) {
	_, payload, err := parseEnvelope(envelope, payloadType)
	return payload, err
}

func parseEnvelope(data []byte, payloadType string) (*dsse.Envelope, []byte, error) {
	if err := manifests.CheckJSON(data, envelopeMost); err != nil {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	var envelope dsse.Envelope
	if err := json.Unmarshal(data, &envelope); err != nil {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	if envelope.PayloadType != payloadType {
		return nil, nil, fmt.Errorf("%w: %.100q, want %q", ErrPayloadType, envelope.PayloadType, payloadType)
	}
	const signaturesMost = 64
	if len(envelope.Signatures) > signaturesMost {
		return nil, nil, fmt.Errorf("envelope with %d signatures: want at most %d", len(envelope.Signatures), signaturesMost)
	}
	payload, err := envelope.DecodeB64Payload()
	if err != nil {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	return &envelope, payload, nil
}

// envelopeSigner is a key as DSSE's library wants it.
type envelopeSigner struct{ key PrivateKey }

func (s envelopeSigner) KeyID() (string, error) { return s.key.public.id, nil }

func (s envelopeSigner) Sign(_ context.Context, data []byte) ([]byte, error) {
	return s.key.sign(data)
}

// envelopeVerifier is a key as DSSE's library wants it.
type envelopeVerifier struct{ key PublicKey }

func (v envelopeVerifier) KeyID() (string, error)   { return v.key.id, nil }
func (v envelopeVerifier) Public() crypto.PublicKey { return v.key.key }

func (v envelopeVerifier) Verify(_ context.Context, data, signature []byte) error {
	if !v.key.verify(data, signature) {
		return errors.New("the signature does not match")
	}
	return nil
}
