package ukifile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sections that a signed PCR policy needs (systemd-stub(7)): the public key
// that signs it, as PEM, which is measured, and the signatures, as JSON, which are
// not. The stub hands both to the initrd, as /.extra/tpm2-pcr-public-key.pem and
// /.extra/tpm2-pcr-signature.json.
const (
	SectionPCRKey       = ".pcrpkey"
	SectionPCRSignature = ".pcrsig"
)

// ErrNoSection says that an image has no section of that name.
var ErrNoSection = errors.New("no section")

// section is one section header.
type section struct {
	name   string
	size   int64 // of the contents in memory
	stored int64 // in the file, which may be padded beyond the section, or be cut short of it
	at     int64 // in the file
}

// ReadSection is the content of the section with the given name, at most most bytes
// of it, of an image of size bytes. Two sections of that name are an error:
// which of them counts would be for the stub to say. One that is not there is
// ErrNoSection.
func ReadSection(r io.ReaderAt, size int64, name string, most int64) ([]byte, error) {
	all, err := sections(r, size)
	if err == nil {
		var content []byte
		if content, err = read(r, size, all, name, most); err == nil {
			return content, nil
		}
	}
	return nil, fmt.Errorf("unified kernel image: %w", err)
}

func read(r io.ReaderAt, size int64, all []section, name string, most int64) ([]byte, error) {
	s, err := find(all, name)
	if err == ErrNoSection {
		return nil, fmt.Errorf("%w %s", ErrNoSection, name)
	}
	if err != nil {
		return nil, err
	}
	length := min(s.size, s.stored)
	if length > most || s.at+length > size {
		return nil, fmt.Errorf("section %s of %d bytes at %d: want at most %d, inside of %d", name, length, s.at, most, size)
	}
	content := make([]byte, length)
	return content, readFull(r, content, s.at)
}

// open reads what the file has of the section's contents.
func (s section) open(r io.ReaderAt, size int64) (*io.SectionReader, error) {
	length := min(s.size, s.stored)
	if s.at+length > size {
		return nil, fmt.Errorf("section %.8q of %d bytes at %d: want it inside of %d", s.name, length, s.at, size)
	}
	return io.NewSectionReader(r, s.at, length), nil
}

func find(all []section, name string) (section, error) {
	var found *section
	for i := range all {
		if all[i].name != name {
			continue
		}
		if found != nil {
			return section{}, fmt.Errorf("two sections %s: want one", name)
		}
		found = &all[i]
	}
	if found == nil {
		return section{}, ErrNoSection
	}
	return *found, nil
}

func sections(r io.ReaderAt, size int64) ([]section, error) {
	raw, err := headers(r, size)
	if err != nil {
		return nil, err
	}
	var all []section
	for ; len(raw) > 0; raw = raw[sectionHeader:] {
		s := section{
			name:   string(bytes.TrimRight(raw[:8], "\x00")),
			size:   int64(binary.LittleEndian.Uint32(raw[8:])),
			stored: int64(binary.LittleEndian.Uint32(raw[16:])),
			at:     int64(binary.LittleEndian.Uint32(raw[20:])),
		}
		if s.at == 0 { // it has nothing in the file (PE format, PointerToRawData)
			s.stored = 0
		}
		all = append(all, s)
	}
	return all, nil
}
