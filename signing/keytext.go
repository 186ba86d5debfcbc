package signing

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

// MarshalText is the key in one line: the base64 of its SubjectPublicKeyInfo (RFC
// 5280), which is what stands in the PEM block.
func (k PublicKey) MarshalText() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.key)
	return base64.StdEncoding.AppendEncode(nil, der), err
}

// UnmarshalText reads what MarshalText writes.
func (k *PublicKey) UnmarshalText(text []byte) error {
	der, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("key %.80q: want the line in a .pub file that 'proa key new' makes", text)
	}
	*k, err = parsePublicKey(der)
	if err != nil {
		return fmt.Errorf("key %.80q: %w", text, err)
	}
	return nil
}

func parsePublicKey(der []byte) (PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, err
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("it is a %T: want ed25519", parsed)
	}
	return newPublicKey(public)
}
