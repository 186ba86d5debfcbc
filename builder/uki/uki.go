// Package uki writes and reads unified kernel images: one PE program that
// holds a kernel, its initrd and its command line, so that the firmware can
// check them with one signature.
//
// A UKI is systemd's EFI stub with sections added (UAPI.5, Unified Kernel
// Image Specification). Assemble adds them; Parse reads any UKI, signed or
// not, and distrusts every offset in it. The package never signs.
package uki

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/ukifile"
)

// The names of the sections that proa writes.
const (
	SectionOSRelease   = ".osrel"
	SectionCommandLine = ".cmdline"
	SectionUname       = ".uname"
	SectionInitrd      = ".initrd"
	SectionKernel      = ".linux"

	SectionPCRKey       = ukifile.SectionPCRKey
	SectionPCRSignature = ukifile.SectionPCRSignature
)

// ErrNoSection is wrapped by the error about a section that is not there.
var ErrNoSection = errors.New("no such section")

// The most bytes of a section that Parse holds in memory.
const (
	mostCommandLine = 16 << 10 // the kernel takes 2 KiB on amd64 and arm64
	mostOSRelease   = 64 << 10
	mostUname       = 256
)

// Section is one section of the image.
type Section struct {
	Name    string
	Size    int64  // bytes of the contents, without the padding in the file
	Offset  int64  // of the contents, from the start of the file
	Address uint32 // in memory, from the start of the image
}

// UKI is what a unified kernel image says about itself.
type UKI struct {
	Arch        manifests.Arch
	Sections    []Section // in the order of the file, the stub's own first
	CommandLine string
	OSRelease   []byte // the contents of os-release; empty if the section is missing
	Uname       string // the kernel's release; empty if the section is missing
	Signed      bool   // it carries a certificate table; nothing is said of its worth

	r io.ReaderAt
}

// Parse reads the headers and the text sections of an image of size bytes. It
// refuses one without a kernel, an initrd or a command line, one with two
// sections of a name that matters, and one whose offsets leave the file. The
// result reads from r.
func Parse(r io.ReaderAt, size int64) (UKI, error) {
	h, err := readHeaders(r, size)
	if err != nil {
		return UKI{}, err
	}
	u := UKI{Arch: h.arch, Signed: h.certificatesSize > 0, r: r}
	for _, s := range h.sections {
		// In memory, where the stub reads them, they would end in zeros.
		if s.size > s.stored && isPayload(s.name) {
			return UKI{}, fmt.Errorf("section %s of %d bytes: want all of it in the file, where it has %d", s.name, s.size, s.stored)
		}
		u.Sections = append(u.Sections, Section{
			Name: s.name, Size: int64(min(s.size, s.stored)), Offset: int64(s.offset), Address: s.address,
		})
	}
	if err := u.checkNames(); err != nil {
		return UKI{}, err
	}
	line, err := u.text(SectionCommandLine, mostCommandLine)
	if err != nil {
		return UKI{}, err
	}
	u.CommandLine = string(line)
	if err := checkText(SectionCommandLine, u.CommandLine); err != nil {
		return UKI{}, err
	}
	if u.OSRelease, err = u.text(SectionOSRelease, mostOSRelease); err != nil && !errors.Is(err, ErrNoSection) {
		return UKI{}, err
	}
	uname, err := u.text(SectionUname, mostUname)
	if err != nil && !errors.Is(err, ErrNoSection) {
		return UKI{}, err
	}
	u.Uname = string(uname)
	return u, checkText(SectionUname, u.Uname)
}

// Open returns a reader over the contents of the section, without padding.
func (u UKI) Open(name string) (*io.SectionReader, error) {
	for _, s := range u.Sections {
		if s.Name == name {
			return io.NewSectionReader(u.r, s.Offset, s.Size), nil
		}
	}
	return nil, fmt.Errorf("section %s: %w", name, ErrNoSection)
}

// checkNames wants the sections that a boot needs, each once: of two with one
// name, the stub and another reader could take different ones.
func (u UKI) checkNames() error {
	seen := make(map[string]bool, len(u.Sections))
	for _, s := range u.Sections {
		if seen[s.Name] {
			return fmt.Errorf("section %q is there twice", s.Name)
		}
		seen[s.Name] = true
	}
	for _, name := range []string{SectionKernel, SectionInitrd, SectionCommandLine} {
		if !seen[name] {
			return fmt.Errorf("section %s: %w", name, ErrNoSection)
		}
	}
	return nil
}

func isPayload(name string) bool {
	switch name {
	case SectionOSRelease, SectionCommandLine, SectionUname, SectionInitrd, SectionKernel, SectionPCRKey, SectionPCRSignature:
		return true
	}
	return false
}

// text reads a whole section of at most most bytes.
func (u UKI) text(name string, most int64) ([]byte, error) {
	section, err := u.Open(name)
	if err != nil {
		return nil, err
	}
	if section.Size() > most {
		return nil, fmt.Errorf("section %s of %d bytes: want at most %d", name, section.Size(), most)
	}
	content := make([]byte, section.Size())
	if _, err := io.ReadFull(section, content); err != nil {
		return nil, fmt.Errorf("reading section %s: %w", name, err)
	}
	return content, nil
}

// checkText refuses what could hide something from a reader of the text: the
// stub would pass it on to the kernel.
func checkText(name, s string) error {
	for i, r := range s {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return fmt.Errorf("section %s has %q at byte %d: want printable text on one line", name, r, i)
		}
	}
	return nil
}
