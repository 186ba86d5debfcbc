package depmod

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// object is an ELF file of relocatable code (elf(5)): a kernel module.
type object struct {
	data     []byte
	order    binary.ByteOrder
	wide     bool // ELFCLASS64
	machine  uint16
	sections map[string][]byte // the first of each name
}

// field is one "key=value" of .modinfo.
type field struct{ key, value string }

const (
	machineSPARC  = 2
	machineSPARC9 = 43
	typeRegister  = 13 // of a symbol, on SPARC: no symbol at all
	versionSize   = 64 // of one entry in __versions

	// The kernel has names of at most 512 bytes, and modules of thousands of
	// symbols; without bounds, many names could be one long string.
	maxName    = 1024
	maxSymbols = 1 << 20
)

func parseObject(data []byte) (*object, error) {
	if len(data) < 52 || string(data[:4]) != "\x7fELF" || data[4] != 1 && data[4] != 2 || data[5] != 1 && data[5] != 2 {
		return nil, fmt.Errorf("starts with %.6q: want an ELF file", data[:min(6, len(data))])
	}
	o := &object{data: data, order: binary.LittleEndian, wide: data[4] == 2, sections: map[string][]byte{}}
	if data[5] == 2 {
		o.order = binary.BigEndian
	}
	if o.wide && len(data) < 64 {
		return nil, fmt.Errorf("%d bytes: want the header of an ELF file", len(data))
	}
	o.machine = o.order.Uint16(data[18:])
	return o, o.readSections()
}

// word reads an address or offset, which is as wide as the class.
func (o *object) word(at uint64) uint64 {
	if o.wide {
		return o.order.Uint64(o.data[at:])
	}
	return uint64(o.order.Uint32(o.data[at:]))
}

func (o *object) readSections() error {
	start, tail, size := o.word(32), uint64(46), uint64(40)
	if o.wide {
		start, tail, size = o.word(40), 58, 64
	}
	entry, count, names := o.order.Uint16(o.data[tail:]), uint64(o.order.Uint16(o.data[tail+2:])), uint64(o.order.Uint16(o.data[tail+4:]))
	whole := uint64(len(o.data))
	if uint64(entry) != size || start > whole || count*size > whole-start || names >= count {
		return fmt.Errorf("%d section headers of %d bytes at %d, names in %d: want them inside the file of %d bytes", count, entry, start, names, whole)
	}
	section := func(i uint64) (name uint32, content []byte, ok bool) {
		at := start + i*size
		name = o.order.Uint32(o.data[at:])
		offset, length := o.word(at+16), o.word(at+20)
		if o.wide {
			offset, length = o.word(at+24), o.word(at+32)
		}
		if offset >= whole || length > whole-offset { // or one without content
			return name, nil, false
		}
		return name, o.data[offset : offset+length], true
	}
	_, table, ok := section(names)
	if !ok {
		return fmt.Errorf("the names of sections are outside the file")
	}
	for i := uint64(1); i < count; i++ {
		at, content, ok := section(i)
		if name := text(table, uint64(at)); ok && name != "" {
			if _, again := o.sections[name]; !again {
				o.sections[name] = content
			}
		}
	}
	return nil
}

// text is the NUL-terminated string at an offset, empty if there is none of at
// most maxName bytes.
func text[T string | []byte](table T, at uint64) string {
	if at >= uint64(len(table)) {
		return ""
	}
	s := string(table[at:min(uint64(len(table)), at+maxName+1)])
	name, _, ended := strings.Cut(s, "\x00")
	if !ended && len(s) > maxName {
		return ""
	}
	return name
}

// info is what .modinfo says.
func (o *object) info() []field {
	var fields []field
	for s := range bytes.SplitSeq(o.sections[".modinfo"], []byte{0}) {
		if key, value, _ := strings.Cut(string(s), "="); len(s) > 0 {
			fields = append(fields, field{key, value})
		}
	}
	return fields
}

// symbol is a line of .symtab.
type symbol struct {
	name    string
	kind    byte
	defined bool
}

func (o *object) symbols() ([]symbol, error) {
	size := 16
	if o.wide {
		size = 24
	}
	table, names := o.sections[".symtab"], string(o.sections[".strtab"]) // which all names share
	if len(table)%size != 0 {
		return nil, fmt.Errorf(".symtab of %d bytes: want a multiple of %d", len(table), size)
	}
	if len(table)/size > maxSymbols {
		return nil, fmt.Errorf("%d symbols: want at most %d", len(table)/size, maxSymbols)
	}
	var symbols []symbol
	for at := size; at < len(table); at += size {
		line := table[at : at+size]
		info, section := line[12], line[14:]
		if o.wide {
			info, section = line[4], line[6:]
		}
		name := o.order.Uint32(line)
		if uint64(name) >= uint64(len(names)) {
			return nil, fmt.Errorf("symbol %d has its name at %d: want less than %d", at/size, name, len(names))
		}
		symbols = append(symbols, symbol{text(names, uint64(name)), info & 15, o.order.Uint16(section) != 0})
	}
	return symbols, nil
}

// read takes over what depmod wants to know.
func (o *object) read(m *module) error {
	symbols, err := o.symbols()
	if err != nil {
		return err
	}
	m.info = o.info()
	for _, s := range symbols {
		if name, ok := strings.CutPrefix(s.name, "__crc_"); ok && name != "" {
			m.exports = append(m.exports, name)
		}
	}
	if len(m.exports) == 0 { // a kernel without versions of symbols
		for s := range bytes.SplitSeq(o.sections["__ksymtab_strings"], []byte{0}) {
			if len(s) > 0 {
				m.exports = append(m.exports, string(s))
			}
		}
	}
	m.needs = o.needs(symbols)
	return nil
}

// needs are the undefined symbols, and those that only __versions has.
func (o *object) needs(symbols []symbol) []string {
	var needs []string
	seen := map[string]bool{}
	sparc := o.machine == machineSPARC || o.machine == machineSPARC9
	for _, s := range symbols {
		if !s.defined && s.name != "" && !(sparc && s.kind == typeRegister) {
			needs, seen[s.name] = append(needs, s.name), true
		}
	}
	crc := uint64(4)
	if o.wide {
		crc = 8
	}
	versions := o.sections["__versions"]
	if len(versions)%versionSize != 0 {
		return needs
	}
	for at := 0; at < len(versions); at += versionSize {
		if name := text(versions[at:at+versionSize], crc); name != "" && !seen[name] {
			needs = append(needs, name)
		}
	}
	return needs
}
