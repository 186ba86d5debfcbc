package secureboot

import (
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/signing/token"
)

// OpenSigner opens a key, as OpenKey does, and reads its certificate.
func OpenSigner(key, certificate string) (Signer, error) {
	known, err := ReadCertificate(certificate)
	if err != nil {
		return Signer{}, err
	}
	opened, err := OpenKey(key, known.PublicKey)
	if err != nil {
		return Signer{}, err
	}
	signer := Signer{opened, known}
	if err := signer.check(); err != nil {
		return Signer{}, fmt.Errorf("key %s: %w", token.Name(key), err)
	}
	return signer, nil
}

// OpenKey opens a private key whose public half is known: a file as CreateKeys
// makes it, or a key in a token by its URI, "pkcs11:…".
func OpenKey(key string, public crypto.PublicKey) (crypto.Signer, error) {
	if token.IsURI(key) {
		signer, err := openToken(key, public)
		if err != nil {
			return nil, err
		}
		return signer, nil
	}
	private, err := signing.ReadAnyKeyFile(key)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key file %s holds a %T: want RSA", key, private)
	}
	if known, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !known.Equal(public) {
		return nil, fmt.Errorf("key file %s: its public half is another than the one that is known", key)
	}
	return signer, nil
}

// contentOf is what a DER structure holds, without its tag and length.
func contentOf(der []byte) ([]byte, error) {
	var value asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &value); err != nil || len(rest) > 0 {
		return nil, errors.New("the signature's content is no structure")
	}
	return value.Bytes, nil
}
