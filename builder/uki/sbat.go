package uki

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// SectionSBAT lists what an image is made of by component and generation, so that
// firmware's helpers can refuse old generations of a component without listing each
// image (SBAT.md of shim). A stub brings one for itself.
const SectionSBAT = ".sbat"

const mostSBAT = 16 << 10 // bytes

// takeSBAT takes the section out of the stub, for one with more in it to be added, and
// returns the stub without it and the text of both, and of the kernel's if it has
// one. Without lines to add, the stub's stays where it is.
func (h *headers) takeSBAT(stub []byte, c Config) (rest, text []byte) {
	if len(c.SBAT) == 0 {
		return stub, nil
	}
	at := slices.IndexFunc(h.sections, func(s header) bool { return s.name == SectionSBAT })
	if at >= 0 {
		s := h.sections[at]
		text = withLines(text, stub[s.offset:s.offset+min(s.size, s.stored)])
		stub = h.remove(stub, at)
	}
	if kernel, err := readHeaders(bytes.NewReader(c.Kernel), int64(len(c.Kernel))); err == nil {
		for _, s := range kernel.sections {
			if s.name == SectionSBAT {
				text = withLines(text, c.Kernel[s.offset:s.offset+min(s.size, s.stored)])
			}
		}
	}
	return stub, withLines(text, c.SBAT)
}

// withLines adds the lines that are not there yet: each text begins with the
// format's own.
func withLines(text, more []byte) []byte {
	for line := range bytes.Lines(bytes.TrimRight(more, "\x00")) {
		line = append(bytes.TrimRight(line, "\r\n"), '\n')
		if !bytes.Contains(append([]byte("\n"), text...), append([]byte("\n"), line...)) {
			text = append(text, line...)
		}
	}
	return text
}

// remove takes a section out of the image and out of its headers. In the file the
// next ones move up, since tools disagree on what gaps are; in memory all stay
// where they are.
func (h *headers) remove(image []byte, at int) []byte {
	gone := h.sections[at]
	image = slices.Delete(image, int(gone.offset), int(gone.offset+gone.stored))
	h.sections = slices.Delete(h.sections, at, at+1)
	table := image[h.table:]
	copy(table[at*sectionHeaderSize:], table[(at+1)*sectionHeaderSize:(len(h.sections)+1)*sectionHeaderSize])
	clear(table[len(h.sections)*sectionHeaderSize : (len(h.sections)+1)*sectionHeaderSize])
	for i := range h.sections {
		if s := &h.sections[i]; s.offset > gone.offset {
			s.offset -= gone.stored
			binary.LittleEndian.PutUint32(table[i*sectionHeaderSize+20:], s.offset)
		}
	}
	optional := image[h.optional:h.table]
	initialised := binary.LittleEndian.Uint32(optional[optionalInitialized:])
	binary.LittleEndian.PutUint32(optional[optionalInitialized:], initialised-min(initialised, gone.stored))
	return image
}
