package secureboot

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/signing/token"
)

// tokenSigner is an RSA key in a token.
type tokenSigner struct {
	public *rsa.PublicKey
	key    *token.Key
}

// openToken opens a key in a token by its URI.
func openToken(uri string, public crypto.PublicKey) (*tokenSigner, error) {
	known, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("key in a token: want RSA")
	}
	key, err := token.Open(uri)
	return &tokenSigner{known, key}, err
}

// Public implements crypto.Signer.
func (t *tokenSigner) Public() crypto.PublicKey { return t.public }

// digestInfo comes before a SHA-256 digest in what RSASSA-PKCS1-v1_5 signs (RFC
// 8017, section 9.2, note 1).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// Sign implements crypto.Signer for digests of SHA-256. What the token gives is
// verified.
func (t *tokenSigner) Sign(_ io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	if options.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("key in a token: hash %v: want SHA-256", options.HashFunc())
	}
	signature, err := t.key.Sign("RSA-PKCS", append(bytes.Clone(digestInfo), digest...))
	if err != nil {
		return nil, err
	}
	if err := rsa.VerifyPKCS1v15(t.public, crypto.SHA256, digest, signature); err != nil {
		return nil, fmt.Errorf("%s: the signature is not by the key that the certificate names", token.Tool)
	}
	return signature, nil
}
