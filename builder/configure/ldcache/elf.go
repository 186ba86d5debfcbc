package ldcache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"github.com/proa-os/proa/builder/tree"
)

// object is what counts of a shared object (elf(5)).
type object struct {
	wide    bool // ELFCLASS64
	machine uint16
	flags   uint32 // of the header
	soname  string
	level   uint32
	libc6   bool // it names libc or libm of glibc, or glibc's dynamic linker
}

const (
	machine386     = 3
	machineARM     = 40
	machineX8664   = 62
	machineAArch64 = 183

	typeShared = 3

	segmentLoad     = 1
	segmentDynamic  = 2
	segmentInterp   = 3
	segmentProperty = 0x6474e553

	tagNeeded = 1
	tagStrtab = 5
	tagSoname = 14
)

// The flags of cache entries: the kind of library, and which machine.
const (
	flagELF       = 1
	flagLibc6     = 3
	flagX8664     = 0x0300
	flagX32       = 0x0800
	flagHardFloat = 0x0900
	flagAArch64   = 0x0a00
	flagSoftFloat = 0x0b00
)

func x86Flags(o *object) (uint32, bool) {
	switch {
	case o.machine == machineX8664 && o.wide:
		return flagX8664 | flagLibc6, true
	case o.machine == machineX8664:
		return flagX32 | flagLibc6, true
	case o.machine == machine386 && !o.wide && o.libc6:
		return flagLibc6, true
	case o.machine == machine386 && !o.wide:
		return flagELF, true
	}
	return 0, false
}

func armFlags(o *object) (uint32, bool) {
	switch {
	case o.machine == machineAArch64 && o.wide:
		return flagAArch64 | flagLibc6, true
	case o.machine != machineARM || o.wide:
		return 0, false
	case o.flags>>24 == 5 && o.flags&0x400 != 0:
		return flagHardFloat | flagLibc6, true
	case o.flags>>24 == 5 && o.flags&0x200 != 0:
		return flagSoftFloat | flagLibc6, true
	case o.flags>>24 == 5 || o.libc6:
		return flagLibc6, true
	}
	return flagELF, true
}

const (
	maxDynamic  = 1 << 20
	maxProperty = 64 << 10
	maxName     = 255 // of a soname, which is that of a file
)

// segment is a program header.
type segment struct {
	kind                         uint32
	offset, address, size, align uint64
}

// reader reads parts of a file; what is outside is missing, not an error.
type reader struct {
	content  tree.Content
	wide     bool
	segments []segment
	err      error
}

func (r *reader) bytes(offset, size uint64) []byte {
	whole := uint64(r.content.Size)
	if offset >= whole || size == 0 {
		return nil
	}
	data := make([]byte, min(size, whole-offset))
	if _, err := r.content.At.ReadAt(data, r.content.Offset+int64(offset)); err != nil && !errors.Is(err, io.EOF) {
		r.err = err
		return nil
	}
	return data
}

// text is a NUL-terminated string of at most maxName bytes.
func (r *reader) text(offset uint64) string {
	s, _, ended := bytes.Cut(r.bytes(offset, maxName+1), []byte{0})
	if !ended {
		return ""
	}
	return string(s)
}

var little = binary.LittleEndian

// readObject reads a file; nil if it is not a shared object that can be read.
func readObject(c tree.Content) (*object, error) {
	r := &reader{content: c}
	head := r.bytes(0, 64)
	if r.err != nil || len(head) < 64 || string(head[:4]) != "\x7fELF" || head[4] != 1 && head[4] != 2 || head[5] != 1 || little.Uint16(head[16:]) != typeShared {
		return nil, r.err
	}
	r.wide = head[4] == 2
	o := &object{wide: r.wide, machine: little.Uint16(head[18:])}
	if r.wide {
		o.flags = little.Uint32(head[48:])
		r.readSegments(little.Uint64(head[32:]), uint64(little.Uint16(head[56:])))
	} else {
		o.flags = little.Uint32(head[36:])
		r.readSegments(uint64(little.Uint32(head[28:])), uint64(little.Uint16(head[44:])))
	}
	known := r.dynamic(o)
	for _, s := range r.segments {
		switch s.kind {
		case segmentInterp:
			interpreter := r.text(s.offset)
			o.libc6 = o.libc6 || interpreter == "/lib/ld-linux.so.2" || interpreter == "/lib/ld-linux-armhf.so.3" || interpreter == "/lib/ld-linux.so.3"
		case segmentProperty:
			o.level = r.level(s)
		}
	}
	if !known {
		return nil, r.err
	}
	return o, r.err
}

func (r *reader) readSegments(offset, count uint64) {
	size := uint64(32)
	if r.wide {
		size = 56
	}
	table := r.bytes(offset, count*size)
	for ; uint64(len(table)) >= size; table = table[size:] {
		s := segment{kind: little.Uint32(table)}
		if r.wide {
			s.offset, s.address, s.size, s.align = little.Uint64(table[8:]), little.Uint64(table[16:]), little.Uint64(table[32:]), little.Uint64(table[48:])
		} else {
			s.offset, s.address, s.size, s.align = uint64(little.Uint32(table[4:])), uint64(little.Uint32(table[8:])), uint64(little.Uint32(table[16:])), uint64(little.Uint32(table[28:]))
		}
		r.segments = append(r.segments, s)
	}
}

// dynamic reads the dynamic section; false if there is none with a string
// table.
func (r *reader) dynamic(o *object) bool {
	var section []byte
	for _, s := range r.segments {
		if s.kind == segmentDynamic {
			section = r.bytes(s.offset, min(s.size, maxDynamic))
		}
	}
	size := 8
	if r.wide {
		size = 16
	}
	type item struct{ tag, value uint64 }
	var items []item
	strings, found := uint64(0), false
	for ; len(section) >= size; section = section[size:] {
		i := item{uint64(little.Uint32(section)), uint64(little.Uint32(section[4:]))}
		if r.wide {
			i = item{little.Uint64(section), little.Uint64(section[8:])}
		}
		if i.tag == 0 {
			break
		}
		if i.tag == tagStrtab && !found {
			strings, found = r.fileOffset(i.value), true
		}
		items = append(items, i)
	}
	if !found {
		return false
	}
	for _, i := range items {
		switch i.tag {
		case tagNeeded:
			if !o.libc6 && (o.machine == machine386 || o.machine == machineARM) {
				name := r.text(strings + i.value)
				o.libc6 = name == "libc.so.6" || name == "libm.so.6"
			}
		case tagSoname:
			o.soname = r.text(strings + i.value)
		}
	}
	return true
}

func (r *reader) fileOffset(address uint64) uint64 {
	for _, s := range r.segments {
		if s.kind == segmentLoad && address >= s.address && address-s.address < s.size {
			return address - s.address + s.offset
		}
	}
	return address
}

// level is the x86-64 level that the file needs, 0 for the baseline (psABI,
// GNU_PROPERTY_X86_ISA_1_NEEDED).
func (r *reader) level(s segment) uint32 {
	const needed = 0xc0008002
	align := 4
	if r.wide {
		align = 8
	}
	note := r.bytes(s.offset, min(s.size, maxProperty))
	if s.align != uint64(align) || len(note) < 16 || little.Uint32(note) != 4 || little.Uint32(note[8:]) != 5 || string(note[12:16]) != "GNU\x00" {
		return 0
	}
	size := uint64(little.Uint32(note[4:]))
	properties := note[16:]
	properties = properties[:min(uint64(len(properties)), size)]
	for len(properties) >= 8 {
		kind, length := little.Uint32(properties), int64(little.Uint32(properties[4:]))
		properties = properties[8:]
		if length > int64(len(properties)) {
			return 0
		}
		if kind == needed && length == 4 {
			return uint32(max(0, bits.Len32(little.Uint32(properties))-1))
		}
		properties = properties[min(int64(len(properties)), (length+int64(align)-1)&^int64(align-1)):]
	}
	return 0
}
