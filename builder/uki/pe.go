package uki

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/proa-os/proa/manifests"
)

// Sizes and offsets of the PE format (Microsoft PE Format, "File Headers").
// Offsets in the optional header are those of PE32+.
const (
	dosHeaderSize     = 64
	fileHeaderSize    = 24 // with the signature "PE\0\0"
	sectionHeaderSize = 40

	optionalMagic       = 0x20b // PE32+
	optionalInitialized = 8     // SizeOfInitializedData
	optionalSectionAlgn = 32    // SectionAlignment
	optionalFileAlgn    = 36    // FileAlignment
	optionalImageSize   = 56    // SizeOfImage
	optionalHeadersSize = 60    // SizeOfHeaders
	optionalChecksum    = 64    // CheckSum
	optionalDirectories = 112   // the data directories; their number is 4 bytes before
	securityDirectory   = 4     // index of the attribute certificate table
	machineAMD64        = 0x8664
	machineARM64        = 0xaa64
	mostSections        = 96      // what the Windows loader accepts, and far more than a UKI has
	mostHeaders         = 1 << 16 // bytes
	mostImage           = 1 << 31 // bytes, so that no sum of two fields overflows 32 bits
)

// headers are the checked headers of a PE image.
type headers struct {
	raw      []byte // from the start of the file, SizeOfHeaders bytes
	pe       int    // offset in raw of the signature
	optional int    // of the optional header
	table    int    // of the section table

	arch             manifests.Arch
	sectionAlignment uint32
	fileAlignment    uint32
	certificates     uint32 // offset in the file of the certificate table, or 0
	certificatesSize uint32
	sections         []header
}

// header is one section header.
type header struct {
	name    string
	size    uint32 // VirtualSize: of the contents
	address uint32 // VirtualAddress: from the start of the image in memory
	stored  uint32 // SizeOfRawData: size rounded up to the file alignment
	offset  uint32 // PointerToRawData: in the file
}

// readHeaders reads the headers of an image of size bytes and checks that
// every offset in them stays inside the file and the image in memory.
func readHeaders(r io.ReaderAt, size int64) (headers, error) {
	if size < dosHeaderSize+fileHeaderSize || size > mostImage {
		return headers{}, fmt.Errorf("PE image of %d bytes: want %d to %d", size, dosHeaderSize+fileHeaderSize, int64(mostImage))
	}
	h := headers{raw: make([]byte, min(size, mostHeaders))}
	if _, err := r.ReadAt(h.raw, 0); err != nil && err != io.EOF {
		return headers{}, fmt.Errorf("reading PE headers: %w", err)
	}
	if h.raw[0] != 'M' || h.raw[1] != 'Z' {
		return headers{}, fmt.Errorf("PE image starts with %q: want MZ", h.raw[:2])
	}
	pe := binary.LittleEndian.Uint32(h.raw[60:])
	if int64(pe)+fileHeaderSize > int64(len(h.raw)) {
		return headers{}, fmt.Errorf("PE header at %d: want it in the first %d bytes", pe, len(h.raw))
	}
	h.pe = int(pe)
	if signature := h.raw[h.pe : h.pe+4]; string(signature) != "PE\x00\x00" {
		return headers{}, fmt.Errorf("PE signature %q: want PE and two zeros", signature)
	}
	if err := h.readFileHeader(); err != nil {
		return headers{}, err
	}
	if err := h.readOptionalHeader(size); err != nil {
		return headers{}, err
	}
	return h, h.readSections(size)
}

func (h *headers) readFileHeader() error {
	file := h.raw[h.pe:]
	switch machine := binary.LittleEndian.Uint16(file[4:]); machine {
	case machineAMD64:
		h.arch = manifests.AMD64
	case machineARM64:
		h.arch = manifests.ARM64
	default:
		return fmt.Errorf("PE machine %#x: want %#x (amd64) or %#x (arm64)", machine, machineAMD64, machineARM64)
	}
	h.optional = h.pe + fileHeaderSize
	h.table = h.optional + int(binary.LittleEndian.Uint16(file[20:]))
	if h.table > len(h.raw) || h.table-h.optional < optionalDirectories {
		return fmt.Errorf("PE optional header of %d bytes: want at least %d, within the file", h.table-h.optional, optionalDirectories)
	}
	return nil
}

func (h *headers) readOptionalHeader(size int64) error {
	optional := h.raw[h.optional:h.table]
	if magic := binary.LittleEndian.Uint16(optional); magic != optionalMagic {
		return fmt.Errorf("PE optional header %#x: want %#x (PE32+)", magic, optionalMagic)
	}
	h.sectionAlignment = binary.LittleEndian.Uint32(optional[optionalSectionAlgn:])
	h.fileAlignment = binary.LittleEndian.Uint32(optional[optionalFileAlgn:])
	for _, alignment := range []uint32{h.sectionAlignment, h.fileAlignment} {
		if alignment == 0 || alignment > mostHeaders || alignment&(alignment-1) != 0 {
			return fmt.Errorf("PE alignment %d: want a power of two up to %d", alignment, mostHeaders)
		}
	}
	headersSize := binary.LittleEndian.Uint32(optional[optionalHeadersSize:])
	if int64(headersSize) > int64(len(h.raw)) || int64(headersSize) < int64(h.table) {
		return fmt.Errorf("PE headers of %d bytes: want %d to %d", headersSize, h.table, len(h.raw))
	}
	h.raw = h.raw[:headersSize]

	directories := binary.LittleEndian.Uint32(optional[optionalDirectories-4:])
	if int64(directories)*8 > int64(len(optional)-optionalDirectories) {
		return fmt.Errorf("PE with %d data directories: want them in %d bytes", directories, len(optional)-optionalDirectories)
	}
	if directories > securityDirectory {
		security := optional[optionalDirectories+8*securityDirectory:]
		h.certificates, h.certificatesSize = binary.LittleEndian.Uint32(security), binary.LittleEndian.Uint32(security[4:])
		if int64(h.certificates)+int64(h.certificatesSize) > size {
			return fmt.Errorf("PE certificates at %d, %d bytes: want them in the file of %d bytes", h.certificates, h.certificatesSize, size)
		}
	}
	return nil
}

func (h *headers) readSections(size int64) error {
	count := int(binary.LittleEndian.Uint16(h.raw[h.pe+6:]))
	if count > mostSections || h.table+count*sectionHeaderSize > len(h.raw) {
		return fmt.Errorf("PE with %d sections: want at most %d, within headers of %d bytes", count, mostSections, len(h.raw))
	}
	end := uint32(0) // in memory, of the section before
	for i := range count {
		raw := h.raw[h.table+i*sectionHeaderSize:]
		s := header{
			name:    string(bytes.TrimRight(raw[:8], "\x00")),
			size:    binary.LittleEndian.Uint32(raw[8:]),
			address: binary.LittleEndian.Uint32(raw[12:]),
			stored:  binary.LittleEndian.Uint32(raw[16:]),
			offset:  binary.LittleEndian.Uint32(raw[20:]),
		}
		if int64(s.offset)+int64(s.stored) > size {
			return fmt.Errorf("section %q at %d, %d bytes: want it in the file of %d bytes", s.name, s.offset, s.stored, size)
		}
		if s.address < end || int64(s.address)+int64(s.size) > mostImage {
			return fmt.Errorf("section %q at address %#x, %d bytes: want it after %#x and below %#x", s.name, s.address, s.size, end, int64(mostImage))
		}
		end = s.address + s.size
		h.sections = append(h.sections, s)
	}
	return nil
}
