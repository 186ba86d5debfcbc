package ukifile

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// measured is the sections that systemd's stubs measure, in the order in which
// they do, whatever their order in the file (systemd, src/fundamental/uki.h). The
// signature, .pcrsig, is not among them, since it signs the outcome. Which of the
// others a stub knows depends on its version and on what its distribution took
// from later ones.
var measured = []string{".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"}

// unmeasurable is sections that change what is measured in ways that are not
// followed here: they choose among several parts when the image runs.
var unmeasurable = []string{".profile", ".dtbauto", ".hwids", ".efifw"}

// The most bytes of the stub's own sections, which are some 100 KB.
const stubMost = 4 << 20

// Measurement is the value that PCR 11 of a TPM has, in its bank for SHA-256,
// once the image's stub has measured its sections: what systemd-measure(1)
// computes for no boot phase. Nothing else has been measured into that register by
// then. The image is size bytes long; a signature (Authenticode) does not matter.
//
// For each section the name with its final zero byte is measured, then the content,
// as it is in memory. A section counts if the stub holds its name.
func Measurement(r io.ReaderAt, size int64) ([sha256.Size]byte, error) {
	pcr, err := measurement(r, size)
	if err != nil {
		return pcr, fmt.Errorf("measuring unified kernel image: %w", err)
	}
	return pcr, nil
}

func measurement(r io.ReaderAt, size int64) (pcr [sha256.Size]byte, err error) {
	all, err := sections(r, size)
	if err != nil {
		return pcr, err
	}
	for _, name := range unmeasurable {
		if _, err := find(all, name); err == nil {
			return pcr, fmt.Errorf("it has a section %s: want none of %q", name, unmeasurable)
		}
	}
	stub, err := readStub(r, size, all)
	if err != nil {
		return pcr, err
	}
	if !bytes.Contains(stub, []byte("LoaderInfo: systemd-stub ")) {
		return pcr, fmt.Errorf("its stub is not systemd-stub: what it would measure is not known")
	}
	for _, name := range measured {
		if !bytes.Contains(stub, append([]byte(name), 0)) {
			continue
		}
		s, err := find(all, name)
		if err == ErrNoSection {
			continue
		}
		if err != nil {
			return pcr, err
		}
		if s.size > s.stored {
			return pcr, fmt.Errorf("section %s of %d bytes: want all of it in the file, where it has %d", name, s.size, s.stored)
		}
		if s.size == 0 {
			continue
		}
		content, err := s.open(r, size)
		if err != nil {
			return pcr, err
		}
		sum := sha256.New()
		sum.Write(append([]byte(name), 0))
		extend(&pcr, sum)
		sum.Reset()
		if n, err := io.Copy(sum, content); err != nil || n != s.size {
			return pcr, fmt.Errorf("reading section %s: %d of %d bytes: %v", name, n, s.size, err)
		}
		extend(&pcr, sum)
	}
	return pcr, nil
}

// extend is what a TPM does with a digest: the register's new value is the
// digest of the old one and that.
func extend(pcr *[sha256.Size]byte, event hash.Hash) {
	*pcr = sha256.Sum256(event.Sum(pcr[:]))
}

// readStub is the sections that are not payload, one after the other.
func readStub(r io.ReaderAt, size int64, all []section) ([]byte, error) {
	var stub []byte
	for _, s := range all {
		if isPayload(s.name) {
			continue
		}
		length := min(s.size, s.stored)
		if int64(len(stub))+length > stubMost {
			return nil, fmt.Errorf("its stub has more than %d bytes", stubMost)
		}
		content, err := s.open(r, size)
		if err != nil {
			return nil, err
		}
		part := make([]byte, length)
		if err := readFull(content, part, 0); err != nil {
			return nil, fmt.Errorf("section %.8q: %w", s.name, err)
		}
		// A name does not go on from one section to the next.
		stub = append(append(stub, part...), 0xff)
	}
	return stub, nil
}

func isPayload(name string) bool {
	for _, payload := range measured {
		if name == payload {
			return true
		}
	}
	return name == SectionPCRSignature
}
