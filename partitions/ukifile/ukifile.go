// Package ukifile reads what is to be known of a unified kernel image without
// running it: the kernel command line, which names the root file system that the
// image boots (CommandLine), where its sections lie (Cuts), what one of them holds
// (ReadSection), and what a TPM will have measured of it (Measurement).
//
// It reads headers and sections and distrusts all of them; it checks no
// signature. Formats: Microsoft's "PE Format"; UAPI.5, Unified Kernel Image.
package ukifile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	offsetOfPE     = 0x3c // in the DOS header: where the PE header is
	coffHeader     = 24   // signature and COFF file header
	sectionHeader  = 40
	optionalMost   = 4096
	sectionsMost   = 96 // what Windows' loader and ours allow
	cmdlineMost    = 16 << 10
	cmdlineSection = ".cmdline"
)

// CommandLine is the text of the image's .cmdline section, without the zeros
// and white space around it. The image is size bytes long. Two such sections
// are an error: which of them counts would be for the stub to say.
func CommandLine(r io.ReaderAt, size int64) (string, error) {
	text, err := commandLine(r, size)
	if err != nil {
		return "", fmt.Errorf("unified kernel image: %w", err)
	}
	return text, nil
}

func commandLine(r io.ReaderAt, size int64) (string, error) {
	all, err := sections(r, size)
	if err != nil {
		return "", err
	}
	if _, err := find(all, ".profile"); err != ErrNoSection {
		return "", errors.New("it has several profiles: want one")
	}
	content, err := read(r, size, all, cmdlineSection, cmdlineMost)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(strings.TrimRight(string(content), "\x00"))
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		return "", errors.New("section .cmdline is not text")
	}
	return text, nil
}

// headers is the section headers, 40 bytes each.
func headers(r io.ReaderAt, size int64) ([]byte, error) {
	dos := make([]byte, 64)
	if err := readFull(r, dos, 0); err != nil {
		return nil, err
	}
	if string(dos[:2]) != "MZ" {
		return nil, errors.New("no MZ at its start")
	}
	at := int64(binary.LittleEndian.Uint32(dos[offsetOfPE:]))
	if at > size-coffHeader {
		return nil, fmt.Errorf("PE header at %d of %d bytes", at, size)
	}
	coff := make([]byte, coffHeader)
	if err := readFull(r, coff, at); err != nil {
		return nil, err
	}
	if string(coff[:4]) != "PE\x00\x00" {
		return nil, fmt.Errorf("no PE header at %d", at)
	}
	count := int64(binary.LittleEndian.Uint16(coff[6:]))
	optional := int64(binary.LittleEndian.Uint16(coff[20:]))
	if count > sectionsMost || optional > optionalMost {
		return nil, fmt.Errorf("%d sections after a header of %d bytes: want at most %d and %d", count, optional, sectionsMost, optionalMost)
	}
	headers := make([]byte, count*sectionHeader)
	if err := readFull(r, headers, at+coffHeader+optional); err != nil {
		return nil, err
	}
	return headers, nil
}

func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %d: %w", len(p), at, err)
}
