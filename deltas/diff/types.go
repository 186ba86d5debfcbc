package diff

import (
	"bytes"
	"sort"
)

const (
	typesName = ".BTF"
	typeWord  = 4
)

// typeSection is the types of a kernel module for BPF (Linux,
// Documentation/bpf/btf.rst), whose numbers and names go on from the kernel's.
type typeSection struct {
	types, strings []byte
	first          int // the offset that is strings[0]; -1 when unknown
}

// typeKeys are of each word of a section up to its strings; none when it is odd.
func typeKeys(b []byte) []uint64 {
	const magic, headerSize = 0xeb9f, 24
	if len(b) < headerSize || le.Uint16(b) != magic {
		return nil
	}
	size, types, strings, stringsSize := le.Uint32(b[4:]), le.Uint32(b[12:]), le.Uint32(b[16:]), le.Uint32(b[20:])
	if size != headerSize || le.Uint32(b[8:]) != 0 || uint64(size)+uint64(types) > uint64(len(b)) ||
		uint64(size)+uint64(strings)+uint64(stringsSize) > uint64(len(b)) {
		return nil
	}
	s := typeSection{types: b[size : size+types], strings: b[size+strings:][:stringsSize]}
	s.first = s.ownNames()
	var keys []uint64
	for i := range headerSize / typeWord {
		keys = append(keys, key("header", i))
	}
	if !s.walk(func(kind, count, unit int, record []byte) { keys = s.recordKeys(keys, kind, count, unit, record) }) {
		return nil
	}
	return keys
}

// Kinds of types that have more than a header, and how many bytes: per member, or once.
var (
	perMember = map[int]int{4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
	once      = map[int]int{1: 4, 3: 12, 14: 4, 17: 4}
)

const typeHeader = 12

// walk visits each type and tells whether they tile the section.
func (s *typeSection) walk(visit func(kind, count, unit int, record []byte)) bool {
	for rest := s.types; len(rest) > 0; {
		if len(rest) < typeHeader {
			return false
		}
		info := le.Uint32(rest[4:])
		kind, count := int(info>>24&31), int(info&0xffff)
		unit := perMember[kind]
		n := typeHeader + unit*count + once[kind]
		if n > len(rest) {
			return false
		}
		visit(kind, count, unit, rest[:n])
		rest = rest[n:]
	}
	return true
}

// ownNames finds which offset of a name the section's own strings begin at: the
// least from which on all names begin where a string does.
func (s *typeSection) ownNames() int {
	var names []int
	s.walk(func(kind, count, unit int, record []byte) {
		names = append(names, int(le.Uint32(record)))
		if unit > 0 && kind != 15 {
			for at := typeHeader; at < len(record); at += unit {
				names = append(names, int(le.Uint32(record[at:])))
			}
		}
	})
	sort.Ints(names)
	if len(names) == 0 {
		return -1
	}
	last := names[len(names)-1]
	for i := sort.SearchInts(names, last-len(s.strings)+1); i < len(names); i++ {
		if s.begin(names[i:], names[i]) {
			return names[i]
		}
	}
	return -1
}

// begin tells whether the first names begin strings if first is the offset of the
// first string.
func (s *typeSection) begin(names []int, first int) bool {
	for _, n := range names[:min(len(names), 50)] {
		if at := n - first; at > 0 && s.strings[at-1] != 0 {
			return false
		}
	}
	return true
}

// name is one of the section's own; those of the kernel are all alike.
func (s *typeSection) name(at uint32) string {
	switch own := int(at) - s.first; {
	case at == 0:
		return ""
	case s.first < 0 || own < 0 || own >= len(s.strings):
		return "\x01"
	default:
		b, _, _ := bytes.Cut(s.strings[own:], []byte{0})
		return string(b)
	}
}

func (s *typeSection) recordKeys(keys []uint64, kind, count, unit int, record []byte) []uint64 {
	size := 0
	if kind == 1 || kind >= 4 && kind <= 6 {
		size = int(le.Uint32(record[8:]))
	}
	own := key(s.name(le.Uint32(record)), kind, count, size)
	keys = append(keys, own, own+1, own+2)
	for at := typeHeader; at < len(record); at += max(unit, typeWord) {
		k := own + uint64(at)
		if unit > 0 {
			k = key(s.name(le.Uint32(record[at:])), int(own), at)
		}
		for word := 0; word < max(unit, typeWord); word += typeWord {
			keys = append(keys, k+uint64(word))
		}
	}
	return keys
}
