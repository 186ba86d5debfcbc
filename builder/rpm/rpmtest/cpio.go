package rpmtest

import (
	"fmt"
	"slices"
)

// Part is a part of a cpio archive: an entry, or any bytes.
type Part []byte

// Archive joins the parts and the trailer.
func Archive(parts ...Part) []byte {
	return append(Join(parts...), Entry(Fields{Name: "TRAILER!!!"}, "")...)
}

// Join joins the parts without a trailer.
func Join(parts ...Part) []byte { return slices.Concat(parts...) }

// Fields are the fields of an entry that matter; the others are zeros.
type Fields struct {
	Name     string
	Magic    string // usually 070701
	Mode     uint32
	Size     string // 8 digits, usually the body's length
	NameSize string // likewise, with the zero at the end
}

// Entry is one entry, with its body.
func Entry(f Fields, body string) Part {
	if f.Magic == "" {
		f.Magic = "070701"
	}
	if f.Size == "" {
		f.Size = fmt.Sprintf("%08x", len(body))
	}
	if f.NameSize == "" {
		f.NameSize = fmt.Sprintf("%08x", len(f.Name)+1)
	}
	zeros := func(n int) (s string) {
		for range n {
			s += "00000000"
		}
		return s
	}
	head := f.Magic + zeros(1) + fmt.Sprintf("%08x", f.Mode) + zeros(4) + f.Size + zeros(4) + f.NameSize + zeros(1)
	return slices.Concat(padded([]byte(head+f.Name+"\x00")), padded([]byte(body)))
}

// Stripped is an entry of RPM's own format, for the file of that number.
func Stripped(index int, body string) Part {
	return slices.Concat(padded(fmt.Appendf(nil, "07070X%08x", index)), padded([]byte(body)))
}

func padded(data []byte) []byte { return append(data, make([]byte, (4-len(data)%4)%4)...) }
