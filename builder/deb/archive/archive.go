// Package archive finds the members of a .deb file: deb(5), format 2.x, in an
// ar archive of the common kind. Nothing is allocated by what the file says of
// itself.
package archive

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/content"
)

// Archive is where the two parts of a package are.
type Archive struct {
	Control Member // what the package says of itself, a tar archive
	Data    Member // its files, a tar archive
}

// Member is a tar archive in a file.
type Member struct {
	Name   string // such as "data.tar.xz"
	Format content.Format
	at     io.ReaderAt
	offset int64
	size   int64 // bytes
}

// Open reads the member from its start, compressed as it is.
func (m Member) Open() *io.SectionReader { return io.NewSectionReader(m.at, m.offset, m.size) }

const (
	magic      = "!<arch>\n"
	headerSize = 60
	maxMembers = 16
)

// Open finds the members of the package that r has in size bytes.
func Open(r io.ReaderAt, size int64) (Archive, error) {
	s := &scanner{at: r, size: size}
	head := make([]byte, len(magic))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return Archive{}, err
	}
	if string(head) != magic {
		return Archive{}, errors.New("not a .deb file: want an ar archive")
	}
	s.offset = int64(len(magic))
	return s.members()
}

type scanner struct {
	at     io.ReaderAt
	size   int64
	offset int64
}

// members reads in the order that deb(5) prescribes: debian-binary, control,
// data. Members whose names start with _ do not count.
func (s *scanner) members() (Archive, error) {
	var a Archive
	version := false
	for n := 0; s.offset < s.size; n++ {
		if n == maxMembers {
			return Archive{}, fmt.Errorf("more than %d members", maxMembers)
		}
		m, err := s.next()
		if err != nil {
			return Archive{}, fmt.Errorf("member %d: %w", n+1, err)
		}
		switch {
		case !version:
			if err := checkVersion(m); err != nil {
				return Archive{}, err
			}
			version = true
		case strings.HasPrefix(m.Name, "_"):
		case a.Control.at == nil:
			if a.Control, err = m.compressed("control.tar"); err != nil {
				return Archive{}, err
			}
		case a.Data.at == nil:
			if a.Data, err = m.compressed("data.tar"); err != nil {
				return Archive{}, err
			}
		default:
			return Archive{}, fmt.Errorf("member %q behind data.tar: want no more, unless named with _ first", m.Name)
		}
	}
	if a.Data.at == nil {
		return Archive{}, fmt.Errorf("want the members debian-binary, control.tar and data.tar: %w", io.ErrUnexpectedEOF)
	}
	return a, nil
}

// next reads a header: name[16] time[12] owner[6] group[6] mode[8] size[10],
// and two bytes that end it. Bodies start at even offsets.
func (s *scanner) next() (Member, error) {
	var h [headerSize]byte
	if s.size-s.offset < headerSize {
		return Member{}, io.ErrUnexpectedEOF
	}
	if _, err := s.at.ReadAt(h[:], s.offset); err != nil && err != io.EOF {
		return Member{}, err
	}
	if string(h[58:]) != "`\n" {
		return Member{}, errors.New("want an ar header here")
	}
	name := strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	if name == "" || strings.ContainsAny(name, "/ \x00") {
		return Member{}, fmt.Errorf("name %q: want one without slashes and spaces", h[:16])
	}
	size, err := strconv.ParseUint(strings.TrimRight(string(h[48:58]), " "), 10, 63)
	if err != nil {
		return Member{}, fmt.Errorf("%q: size %q: want a decimal number", name, h[48:58])
	}
	m := Member{Name: name, at: s.at, offset: s.offset + headerSize, size: int64(size)}
	if m.size > s.size-m.offset {
		return Member{}, fmt.Errorf("%q of %d bytes, where the file has %d left: %w", name, m.size, s.size-m.offset, io.ErrUnexpectedEOF)
	}
	s.offset = m.offset + m.size + m.size%2
	return m, nil
}

// checkVersion accepts every minor version of format 2, as deb(5) asks for.
func checkVersion(m Member) error {
	if m.Name != "debian-binary" {
		return fmt.Errorf("member %q is the first: want debian-binary", m.Name)
	}
	text := make([]byte, min(m.size, 64))
	if _, err := m.at.ReadAt(text, m.offset); err != nil && err != io.EOF {
		return err
	}
	line, _, found := strings.Cut(string(text), "\n")
	major, minor, dot := strings.Cut(line, ".")
	if _, err := strconv.ParseUint(minor, 10, 16); !found || !dot || major != "2" || err != nil {
		return fmt.Errorf("format %.20q: want 2.0 or another 2.x", line)
	}
	return nil
}

// compressed tells the compression by the name's end.
func (m Member) compressed(want string) (Member, error) {
	ending, ok := strings.CutPrefix(m.Name, want)
	if !ok {
		return Member{}, fmt.Errorf("member %q: want %s here", m.Name, want)
	}
	switch ending {
	case "":
		m.Format = content.Plain
	case ".gz":
		m.Format = content.Gzip
	case ".xz":
		m.Format = content.XZ
	case ".zst":
		m.Format = content.Zstd
	default:
		return Member{}, fmt.Errorf("member %q: want %s, plain or with .gz, .xz or .zst", m.Name, want)
	}
	return m, nil
}
