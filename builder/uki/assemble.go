package uki

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/proa-os/proa/partitions/pcrpolicy"
)

// Config is what a UKI is made of.
type Config struct {
	Stub        []byte // required: systemd's linuxx64.efi.stub or linuxaa64.efi.stub, unsigned
	Kernel      []byte // required: vmlinuz with an EFI stub of its own
	Initrd      []byte // required
	CommandLine string // required; printable, on one line
	OSRelease   []byte // required: the contents of os-release, which names the boot entry
	Uname       string // required: the kernel's release, as in /lib/modules

	SBAT         []byte // optional: lines of .sbat for what is added to the stub
	PCRKey       []byte // optional: the public key of policies for what is measured, PEM
	PCRSignature []byte // optional: such policies, JSON
}

// The memory that sections start on: the kernel is a program of its own and
// wants pages, and the alignment of systemd 252's stub is only 512.
const pageSize = 4096

// Characteristics of a section: code, or initialised data; readable.
const (
	sectionCode = 0x20 | 0x40000000
	sectionData = 0x40 | 0x40000000
)

// Assemble appends the sections to the stub and returns the image, unsigned.
// Equal configurations give equal bytes; the only time in it is zero.
func Assemble(c Config) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	h, err := readHeaders(bytes.NewReader(c.Stub), int64(len(c.Stub)))
	if err != nil {
		return nil, fmt.Errorf("reading the stub: %w", err)
	}
	stub, err := h.program(c.Stub)
	if err != nil {
		return nil, err
	}
	stub, sbat := h.takeSBAT(stub, c)
	added := c.sections(sbat)
	size := len(stub)
	for _, s := range added {
		size += len(s.content) + int(h.fileAlignment)
	}
	if int64(size) > mostImage {
		return nil, fmt.Errorf("image of %d bytes: want at most %d", size, int64(mostImage))
	}
	image := append(make([]byte, 0, size+int(h.fileAlignment)), stub...)
	for _, s := range added {
		if image, err = h.add(image, s.name, s.flags, s.content); err != nil {
			return nil, err
		}
	}
	h.finish(image)
	return image, nil
}

// content is a section to add.
type content struct {
	name    string
	flags   uint32
	content []byte
}

// sections are what a configuration adds to the stub, in the order of the file.
func (c Config) sections(sbat []byte) []content {
	all := []content{
		{SectionOSRelease, sectionData, c.OSRelease},
		{SectionSBAT, sectionData, sbat},
		{SectionCommandLine, sectionData, []byte(c.CommandLine)},
		{SectionUname, sectionData, []byte(c.Uname)},
		{SectionPCRKey, sectionData, c.PCRKey},
		{SectionPCRSignature, sectionData, c.PCRSignature},
		{SectionInitrd, sectionData, c.Initrd},
		// Last, as ukify does: an old kernel is run in place and unpacks itself
		// beyond its end.
		{SectionKernel, sectionCode, c.Kernel},
	}
	return slices.DeleteFunc(all, func(s content) bool { return len(s.content) == 0 })
}

func (c Config) check() error {
	for _, part := range []struct {
		name  string
		bytes int
	}{
		{"stub", len(c.Stub)},
		{"kernel", len(c.Kernel)},
		{"initrd", len(c.Initrd)},
		{"command line", len(c.CommandLine)},
		{"os-release", len(c.OSRelease)},
		{"uname", len(c.Uname)},
	} {
		if part.bytes == 0 {
			return fmt.Errorf("%s is empty", part.name)
		}
	}
	if len(c.PCRKey) > pcrpolicy.KeyMost || len(c.PCRSignature) > pcrpolicy.SignatureMost {
		return fmt.Errorf("PCR key of %d bytes, signatures of %d: want at most %d and %d",
			len(c.PCRKey), len(c.PCRSignature), pcrpolicy.KeyMost, pcrpolicy.SignatureMost)
	}
	if len(c.SBAT) > mostSBAT {
		return fmt.Errorf("lines for .sbat of %d bytes: want at most %d", len(c.SBAT), mostSBAT)
	}
	if len(c.CommandLine) > mostCommandLine || len(c.OSRelease) > mostOSRelease || len(c.Uname) > mostUname {
		return fmt.Errorf("command line of %d bytes, os-release of %d, uname of %d: want at most %d, %d and %d",
			len(c.CommandLine), len(c.OSRelease), len(c.Uname), mostCommandLine, mostOSRelease, mostUname)
	}
	if err := checkText(SectionCommandLine, c.CommandLine); err != nil {
		return err
	}
	return checkText(SectionUname, c.Uname)
}

// program returns a copy of the stub up to the end of its last section. What
// linkers leave behind it, mostly COFF symbols, is not loaded into memory;
// between sections it would make signing tools disagree on what to hash. It
// refuses a signed stub.
func (h *headers) program(stub []byte) ([]byte, error) {
	if h.certificatesSize > 0 {
		return nil, fmt.Errorf("the stub is signed: want the unsigned one, for the signature would not cover the new sections")
	}
	end := uint32(len(h.raw))
	for _, s := range h.sections {
		if s.stored > 0 {
			end = max(end, s.offset+s.stored)
		}
	}
	return bytes.Clone(stub[:end]), nil
}

// add appends a section to the image and enters it in h.
func (h *headers) add(image []byte, name string, flags uint32, content []byte) ([]byte, error) {
	at := h.table + len(h.sections)*sectionHeaderSize
	if at+sectionHeaderSize > len(h.raw) {
		return nil, fmt.Errorf("adding section %s: the stub's headers of %d bytes have no room for it", name, len(h.raw))
	}
	address := uint32(len(h.raw))
	for _, s := range h.sections {
		if s.name == name {
			return nil, fmt.Errorf("adding section %s: the stub has one", name)
		}
		address = max(address, s.address+max(s.size, s.stored))
	}
	image = append(image, make([]byte, alignUp(len(image), h.fileAlignment)-len(image))...)
	s := header{
		name:    name,
		size:    uint32(len(content)),
		address: uint32(alignUp(int(address), max(h.sectionAlignment, pageSize))),
		stored:  uint32(alignUp(len(content), h.fileAlignment)),
		offset:  uint32(len(image)),
	}
	if int64(s.address)+int64(s.stored) > mostImage {
		return nil, fmt.Errorf("adding section %s: the image would end at %d: want at most %d", name, int64(s.address)+int64(s.stored), int64(mostImage))
	}
	image = append(image, content...)
	image = append(image, make([]byte, int(s.stored)-len(content))...)

	raw := make([]byte, sectionHeaderSize)
	copy(raw, name)
	binary.LittleEndian.PutUint32(raw[8:], s.size)
	binary.LittleEndian.PutUint32(raw[12:], s.address)
	binary.LittleEndian.PutUint32(raw[16:], s.stored)
	binary.LittleEndian.PutUint32(raw[20:], s.offset)
	binary.LittleEndian.PutUint32(raw[36:], flags)
	copy(image[at:], raw)
	h.sections = append(h.sections, s)
	if flags == sectionData {
		initialised := image[h.optional+optionalInitialized:]
		binary.LittleEndian.PutUint32(initialised, binary.LittleEndian.Uint32(initialised)+s.stored)
	}
	return image, nil
}

// finish sets the fields of the headers that depend on all sections.
func (h *headers) finish(image []byte) {
	file, optional := image[h.pe:], image[h.optional:h.table]
	binary.LittleEndian.PutUint16(file[6:], uint16(len(h.sections)))
	binary.LittleEndian.PutUint32(file[8:], 0)  // TimeDateStamp
	binary.LittleEndian.PutUint32(file[12:], 0) // PointerToSymbolTable
	binary.LittleEndian.PutUint32(file[16:], 0) // NumberOfSymbols

	last := h.sections[len(h.sections)-1]
	binary.LittleEndian.PutUint32(optional[optionalImageSize:], uint32(alignUp(int(last.address+last.size), h.sectionAlignment)))
	binary.LittleEndian.PutUint32(optional[optionalChecksum:], 0)
	binary.LittleEndian.PutUint32(optional[optionalChecksum:], checksum(image))
}

// SetChecksum enters into the headers of an image the checksum that it has, which
// a signature changes and does not cover.
func SetChecksum(image []byte) error {
	h, err := readHeaders(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return err
	}
	field := image[h.optional+optionalChecksum:]
	binary.LittleEndian.PutUint32(field, 0)
	binary.LittleEndian.PutUint32(field, checksum(image))
	return nil
}

// checksum is the CheckSum of a PE image in which that field is zero: the sum
// of its 16-bit words with the carries added back in, plus its size.
func checksum(image []byte) uint32 {
	var sum uint64
	words := image
	for ; len(words) >= 4; words = words[4:] {
		sum += uint64(binary.LittleEndian.Uint32(words))
	}
	var tail [4]byte
	copy(tail[:], words)
	sum += uint64(binary.LittleEndian.Uint32(tail[:]))
	// 2^16 and 2^32 are both 1 modulo 2^16-1, so 32-bit words fold to the same.
	for bits.Len64(sum) > 16 {
		sum = sum>>16 + sum&0xffff
	}
	return uint32(sum) + uint32(len(image))
}

func alignUp(n int, alignment uint32) int {
	a := int(alignment)
	return (n + a - 1) / a * a
}
