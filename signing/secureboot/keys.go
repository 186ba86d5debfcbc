package secureboot

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

// The names of keys, and of their files before the ending. A further key for db
// is db-2, and so on.
const (
	PK  = "PK"  // the platform key: signs updates of KEK and of itself
	KEK = "KEK" // signs updates of db and dbx
	DB  = "db"  // signs programs
	PCR = "pcr" // signs policies for what TPMs measure
)

// The endings of files beside those of keys (signing.PrivateKeyEnding).
const (
	CertificateEnding = ".crt"  // PEM
	UpdateEnding      = ".auth" // a signed update of the firmware's variable
	ListEnding        = ".esl"  // the variable's content, unsigned
)

const (
	bits            = 2048     // of the keys that are made: what every firmware and every TPM can check
	yearsValid      = 30       // of certificates; firmware does not ask
	certificateMost = 16 << 10 // bytes
)

// KeyFile is one key that was made.
type KeyFile struct {
	Name  string   // such as "PK" or "db-2"
	Files []string // paths, the private key first
}

// CreateKeys makes PK, KEK, db and pcr in the folder: for each a private key, for the
// first three a certificate and what enrolls it, for pcr the public key. It
// replaces no file, and makes all of them or none. The product's name stands in the
// certificates.
func CreateKeys(folder, product string, now time.Time) ([]KeyFile, error) {
	made := map[string]Signer{}
	keys := []newKey{}
	for _, name := range []string{PK, KEK, DB} {
		signer, files, err := makeSigner(name, product, now)
		if err != nil {
			return nil, err
		}
		made[name] = signer
		keys = append(keys, newKey{name, files})
	}
	owner := ownerOf(made[PK].Certificate)
	for i, variable := range []Variable{VariablePK, VariableKEK, VariableDB} {
		list := CertificateList(owner, made[keys[i].name].Certificate)
		update, err := SignUpdate(variable, list, made[signedBy[variable]], now, false)
		if err != nil {
			return nil, err
		}
		keys[i].files = append(keys[i].files, newFile{UpdateEnding, update, 0o644}, newFile{ListEnding, list, 0o644})
	}
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	files, err := privateFile(private)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	files = append(files, newFile{signing.PublicKeyEnding, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644})
	return writeKeys(folder, append(keys, newKey{PCR, files}))
}

// signedBy says whose key signs updates of a variable.
var signedBy = map[Variable]string{VariablePK: PK, VariableKEK: PK, VariableDB: KEK, VariableDBX: KEK}

// AddDB makes a further key for db in a folder that has KEK: db-2, or the first
// that is not there. Its update adds to what firmware has.
func AddDB(folder, product string, now time.Time) (KeyFile, error) {
	kek, err := LoadSigner(folder, KEK)
	if err != nil {
		return KeyFile{}, err
	}
	name := DB
	for n := 2; exists(folder, name); n++ {
		name = fmt.Sprintf("%s-%d", DB, n)
	}
	signer, files, err := makeSigner(name, product, now)
	if err != nil {
		return KeyFile{}, err
	}
	list := CertificateList(ownerOf(kek.Certificate), signer.Certificate)
	update, err := SignUpdate(VariableDB, list, kek, now, true)
	if err != nil {
		return KeyFile{}, err
	}
	keys, err := writeKeys(folder, []newKey{{name, append(files, newFile{UpdateEnding, update, 0o644}, newFile{ListEnding, list, 0o644})}})
	if err != nil {
		return KeyFile{}, err
	}
	return keys[0], nil
}

// Revoke is an update of dbx by the folder's KEK that makes firmware refuse whatever
// the certificate's key has signed.
func Revoke(folder string, certificate *x509.Certificate, now time.Time) ([]byte, error) {
	kek, err := LoadSigner(folder, KEK)
	if err != nil {
		return nil, err
	}
	return SignUpdate(VariableDBX, CertificateList(ownerOf(kek.Certificate), certificate), kek, now, true)
}

// LoadSigner reads a key and its certificate from a folder.
func LoadSigner(folder, name string) (Signer, error) {
	path := filepath.Join(folder, name)
	return OpenSigner(path+signing.PrivateKeyEnding, path+CertificateEnding)
}

// NewestDB is the name of the folder's key for db that was made last and has its
// private half here.
func NewestDB(folder string) (string, error) {
	newest := ""
	for n, name := 1, DB; exists(folder, name); name = fmt.Sprintf("%s-%d", DB, n) {
		if _, err := os.Lstat(filepath.Join(folder, name+signing.PrivateKeyEnding)); err == nil {
			newest = name
		}
		n++
	}
	if newest == "" {
		return "", fmt.Errorf("no %s%s in %s: %w", DB, signing.PrivateKeyEnding, folder, signing.ErrKeyMissing)
	}
	return newest, nil
}

// exists reports whether the folder has a key of that name, or its certificate.
func exists(folder, name string) bool {
	for _, ending := range []string{signing.PrivateKeyEnding, CertificateEnding} {
		if _, err := os.Lstat(filepath.Join(folder, name+ending)); err == nil {
			return true
		}
	}
	return false
}

// ReadCertificate reads a certificate from a file with one PEM block.
func ReadCertificate(path string) (*x509.Certificate, error) {
	text, err := regular.Read(path, certificateMost)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("certificate %s: want one PEM block CERTIFICATE", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", path, err)
	}
	return certificate, nil
}

type newKey struct {
	name  string
	files []newFile
}

type newFile struct {
	ending  string
	content []byte
	mode    fs.FileMode
}

func makeSigner(name, product string, now time.Time) (Signer, []newFile, error) {
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return Signer{}, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return Signer{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: strings.TrimSpace(product + " " + name)},
		NotBefore:             now.UTC(),
		NotAfter:              now.UTC().AddDate(yearsValid, 0, 0),
		BasicConstraintsValid: true,
		IsCA:                  name == PK || name == KEK,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if strings.HasPrefix(name, DB) {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return Signer{}, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Signer{}, nil, err
	}
	files, err := privateFile(private)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return Signer{private, certificate}, append(files, newFile{CertificateEnding, text, 0o644}), err
}

func privateFile(key *rsa.PrivateKey) ([]newFile, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return []newFile{{signing.PrivateKeyEnding, text, 0o600}}, err
}

func writeKeys(folder string, keys []newKey) (made []KeyFile, err error) {
	if err := durable.MakeFolder(folder); err != nil {
		return nil, fmt.Errorf("making folder %s: %w", folder, err)
	}
	var written []string
	defer func() {
		if err == nil {
			return
		}
		made = nil
		for _, path := range written {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	for _, key := range keys {
		file := KeyFile{Name: key.name}
		for _, f := range key.files {
			path := filepath.Join(folder, key.name+f.ending)
			if err := durable.CreateFile(path, f.content, f.mode); err != nil {
				return nil, fmt.Errorf("making key %s: %w", key.name, err)
			}
			written = append(written, path)
			file.Files = append(file.Files, path)
		}
		made = append(made, file)
	}
	return made, durable.SyncFolder(folder)
}
