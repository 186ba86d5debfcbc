package uki

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Disassemble is what an image was assembled of, to assemble it anew with
// something more. A signature does not come along, since it would not fit. It refuses
// an image with sections that Assemble does not make.
func Disassemble(image []byte) (Config, error) {
	u, err := Parse(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return Config{}, err
	}
	stub, err := Stub(image)
	if err != nil {
		return Config{}, err
	}
	// One that lies behind what was added was taken out of the stub to be added to.
	first := slices.IndexFunc(u.Sections, func(s Section) bool { return isAdded(s.Name) })
	merged := slices.ContainsFunc(u.Sections[first:], func(s Section) bool { return s.Name == SectionSBAT })
	for _, s := range u.Sections {
		if isAdded(s.Name) && !isPayload(s.Name) {
			return Config{}, fmt.Errorf("section %s: want none but those of images that proa builds", s.Name)
		}
	}
	c := Config{Stub: stub, CommandLine: u.CommandLine, OSRelease: u.OSRelease, Uname: u.Uname}
	parts := map[string]*[]byte{
		SectionKernel: &c.Kernel, SectionInitrd: &c.Initrd, SectionPCRKey: &c.PCRKey, SectionPCRSignature: &c.PCRSignature,
	}
	if merged {
		parts[SectionSBAT] = &c.SBAT
	}
	for name, content := range parts {
		section, err := u.Open(name)
		if errors.Is(err, ErrNoSection) {
			continue
		}
		if err == nil {
			*content, err = io.ReadAll(section)
		}
		if err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// Unsigned is an image as it was before it was signed: without signatures, and without
// policies for what is measured. The same is left of an image that was not signed.
func Unsigned(image []byte) ([]byte, error) {
	c, err := Disassemble(image)
	if err != nil {
		return nil, err
	}
	c.PCRSignature = nil
	return Assemble(c)
}
