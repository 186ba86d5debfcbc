package diff

import (
	"bytes"
	"encoding/binary"
)

// object is an ELF file of 64 bits, little-endian, as far as its tables show how it
// changed (System V gABI, chapter 4).
type object struct {
	file        []byte
	relocatable bool
	sections    []section
}

type section struct {
	name        string
	kind        uint32
	offset, end int // in the file; equal for one without content
	link, info  int
}

const (
	kindSymbols     = 2
	kindRelocations = 4
	kindNothing     = 8

	symbolSize     = 24
	relocationSize = 24
)

var le = binary.LittleEndian

// parseObject returns nil for what is not a whole file of this kind.
func parseObject(file []byte) *object {
	const headerSize, sectionSize = 64, 64
	if len(file) < headerSize || !bytes.HasPrefix(file, []byte("\x7fELF\x02\x01")) {
		return nil
	}
	table, count, names := le.Uint64(file[40:]), int(le.Uint16(file[60:])), int(le.Uint16(file[62:]))
	if table > uint64(len(file)) || count*sectionSize > len(file)-int(table) || names >= count {
		return nil
	}
	o := &object{file: file, relocatable: le.Uint16(file[16:]) == 1}
	for i := range count {
		h := file[int(table)+i*sectionSize:]
		s := section{kind: le.Uint32(h[4:]), link: int(le.Uint32(h[40:])), info: int(le.Uint32(h[44:]))}
		if offset, size := le.Uint64(h[24:]), le.Uint64(h[32:]); s.kind != kindNothing {
			if offset > uint64(len(file)) || size > uint64(len(file))-offset {
				return nil
			}
			s.offset, s.end = int(offset), int(offset+size)
		}
		o.sections = append(o.sections, s)
	}
	for i := range o.sections {
		h := file[int(table)+i*sectionSize:]
		o.sections[i].name = o.text(names, le.Uint32(h))
	}
	return o
}

// text is the string at an offset of a section; empty outside of it.
func (o *object) text(section int, at uint32) string {
	if section >= len(o.sections) {
		return ""
	}
	b := o.content(section)
	if int64(at) >= int64(len(b)) {
		return ""
	}
	b, _, _ = bytes.Cut(b[at:], []byte{0})
	return string(b)
}

func (o *object) content(section int) []byte {
	s := o.sections[section]
	return o.file[s.offset:s.end]
}

// find is the first section with a name, or -1.
func (o *object) find(name string) int {
	for i, s := range o.sections {
		if s.name == name && name != "" {
			return i
		}
	}
	return -1
}

// symbol is an entry of a symbol table.
type symbol struct {
	name    string
	section int
	info    byte
}

// isSection tells whether the symbol stands for its section.
func (s symbol) isSection() bool { return s.info&15 == 3 }

func (o *object) symbols(table int) []symbol {
	if table >= len(o.sections) || o.sections[table].kind != kindSymbols {
		return nil
	}
	var all []symbol
	for b := o.content(table); len(b) >= symbolSize; b = b[symbolSize:] {
		s := symbol{name: o.text(o.sections[table].link, le.Uint32(b)), section: int(le.Uint16(b[6:])), info: b[4]}
		if s.section >= len(o.sections) {
			s.section = 0
		}
		if s.isSection() {
			s.name = o.sections[s.section].name
		}
		all = append(all, s)
	}
	return all
}
