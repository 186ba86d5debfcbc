package diskimage

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// node is a file or folder of a file system in the making.
type node struct {
	name     string
	folder   bool
	children []*node // of a folder, in the order of their paths
	content  Source  // of a file
	parent   *node   // nil for the root
	first    uint32  // cluster
}

// newTree arranges files by their paths. FAT compares names without regard to
// case.
func newTree(files map[string]Source) (*node, error) {
	root := &node{folder: true}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		at := root
		names := strings.Split(path, "/")
		for i, name := range names {
			last := i == len(names)-1
			found := slices.IndexFunc(at.children, func(n *node) bool { return strings.EqualFold(n.name, name) })
			switch {
			case found >= 0 && (last || !at.children[found].folder):
				return nil, fmt.Errorf("making %s: %s cannot be a folder, since it is a file, or is there twice", path, strings.Join(names[:i+1], "/"))
			case found >= 0:
				at = at.children[found]
				continue
			}
			n := &node{name: name, folder: !last, parent: at}
			if last {
				n.content = files[path]
			}
			at.children = append(at.children, n)
			at = n
		}
	}
	return root, nil
}

// walk visits a folder, then all that is in it: folders first, so that they lie
// together.
func (n *node) walk(visit func(*node)) {
	for folders := []*node{n}; len(folders) > 0; folders = folders[1:] {
		visit(folders[0])
		for _, child := range folders[0].children {
			if child.folder {
				folders = append(folders, child)
			}
		}
	}
	n.walkFiles(visit)
}

func (n *node) walkFiles(visit func(*node)) {
	for _, child := range n.children {
		if child.folder {
			child.walkFiles(visit)
		} else {
			visit(child)
		}
	}
}

// Attributes of an entry (specification, "FAT Directory Structure").
const (
	entrySize    = 32
	attrLabel    = 0x08
	attrFolder   = 0x10
	attrArchive  = 0x20
	attrLongName = 0x0f
)

// entries is the content of a folder.
func (n *node) entries(epoch int64) []byte {
	var raw []byte
	if n.parent == nil {
		raw = appendEntry(raw, espLabel, attrLabel, 0, 0, epoch)
	} else {
		above := n.parent.first
		if n.parent.parent == nil {
			above = 0 // "Directory Creation": so is the root named
		}
		raw = appendEntry(raw, ".          ", attrFolder, n.first, 0, epoch)
		raw = appendEntry(raw, "..         ", attrFolder, above, 0, epoch)
	}
	taken := map[string]bool{}
	for _, child := range n.children {
		short, exact := shortName(child.name, taken)
		taken[short] = true
		if !exact {
			raw = appendLongName(raw, child.name, short)
		}
		attributes := byte(attrArchive)
		if child.folder {
			attributes = attrFolder
		}
		raw = appendEntry(raw, short, attributes, child.first, child.content.Size, epoch)
	}
	return raw
}

func appendEntry(raw []byte, short string, attributes byte, first uint32, size, epoch int64) []byte {
	le := binary.LittleEndian
	entry := make([]byte, entrySize)
	copy(entry, short)
	entry[11] = attributes
	date, clock := fatTime(epoch)
	le.PutUint16(entry[14:], clock) // created
	le.PutUint16(entry[16:], date)
	le.PutUint16(entry[18:], date)  // accessed
	le.PutUint16(entry[22:], clock) // written
	le.PutUint16(entry[24:], date)
	le.PutUint16(entry[20:], uint16(first>>16))
	le.PutUint16(entry[26:], uint16(first))
	le.PutUint32(entry[28:], uint32(size))
	return append(raw, entry...)
}

// appendLongName adds the entries of a long name, the last part first ("FAT Long
// Directory Entries").
func appendLongName(raw []byte, name, short string) []byte {
	const units = 13
	le := binary.LittleEndian
	var sum byte
	for _, c := range []byte(short) {
		sum = sum>>1 | sum<<7
		sum += c
	}
	text := utf16.Encode([]rune(name))
	parts := (len(text) + units - 1) / units
	for part := parts; part > 0; part-- {
		entry := make([]byte, entrySize)
		entry[0], entry[11], entry[13] = byte(part), attrLongName, sum
		if part == parts {
			entry[0] |= 0x40
		}
		for i := range units {
			unit := uint16(0xffff) // behind the end
			switch at := (part-1)*units + i; {
			case at < len(text):
				unit = text[at]
			case at == len(text):
				unit = 0
			}
			le.PutUint16(entry[[]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}[i]:], unit)
		}
		raw = append(raw, entry...)
	}
	return raw
}

// shortName is the 8.3 name, as 11 bytes, of a name that checkESPFile lets pass.
// It is the name itself where that can be; exact says that no long name is needed,
// not even for lower case.
func shortName(name string, taken map[string]bool) (short string, exact bool) {
	const most = 1_000_000
	upper := strings.ToUpper(name)
	base, extension := upper, ""
	if dot := strings.LastIndexByte(upper, '.'); dot > 0 {
		base, extension = upper[:dot], upper[dot+1:]
	}
	fits := len(base) <= 8 && len(extension) <= 3 && !strings.Contains(base, ".") && extension != "" == strings.Contains(upper, ".")
	if short = pad(base, 8) + pad(extension, 3); fits && !taken[short] {
		return short, upper == name
	}
	base = strings.ReplaceAll(base, ".", "")
	for n := 1; n < most; n++ {
		tail := fmt.Sprintf("~%d", n)
		short = pad(base[:min(len(base), 8-len(tail))]+tail, 8) + pad(extension, 3)
		if !taken[short] {
			break
		}
	}
	return short, false
}

func pad(s string, n int) string {
	return (s + "        ")[:n]
}

// fatTime is a time as FAT has it: UTC, two seconds exact, from 1980 to 2107.
func fatTime(epoch int64) (date, clock uint16) {
	t := time.Unix(epoch, 0).UTC()
	first := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	if t.Before(first) {
		t = first
	}
	if t.After(last) {
		t = last
	}
	date = uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	clock = uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	return date, clock
}
