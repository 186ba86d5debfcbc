package secureboot

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf16"

	"github.com/foxboron/go-uefi/pkcs7"
	"golang.org/x/crypto/cryptobyte"
)

// Variable is a variable of the firmware that Secure Boot goes by.
type Variable string

// The variables (UEFI Specification 2.10, section 32.3).
const (
	VariablePK  Variable = "PK"
	VariableKEK Variable = "KEK"
	VariableDB  Variable = "db"
	VariableDBX Variable = "dbx"
)

// GUID identifies who put an entry into a signature database; in the byte order
// of its text.
type GUID [16]byte

// disk is g as EFI stores it: the first three fields little-endian.
func (g GUID) disk() []byte {
	return []byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

var (
	guidGlobal   = GUID{0x8b, 0xe4, 0xdf, 0x61, 0x93, 0xca, 0x11, 0xd2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c} // EFI_GLOBAL_VARIABLE
	guidDatabase = GUID{0xd7, 0x19, 0xb2, 0xcb, 0x3d, 0x3a, 0x45, 0x96, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f} // EFI_IMAGE_SECURITY_DATABASE_GUID
	guidX509     = GUID{0xa5, 0xc0, 0x59, 0xa1, 0x94, 0xe4, 0x4a, 0xa7, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72} // EFI_CERT_X509_GUID
	guidPKCS7    = GUID{0x4a, 0xaf, 0xd2, 0x9d, 0x68, 0xdf, 0x49, 0xee, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7} // EFI_CERT_TYPE_PKCS7_GUID
)

// GUID is the variable's vendor.
func (v Variable) GUID() GUID {
	if v == VariableDB || v == VariableDBX {
		return guidDatabase
	}
	return guidGlobal
}

// Attributes of the variables: kept, seen by loaders and systems, written with a
// signature that has a time, and added to instead of replaced.
const (
	attributes      = 0x01 | 0x02 | 0x04 | 0x20
	attributeAppend = 0x40
)

// ownerOf makes the owner's GUID of who has the certificate (version 8 of RFC
// 9562, from SHA-256).
func ownerOf(certificate *x509.Certificate) GUID {
	sum := sha256.Sum256(certificate.Raw)
	g := GUID(sum[:16])
	g[6] = g[6]&0x0f | 0x80
	g[8] = g[8]&0x3f | 0x80
	return g
}

// CertificateList is an EFI_SIGNATURE_LIST with one certificate: the content of a
// variable.
func CertificateList(owner GUID, certificate *x509.Certificate) []byte {
	const header = 28
	entry := uint32(len(owner) + len(certificate.Raw))
	list := bytes.Clone(guidX509.disk())
	list = binary.LittleEndian.AppendUint32(list, header+entry)
	list = binary.LittleEndian.AppendUint32(list, 0)
	list = binary.LittleEndian.AppendUint32(list, entry)
	return append(append(list, owner.disk()...), certificate.Raw...)
}

// SignUpdate is the content for a variable with what proves it to firmware
// (EFI_VARIABLE_AUTHENTICATION_2): a file .auth. With more, it is added to what the
// variable has; else it replaces that, if the time, whose fractions of a second do not
// count, is later than that of the update before.
func SignUpdate(variable Variable, content []byte, signer Signer, at time.Time, more bool) ([]byte, error) {
	if err := signer.check(); err != nil {
		return nil, err
	}
	flags := uint32(attributes)
	if more {
		flags |= attributeAppend
	}
	when := efiTime(at)
	var signed []byte
	for _, unit := range utf16.Encode([]rune(variable)) {
		signed = binary.LittleEndian.AppendUint16(signed, unit)
	}
	signed = append(signed, variable.GUID().disk()...)
	signed = binary.LittleEndian.AppendUint32(signed, flags)
	signed = append(append(signed, when...), content...)

	key := &fallible{Signer: signer.Key}
	der, err := pkcs7.SignPKCS7(key, signer.Certificate, pkcs7.OIDData, signed)
	if err == nil {
		err = key.err
	}
	if err != nil {
		return nil, fmt.Errorf("signing an update of %s: %w", variable, err)
	}
	// Firmware wants the SignedData without the ContentInfo around it.
	text := cryptobyte.String(der)
	_, data, err := pkcs7.ParseContentInfo(&text)
	if err != nil {
		return nil, err
	}
	const header = 24 // WIN_CERTIFICATE_UEFI_GUID
	update := binary.LittleEndian.AppendUint32(when, uint32(header+len(data)))
	update = binary.LittleEndian.AppendUint16(update, 0x0200) // wRevision
	update = binary.LittleEndian.AppendUint16(update, 0x0ef1) // WIN_CERT_TYPE_EFI_GUID
	update = append(append(update, guidPKCS7.disk()...), data...)
	return append(update, content...), nil
}

// efiTime is an EFI_TIME in UTC, with zeros where an update must have them.
func efiTime(at time.Time) []byte {
	at = at.UTC()
	raw := binary.LittleEndian.AppendUint16(nil, uint16(at.Year()))
	raw = append(raw, byte(at.Month()), byte(at.Day()), byte(at.Hour()), byte(at.Minute()), byte(at.Second()))
	return append(raw, make([]byte, 9)...)
}
