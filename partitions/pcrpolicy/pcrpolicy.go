// Package pcrpolicy makes and checks signed policies for what a TPM has measured of a
// kernel image: whoever holds a secret that is sealed against the public key gets it back
// when PCR 11 has a value that the key signed.
//
// The signer signs the value that an image will have (ukifile.Measurement) with Sign,
// and puts the result into the image, as its section .pcrsig. Check tells whether an image
// would be let in. The format is that of systemd-measure(1), which systemd-cryptsetup
// and systemd-cryptenroll read; the policy is TPM2_PolicyPCR of the TPM 2.0 Library
// Specification, part 3, over the bank for SHA-256.
package pcrpolicy

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// Register is the PCR that systemd-stub measures an image's sections into.
const Register = 11

// Bits is the length of the RSA keys that sign policies: the one that every TPM can check.
const Bits = 2048

// The most bytes of the section .pcrsig, and of .pcrpkey.
const (
	SignatureMost = 64 << 10
	KeyMost       = 16 << 10
)

// ErrNotSigned says that the key did not sign a policy for the measurement.
var ErrNotSigned = errors.New("the key signed no policy for what the image measures")

// Signatures are signed policies by the bank that they are for: the content of .pcrsig.
type Signatures struct {
	SHA256 []Signature `json:"sha256"`
}

// Signature is one signed policy.
type Signature struct {
	PCRs   []int  `json:"pcrs"` // the registers
	Key    string `json:"pkfp"` // SHA-256 of the public key, as PKCS #1 encodes it in DER, in hex
	Policy string `json:"pol"`  // its digest, in hex
	Value  []byte `json:"sig"`  // RSASSA-PKCS1-v1_5 with SHA-256 over the policy's digest
}

// Digest is the digest of the policy "PCR 11 has this value".
func Digest(pcr [sha256.Size]byte) [sha256.Size]byte {
	values := sha256.Sum256(pcr[:])
	policy := make([]byte, sha256.Size) // of no policy yet
	policy = append(policy,
		0, 0, 0x01, 0x7f, // TPM_CC_PolicyPCR
		0, 0, 0, 1, // one bank:
		0, 0x0b, // TPM_ALG_SHA256,
		3, 0, 1<<(Register-8), 0, // three bytes of registers
	)
	return sha256.Sum256(append(policy, values[:]...))
}

// Sign signs the policy for a measurement with an RSA key of Bits and returns the
// content of .pcrsig.
func Sign(key crypto.Signer, pcr [sha256.Size]byte) ([]byte, error) {
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok || public.N.BitLen() != Bits {
		return nil, fmt.Errorf("key for PCR policies: want RSA of %d bits", Bits)
	}
	policy := Digest(pcr)
	hash := sha256.Sum256(policy[:])
	value, err := key.Sign(rand.Reader, hash[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing the PCR policy: %w", err)
	}
	signed, err := json.Marshal(Signatures{SHA256: []Signature{{
		PCRs: []int{Register}, Key: fingerprint(public), Policy: hex.EncodeToString(policy[:]), Value: value,
	}}})
	if err != nil {
		return nil, err
	}
	return signed, Check(signed, public, pcr)
}

// Check tells whether the content of .pcrsig holds a policy for the measurement
// with a signature by the key, and wraps ErrNotSigned if it does not.
func Check(signatures []byte, key *rsa.PublicKey, pcr [sha256.Size]byte) error {
	policy := Digest(pcr)
	err := anySigned(signatures, key, hex.EncodeToString(policy[:]))
	if errors.Is(err, ErrNotSigned) {
		err = fmt.Errorf("PCR %d of %.16s: %w", Register, hex.EncodeToString(pcr[:]), err)
	}
	return err
}

// CheckSigner is Check for an image that cannot be measured yet: it tells whether
// there is a policy of whatever measurement with a signature by the key.
func CheckSigner(signatures []byte, key *rsa.PublicKey) error {
	return anySigned(signatures, key, "")
}

// anySigned looks for a policy with the digest, in hex, or with any.
func anySigned(signatures []byte, key *rsa.PublicKey, want string) error {
	if len(signatures) > SignatureMost {
		return fmt.Errorf("PCR signatures of %d bytes: want at most %d", len(signatures), SignatureMost)
	}
	var all Signatures
	if err := json.Unmarshal(bytes.TrimRight(signatures, "\x00"), &all); err != nil {
		return fmt.Errorf("PCR signatures: %w", err)
	}
	name := fingerprint(key)
	for _, s := range all.SHA256 {
		if s.Key != name || want != "" && s.Policy != want || !slices.Equal(s.PCRs, []int{Register}) {
			continue
		}
		policy, err := hex.DecodeString(s.Policy)
		if err != nil {
			return fmt.Errorf("PCR signature by key %.16s: %w", name, err)
		}
		hash := sha256.Sum256(policy)
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], s.Value); err != nil {
			return fmt.Errorf("PCR signature by key %.16s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("key %.16s, %d signatures: %w", name, len(all.SHA256), ErrNotSigned)
}

// ParseKey reads the public key of policies: the content of .pcrpkey, one PEM block
// with an RSA key of Bits.
func ParseKey(text []byte) (*rsa.PublicKey, error) {
	if len(text) > KeyMost {
		return nil, fmt.Errorf("public key for PCR policies of %d bytes: want at most %d", len(text), KeyMost)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.Trim(rest, "\x00\r\n\t ")) > 0 {
		return nil, errors.New("public key for PCR policies: want one PEM block PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key for PCR policies: %w", err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() != Bits {
		return nil, fmt.Errorf("public key for PCR policies: want RSA of %d bits, which TPMs can check", Bits)
	}
	return public, nil
}

// fingerprint is how signatures name a key: SHA-256 of its RSAPublicKey (RFC 8017,
// appendix A.1.1), not of the structure around it that PEM files have.
func fingerprint(key *rsa.PublicKey) string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(key))
	return hex.EncodeToString(sum[:])
}
