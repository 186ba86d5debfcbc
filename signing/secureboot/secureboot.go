// Package secureboot signs programs for UEFI Secure Boot, and makes the keys that
// firmware checks them by.
//
// CreateKeys makes a product's keys: the platform key PK, the key-exchange key KEK and
// the signature database's key db, each with a certificate, and signed updates that
// enroll them in firmware; and a key for policies of what TPMs measure. Sign signs one
// program with db's key; Verify checks it. A key is a file or lies in a token that
// speaks PKCS #11 (OpenKey): what signs is any crypto.Signer with an RSA key.
//
// Formats: Windows Authenticode Portable Executable Signature Format; UEFI
// Specification 2.10, sections 8.2 and 32.4.
package secureboot

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/foxboron/go-uefi/authenticode"
)

// What can be wrong with a signed program, for errors.Is.
var (
	ErrSigned    = errors.New("it is signed already")
	ErrNotSigned = errors.New("it is not signed")
	ErrSignature = errors.New("the signature is not of this program by this certificate")
)

// Signer is a key and the certificate that firmware knows it by.
type Signer struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// check wants an RSA key, the kind that every firmware can check, and the
// certificate of that key.
func (s Signer) check() error {
	public, ok := s.Key.Public().(*rsa.PublicKey)
	if !ok || public.N.BitLen() < 2048 || public.N.BitLen() > 4096 {
		return errors.New("key for Secure Boot: want RSA of 2048 to 4096 bits, which firmware can check")
	}
	if !public.Equal(s.Certificate.PublicKey) {
		return fmt.Errorf("certificate %q is of another key", s.Certificate.Subject.CommonName)
	}
	return nil
}

// Sign is the program (PE32+) with a signature, which it has verified. It refuses
// a program that has one: see Strip.
func Sign(program []byte, signer Signer) ([]byte, error) {
	if err := signer.check(); err != nil {
		return nil, err
	}
	table, err := certificates(program)
	if err != nil {
		return nil, err
	}
	if table.size > 0 {
		return nil, ErrSigned
	}
	parsed, err := parse(program)
	if err != nil {
		return nil, err
	}
	key := &fallible{Signer: signer.Key}
	if _, err := parsed.Sign(key, signer.Certificate); err != nil {
		return nil, err
	}
	if key.err != nil {
		return nil, fmt.Errorf("signing: %w", key.err)
	}
	signed := parsed.Bytes()
	return signed, Verify(signed, signer.Certificate)
}

// fallible keeps the error of a signer from the library, which would end the
// program.
type fallible struct {
	crypto.Signer
	err error
}

func (f *fallible) Sign(random io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	signature, err := f.Signer.Sign(random, digest, options)
	if err != nil {
		f.err = err
	}
	return signature, nil
}

// Verify tells whether a signature of the program is by the certificate's key. It
// does not ask who issued the certificate, nor when it ends: neither does firmware.
func Verify(program []byte, certificate *x509.Certificate) error {
	table, err := certificates(program)
	if err != nil {
		return err
	}
	if table.size == 0 {
		return ErrNotSigned
	}
	parsed, err := parse(program)
	if err != nil {
		return err
	}
	signatures, err := split(program[table.at:])
	if err != nil {
		return err
	}
	for _, signature := range signatures {
		if err = verifyOne(parsed, signature, certificate); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: certificate %q: %w", ErrSignature, certificate.Subject.CommonName, err)
}

func verifyOne(program *authenticode.PECOFFBinary, signature []byte, certificate *x509.Certificate) error {
	parsed, err := authenticode.ParseAuthenticode(signature)
	if err != nil {
		return err
	}
	if !bytes.Equal(parsed.Digest, program.Hash(crypto.SHA256)) {
		return errors.New("it names another digest")
	}
	// The library compares what is signed with the certificate, but not with the
	// digest's structure, of which the content counts (RFC 2315, section 9.3).
	content, err := contentOf(parsed.Pkcs.ContentInfo)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	for _, s := range parsed.Pkcs.SignerInfo {
		if s.AuthenticatedAttributes == nil || !bytes.Equal(s.AuthenticatedAttributes.MessageDigest, sum[:]) {
			return errors.New("what is signed is not the digest that it names")
		}
	}
	ok, err := parsed.Pkcs.Verify(certificate)
	if err == nil && !ok {
		err = errors.New("it is by another key")
	}
	return err
}

// parse reads a program whose headers certificates has checked.
func parse(program []byte) (*authenticode.PECOFFBinary, error) {
	return authenticode.Parse(bytes.NewReader(program))
}

// split is the signatures of a certificate table: each has a length, with this
// header, a revision and a kind before it, and begins at a multiple of 8. Other kinds
// than Authenticode's are passed over.
func split(table []byte) (signatures [][]byte, err error) {
	const header, pkcs7 = 8, 0x0002
	for len(table) > 0 {
		if len(table) < header {
			return nil, fmt.Errorf("signatures: %d bytes are left over", len(table))
		}
		length := binary.LittleEndian.Uint32(table)
		if length < header || int64(length) > int64(len(table)) {
			return nil, fmt.Errorf("signature of %d bytes: want %d to %d", length, header, len(table))
		}
		if binary.LittleEndian.Uint16(table[6:]) == pkcs7 {
			signatures = append(signatures, table[header:length])
		}
		table = table[min(len(table), int(length+7)&^7):]
	}
	if len(signatures) == 0 {
		return nil, ErrNotSigned
	}
	return signatures, nil
}

// Signed reports whether the program has a signature, of whatever worth.
func Signed(program []byte) (bool, error) {
	table, err := certificates(program)
	return table.size > 0, err
}

// Strip is the program without its signatures. The zeros that once filled it up
// for them stay, since they are signed as part of it.
func Strip(program []byte) ([]byte, error) {
	table, err := certificates(program)
	if err != nil || table.size == 0 {
		return program, err
	}
	plain := bytes.Clone(program[:table.at])
	clear(plain[table.entry : table.entry+8])
	return plain, nil
}

// table is where the certificate table is: from at to the end of the file.
type table struct {
	entry    int // of the data directory, in the headers
	at, size int
}

// certificates finds the table, which must be the end of the file: what came
// behind it would not be signed.
func certificates(program []byte) (table, error) {
	const (
		securityDirectory = 4
		peAt              = 0x3c
		fileHeader        = 24  // with the signature
		directories       = 112 // in the optional header of PE32+
	)
	file, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		return table{}, fmt.Errorf("program: %w", err)
	}
	header, ok := file.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || header.NumberOfRvaAndSizes <= securityDirectory || int64(header.SizeOfHeaders) > int64(len(program)) {
		return table{}, errors.New("program: want PE32+ with room for a signature")
	}
	// Tools disagree on what a signature covers where there are gaps.
	end := int64(header.SizeOfHeaders)
	sections := slices.DeleteFunc(file.Sections, func(s *pe.Section) bool { return s.Size == 0 })
	slices.SortFunc(sections, func(a, b *pe.Section) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, s := range sections {
		if int64(s.Offset) != end || end+int64(s.Size) > int64(len(program)) {
			return table{}, fmt.Errorf("program: section %.8q of %d bytes at %d: want it at %d, inside of %d", s.Name, s.Size, s.Offset, end, len(program))
		}
		end += int64(s.Size)
	}
	found := header.DataDirectory[securityDirectory]
	t := table{
		entry: int(binary.LittleEndian.Uint32(program[peAt:])) + fileHeader + directories + 8*securityDirectory,
		at:    int(found.VirtualAddress),
		size:  int(found.Size),
	}
	if t.size == 0 {
		return t, nil
	}
	if int64(t.at) < end || t.at+t.size != len(program) {
		return table{}, fmt.Errorf("program: signatures of %d bytes at %d: want them at its end, %d", t.size, t.at, len(program))
	}
	return t, nil
}
