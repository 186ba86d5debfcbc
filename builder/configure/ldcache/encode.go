package ldcache

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// entry is one library in the cache.
type entry struct {
	soname, path string
	flags, level uint32
	hwcaps       string
}

// The format, in the byte order of the machine:
//
//	header    magic and version (20 bytes), entries u32, bytes of strings u32,
//	          byte order u8 and padding, offset of the extension u32, 12 bytes
//	entries   24 bytes each: flags u32, soname u32, path u32, 4 bytes, hwcap u64
//	strings   NUL-terminated; soname and path are offsets from the file's start
//	extension magic u32, sections u32; of each: tag u32, flags u32, offset u32, size u32
const (
	magic          = "glibc-ld.so.cache1.1"
	headerSize     = 48
	entrySize      = 24
	littleEndian   = 2
	extensionMagic = 0xeaa42174 // -358342284 as 32 bits
	sectionSize    = 16

	tagGenerator = 0
	tagHwcaps    = 1
	// hwcap of an entry in a glibc-hwcaps subdirectory: this bit, the level of
	// the instruction set from bit 32 on, the subdirectory's index.
	hwcapsEntry = 1 << 62
)

// compareEntries puts the latest version first; glibc-hwcaps before others.
func compareEntries(a, b entry) int {
	if c := compareNames(b.soname, a.soname); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(b.flags, a.flags),
		first(a.hwcaps != "", b.hwcaps != ""),
		strings.Compare(a.hwcaps, b.hwcaps),
	)
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func encode(entries []entry, generator string) ([]byte, error) {
	slices.SortStableFunc(entries, compareEntries)
	var hwcaps []string
	table := stringTable{}
	for _, e := range entries {
		table.add(e.soname)
		table.add(e.path)
		if e.hwcaps != "" {
			table.add(e.hwcaps)
			hwcaps = append(hwcaps, e.hwcaps)
		}
	}
	slices.Sort(hwcaps)
	hwcaps = slices.Compact(hwcaps)
	text := table.finish()
	base := headerSize + len(entries)*entrySize
	if base+len(text) > math.MaxInt32 {
		return nil, fmt.Errorf("%d entries with %d bytes of strings are too many", len(entries), len(text))
	}
	extension := (base + len(text) + 3) &^ 3

	out := append(make([]byte, 0, extension+256), magic...)
	u32 := func(values ...int) {
		for _, v := range values {
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		}
	}
	u32(len(entries), len(text), littleEndian, extension, 0, 0, 0)
	for _, e := range entries {
		hwcap := uint64(0)
		if e.hwcaps != "" {
			index, _ := slices.BinarySearch(hwcaps, e.hwcaps)
			hwcap = hwcapsEntry | uint64(e.level)<<32 | uint64(index)
		}
		u32(int(e.flags), base+table[e.soname], base+table[e.path], 0)
		out = binary.LittleEndian.AppendUint64(out, hwcap)
	}
	out = append(out, text...)
	out = append(out, make([]byte, extension-len(out))...)

	if len(hwcaps) == 0 {
		u32(extensionMagic, 1, tagGenerator, 0, extension+8+sectionSize, len(generator))
		return append(out, generator...), nil
	}
	at := extension + 8 + 2*sectionSize
	u32(extensionMagic, 2, tagGenerator, 0, at+4*len(hwcaps), len(generator), tagHwcaps, 0, at, 4*len(hwcaps))
	for _, name := range hwcaps {
		u32(base + table[name])
	}
	return append(out, generator...), nil
}

// stringTable has the offset of each string.
type stringTable map[string]int

func (t stringTable) add(s string) { t[s] = 0 }

// finish lays out the strings: from the last by their ends, so that one that
// ends another shares its bytes.
func (t stringTable) finish() []byte {
	all := make([]string, 0, len(t))
	for s := range t {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b string) int {
		for i := 1; i <= min(len(a), len(b)); i++ {
			if x, y := a[len(a)-i], b[len(b)-i]; x != y {
				return int(y) - int(x)
			}
		}
		return len(b) - len(a)
	})
	var out []byte
	for i, s := range all {
		if i > 0 && strings.HasSuffix(all[i-1], s) {
			t[s] = t[all[i-1]] + len(all[i-1]) - len(s)
			continue
		}
		t[s] = len(out)
		out = append(append(out, s...), 0)
	}
	return out
}
