package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Attributes of a folder entry (specification, "FAT Directory Structure").
const (
	attrLabel    = 0x08
	attrFolder   = 0x10
	attrLongName = 0x0f
	attrMask     = 0x3f

	entrySize    = 32
	unitsPerLong = 13
)

// record is one entry of a folder with its long name, if it has one.
type record struct {
	short, long string
	attr        byte
	first       uint32
	size        uint32
	at          int64 // bytes from the start of the file system
}

func (r record) folder() bool { return r.attr&attrFolder != 0 }
func (r record) label() bool  { return r.attr&attrLabel != 0 }
func (r record) dots() bool   { return r.short == "." || r.short == ".." }

func (r record) name() string {
	if r.long != "" {
		return r.long
	}
	return r.short
}

// readFolder reads all entries of the folder that begins at cluster first,
// with its dot entries and label.
func (fs *FileSystem) readFolder(first uint32) ([]record, error) {
	extents, err := fs.chain(first, -1, mostFolder/fs.clusterSize)
	if err != nil {
		return nil, err
	}
	var records []record
	var name longName
	for _, extent := range extents {
		raw := make([]byte, extent.Length)
		if n, err := fs.r.ReadAt(raw, extent.Offset); n < len(raw) {
			return nil, fmt.Errorf("reading a folder at byte %d: %w", extent.Offset, err)
		}
		for i := 0; i < len(raw); i += entrySize {
			entry := raw[i : i+entrySize]
			at := extent.Offset + int64(i)
			switch {
			case entry[0] == 0:
				return records, name.expectNone(at)
			case entry[0] == 0xe5:
				err = name.expectNone(at)
			case entry[11]&attrMask == attrLongName:
				err = name.add(entry, at)
			default:
				var r record
				if r, err = parseEntry(entry, at); err != nil {
					break
				}
				r.long, err = name.take(entry[:11], at)
				records = append(records, r)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return records, name.expectNone(0)
}

func parseEntry(entry []byte, at int64) (record, error) {
	le := binary.LittleEndian
	r := record{
		attr:  entry[11],
		first: uint32(le.Uint16(entry[20:]))<<16 | uint32(le.Uint16(entry[26:])),
		size:  le.Uint32(entry[28:]),
		at:    at,
	}
	if r.label() {
		r.short = strings.TrimRight(string(entry[:11]), " ")
		return r, nil
	}
	base := strings.TrimRight(string(entry[:8]), " ")
	extension := strings.TrimRight(string(entry[8:11]), " ")
	if (base == "." || base == "..") && extension == "" && r.folder() {
		r.short = base
		return r, nil
	}
	for _, c := range []byte(base + extension) {
		// Lower case here would be another file to some readers and the same to
		// others; bytes from 128 on depend on a code page.
		if c <= ' ' || c >= 0x7f || c >= 'a' && c <= 'z' || strings.IndexByte(`"*+,./:;<=>?[\]|`, c) >= 0 {
			return record{}, fmt.Errorf("folder entry at byte %d: short name %q: byte %#02x is not allowed", at, entry[:11], c)
		}
	}
	if base == "" {
		return record{}, fmt.Errorf("folder entry at byte %d: short name %q: want a name", at, entry[:11])
	}
	// Two bits that Windows NT uses instead of a long name for lower case.
	if entry[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if entry[12]&0x10 != 0 {
		extension = strings.ToLower(extension)
	}
	r.short = base
	if extension != "" {
		r.short += "." + extension
	}
	return r, nil
}

// longName collects the entries of a long name, which stand before the short
// one in falling order (specification, "FAT Long Directory Entries").
type longName struct {
	units    []uint16 // those of the entries seen so far, which are the last ones
	next     int      // number that the next entry must have; 0 when none is due
	checksum byte
}

func (l *longName) add(entry []byte, at int64) error {
	number := int(entry[0] &^ 0x40)
	if entry[0]&0x40 != 0 {
		if l.units != nil || number < 1 || number > 20 {
			return fmt.Errorf("folder entry at byte %d: long name of %d entries inside another or out of bounds", at, number)
		}
		*l = longName{units: []uint16{}, next: number, checksum: entry[13]}
	}
	if number != l.next || entry[13] != l.checksum {
		return fmt.Errorf("folder entry at byte %d: part %d of a long name: out of order", at, number)
	}
	var units []uint16
	for _, field := range [][]byte{entry[1:11], entry[14:26], entry[28:32]} {
		for i := 0; i < len(field); i += 2 {
			units = append(units, binary.LittleEndian.Uint16(field[i:]))
		}
	}
	l.units = append(units, l.units...)
	l.next--
	return nil
}

// take ends a long name at its short entry; it is "" when there is none.
func (l *longName) take(short []byte, at int64) (string, error) {
	if l.units == nil {
		return "", nil
	}
	units, complete, sum := l.units, l.next == 0, l.checksum
	*l = longName{}
	if !complete || shortSum(short) != sum {
		return "", fmt.Errorf("folder entry at byte %d: long name does not belong to %q", at, short)
	}
	for i, unit := range units {
		if unit == 0 {
			units = units[:i]
			break
		}
	}
	name := string(utf16.Decode(units))
	if err := checkLongName(name); err != nil {
		return "", fmt.Errorf("folder entry at byte %d: %w", at, err)
	}
	return name, nil
}

func (l *longName) expectNone(at int64) error {
	if l.units != nil {
		return fmt.Errorf("folder entry at byte %d: long name without its short one", at)
	}
	return nil
}

func checkLongName(name string) error {
	trimmed := strings.TrimRight(name, " .")
	if trimmed == "" || trimmed != name {
		return fmt.Errorf("long name %q: want one that does not end in a space or dot", name)
	}
	for _, c := range name {
		if c < ' ' || c >= 0x7f || strings.ContainsRune(`"*/:<>?\|`, c) {
			return fmt.Errorf("long name %q: character %q is not allowed", name, c)
		}
	}
	return nil
}

// shortSum is the checksum that ties a long name to its 11-byte short one.
func shortSum(short []byte) byte {
	var sum byte
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}
