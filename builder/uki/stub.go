package uki

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// Stub gives back the stub that a UKI was made of, to assemble another one with
// it: without the sections that were added, and without a signature, which would
// not cover others. It refuses an image that has a section of the stub behind
// one that was added, for it is not as Assemble and ukify make them.
func Stub(image []byte) ([]byte, error) {
	h, err := readHeaders(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(h.sections, func(s header) bool { return isAdded(s.name) })
	if first < 0 {
		return nil, fmt.Errorf("image without a section %s: want a unified kernel image", SectionKernel)
	}
	end := uint32(len(h.raw))
	for _, s := range h.sections[:first] {
		end = max(end, s.offset+s.stored)
	}
	if int(end) > len(image) {
		return nil, fmt.Errorf("headers of %d bytes: want them in the image of %d", end, len(image))
	}
	stub := bytes.Clone(image[:end])
	le := binary.LittleEndian
	file, optional := stub[h.pe:], stub[h.optional:h.table]
	initialised := le.Uint32(optional[optionalInitialized:])
	for i, s := range h.sections[first:] {
		// The stub's own has become part of one that was added.
		if !isAdded(s.name) && s.name != SectionSBAT {
			return nil, fmt.Errorf("section %q comes after %q: want those of the stub first", s.name, h.sections[first].name)
		}
		raw := stub[h.table+(first+i)*sectionHeaderSize:][:sectionHeaderSize]
		if le.Uint32(raw[36:])&sectionData == sectionData {
			initialised -= s.stored
		}
		clear(raw)
	}
	le.PutUint16(file[6:], uint16(first))
	le.PutUint32(optional[optionalInitialized:], initialised)
	if h.certificatesSize > 0 {
		clear(optional[optionalDirectories+8*securityDirectory:][:8])
	}
	return stub, nil
}

// isAdded reports whether a section is not of systemd's stub itself (UAPI.5,
// "UKI Components").
func isAdded(name string) bool {
	return isPayload(name) || slices.Contains([]string{".splash", ".dtb", ".ucode", ".pcrpkey", ".pcrsig"}, name)
}
