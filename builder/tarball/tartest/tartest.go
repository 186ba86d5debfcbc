// Package tartest makes tar archives for tests, also such as no honest program
// would write.
package tartest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
)

// Part is a part of an archive: an entry, or any bytes.
type Part []byte

// Archive joins the parts and the end mark.
func Archive(parts ...Part) []byte { return append(Join(parts...), make([]byte, 1024)...) }

// Join joins the parts without an end mark.
func Join(parts ...Part) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// Header is an entry as archive/tar writes it. It panics if that refuses.
func Header(h tar.Header, body string) Part {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	h.Size = int64(len(body))
	if err := w.WriteHeader(&h); err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(body)); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

// File is a file, 0644 and owned by root.
func File(name, body string) Part {
	return Header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, body)
}

// Dir is a directory, 0755 and owned by root.
func Dir(name string) Part {
	return Header(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, "")
}

// Symlink is a symbolic link.
func Symlink(name, target string) Part {
	return Header(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, "")
}

// Hardlink is a hard link.
func Hardlink(name, target string) Part {
	return Header(tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}, "")
}

// PAX is a file with the given PAX records, written without any check: pairs
// of key and value.
func PAX(name, body string, records ...string) Part {
	return Join(Extended('x', records...), Raw(Fields{Name: name, Type: '0', Size: Octal(len(body))}), Padded(body))
}

// Extended is a PAX header of type 'x' or 'g' alone.
func Extended(kind byte, records ...string) Part {
	var text strings.Builder
	for i := 0; i+1 < len(records); i += 2 {
		rest := " " + records[i] + "=" + records[i+1] + "\n"
		n := len(rest)
		for n != len(fmt.Sprint(n))+len(rest) {
			n = len(fmt.Sprint(n)) + len(rest)
		}
		fmt.Fprintf(&text, "%d%s", n, rest)
	}
	return Join(Raw(Fields{Name: "pax", Type: kind, Size: Octal(text.Len())}), Padded(text.String()))
}

// Fields are the fields of a ustar header, in their bytes.
type Fields struct {
	Name, Mode, UID, GID, Size, Link, Major, Minor string
	Type                                           byte
	BadSum                                         bool
}

// Octal is a number as most fields have it.
func Octal(n int) string { return fmt.Sprintf("%011o", n) }

// Raw is a header block with exactly these fields; empty numbers are 0, an
// empty mode is 0644.
func Raw(f Fields) Part {
	b := make([]byte, 512)
	number := func(at, size int, value, usual string) {
		if value == "" {
			value = usual
		}
		copy(b[at:at+size], value)
	}
	copy(b[0:100], f.Name)
	number(100, 8, f.Mode, "0000644")
	number(108, 8, f.UID, "0000000")
	number(116, 8, f.GID, "0000000")
	number(124, 12, f.Size, Octal(0))
	number(136, 12, "", Octal(0))
	b[156] = f.Type
	copy(b[157:257], f.Link)
	copy(b[257:], "ustar\x0000")
	number(329, 8, f.Major, "0000000")
	number(337, 8, f.Minor, "0000000")
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	if f.BadSum {
		sum++
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// Padded is a body filled up to whole blocks.
func Padded(body string) Part {
	return append([]byte(body), make([]byte, (512-len(body)%512)%512)...)
}
