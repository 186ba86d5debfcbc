package signing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// lockedBlock is an EncryptedPrivateKeyInfo (RFC 5958, section 3).
const lockedBlock = "ENCRYPTED PRIVATE KEY"

// Of the ways to encrypt a key that there are, this is the one that is read and
// written: PBES2 (RFC 8018, section 6.2) with PBKDF2 over HMAC-SHA-256 and
// AES-256-CBC, the default of openssl pkcs8.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

const (
	iterations     = 600_000    // of PBKDF2, in keys that are made here
	iterationsMost = 20_000_000 // half a minute
	lockKeySize    = 32         // bytes, AES-256
)

// lockedKey is a private key that a passphrase opens.
type lockedKey struct {
	salt       []byte
	iterations int
	iv         []byte
	content    []byte
}

type encryptedPrivateKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Content   []byte
}

type pbes2Parameters struct {
	Derivation pkix.AlgorithmIdentifier
	Cipher     pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"` // HMAC-SHA-1 if it is missing
}

// errOtherLock says what is wanted of an encrypted key.
var errOtherLock = errors.New("encrypted in another way than PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC, as 'openssl pkcs8 -topk8' does")

func parseLockedKey(der []byte) (lockedKey, error) {
	var info encryptedPrivateKeyInfo
	var scheme pbes2Parameters
	var derivation pbkdf2Parameters
	var k lockedKey
	if err := unmarshalAll(der, &info); err != nil {
		return k, err
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return k, errOtherLock
	}
	if err := unmarshalAll(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return k, err
	}
	if !scheme.Derivation.Algorithm.Equal(oidPBKDF2) || !scheme.Cipher.Algorithm.Equal(oidAES256CBC) {
		return k, errOtherLock
	}
	if err := unmarshalAll(scheme.Derivation.Parameters.FullBytes, &derivation); err != nil {
		return k, err
	}
	if !derivation.PRF.Algorithm.Equal(oidHMACSHA256) || derivation.KeyLength != 0 && derivation.KeyLength != lockKeySize {
		return k, errOtherLock
	}
	k = lockedKey{salt: derivation.Salt, iterations: derivation.Iterations, content: info.Content}
	if err := unmarshalAll(scheme.Cipher.Parameters.FullBytes, &k.iv); err != nil {
		return k, err
	}
	switch {
	case k.iterations < 1 || k.iterations > iterationsMost:
		return k, fmt.Errorf("%d iterations: want 1 to %d", k.iterations, iterationsMost)
	case len(k.iv) != aes.BlockSize || len(k.content) == 0 || len(k.content)%aes.BlockSize != 0:
		return k, errors.New("not whole blocks of AES")
	}
	return k, nil
}

func unmarshalAll(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes after the structure")
	}
	return err
}

// cipherOf is the AES cipher that the passphrase gives.
func (k lockedKey) cipherOf(passphrase []byte) (cipher.Block, error) {
	key, err := pbkdf2.Key(sha256.New, string(passphrase), k.salt, k.iterations, lockKeySize)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

// open is the PKCS#8 key. A wrong passphrase is ErrPassphrase.
func (k lockedKey) open(passphrase []byte) (any, error) {
	block, err := k.cipherOf(passphrase)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(k.content))
	cipher.NewCBCDecrypter(block, k.iv).CryptBlocks(plain, k.content)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return nil, ErrPassphrase
	}
	key, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-padding])
	if err != nil {
		return nil, ErrPassphrase
	}
	return key, nil
}

// lockKey encrypts a key with a passphrase.
func lockKey(key ed25519.PrivateKey, passphrase []byte) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	k := lockedKey{salt: make([]byte, 16), iterations: iterations, iv: make([]byte, aes.BlockSize)}
	rand.Read(k.salt)
	rand.Read(k.iv)
	block, err := k.cipherOf(passphrase)
	if err != nil {
		return nil, err
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	for range padding {
		plain = append(plain, byte(padding))
	}
	cipher.NewCBCEncrypter(block, k.iv).CryptBlocks(plain, plain)

	null := asn1.RawValue{Tag: asn1.TagNull}
	derivation, errDerivation := asn1.Marshal(pbkdf2Parameters{k.salt, k.iterations, 0, pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: null}})
	iv, errIV := asn1.Marshal(k.iv)
	scheme, errScheme := asn1.Marshal(pbes2Parameters{
		pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: derivation}},
		pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: iv}},
	})
	if err := errors.Join(errDerivation, errIV, errScheme); err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedPrivateKeyInfo{pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: scheme}}, plain})
}
