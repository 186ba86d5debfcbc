package cache

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// The index of an unpacked archive is a row of numbers (unsigned varints, as in
// encoding/binary) and strings (their length, and their bytes):
//
//	digest and kind of the archive, about, the number of entries
//	each entry: its path and what it is:
//	  0  hard link: the target's path
//	  1  the node of an earlier entry: its number
//	  2+ a node of kind n-2: mode, user, group, source, extended attributes,
//	     and for a file offset and size, and if that is not 0 the 20 bytes of
//	     its SHA-1 and the 32 of its SHA-256, for a link its target, for a
//	     device its numbers
//
// A source is 0 for that of the node before, or 1 and a string.
const (
	isLink = iota
	isSame
	isNode
)

// encode is the index. Offset says where in the file contents are.
func encode(d manifests.Digest, kind string, u Unpacked, offset func(tree.Content) (int64, bool)) ([]byte, error) {
	w := writer{}
	w.string(d.Hex())
	w.string(kind)
	w.string(string(u.About))
	w.number(uint64(len(u.Entries)))
	seen := map[*tree.Node]int{}
	source := ""
	for i, e := range u.Entries {
		w.string(e.Path)
		if e.Node == nil {
			w.number(isLink)
			w.string(e.Link)
			continue
		}
		if earlier, ok := seen[e.Node]; ok {
			w.number(isSame)
			w.number(uint64(earlier))
			continue
		}
		seen[e.Node] = i
		at, ok := offset(e.Node.Content)
		if e.Node.Content.Size > 0 && (!ok || e.Node.Content.Sums == nil) {
			return nil, fmt.Errorf("%.100q: its content is not in the store, or not digested", e.Path)
		}
		w.node(e.Node, at, source)
		source = e.Node.Source
	}
	return w, nil
}

type writer []byte

func (w *writer) number(n uint64) { *w = binary.AppendUvarint(*w, n) }

func (w *writer) string(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *writer) node(n *tree.Node, offset int64, source string) {
	w.number(isNode + uint64(n.Kind))
	w.number(uint64(n.Mode))
	w.number(uint64(n.UID))
	w.number(uint64(n.GID))
	if n.Source == source {
		w.number(0)
	} else {
		w.number(1)
		w.string(n.Source)
	}
	w.number(uint64(len(n.Xattrs)))
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		w.string(name)
		w.string(n.Xattrs[name])
	}
	switch n.Kind {
	case tree.File:
		w.number(uint64(offset))
		w.number(uint64(n.Content.Size))
		if n.Content.Size > 0 {
			*w = append(append(*w, n.Content.Sums.SHA1[:]...), n.Content.Sums.SHA256[:]...)
		}
	case tree.Symlink:
		w.string(n.Target)
	case tree.CharDevice, tree.BlockDevice:
		w.number(uint64(n.Device.Major))
		w.number(uint64(n.Device.Minor))
	}
}

// decode reads an index whose contents are the first size bytes at.
func decode(index []byte, d manifests.Digest, kind string, at *contents, size int64) (Unpacked, error) {
	// One string, of which all others are parts.
	r := reader{rest: string(index)}
	if r.string() != d.Hex() || r.string() != kind {
		return Unpacked{}, fmt.Errorf("is of another archive: %w", errDamaged)
	}
	u := Unpacked{About: []byte(r.string())}
	count := r.number(uint64(len(r.rest)) / 2) // no entry has fewer bytes
	u.Entries = make([]tree.Entry, count)
	for i := range u.Entries {
		e := &u.Entries[i]
		e.Path = r.string()
		switch what := r.number(isNode + uint64(tree.Socket)); what {
		case isLink:
			e.Link = r.string()
		case isSame:
			earlier := r.number(uint64(i))
			if earlier == uint64(i) || u.Entries[earlier].Node == nil {
				return Unpacked{}, errDamaged
			}
			e.Node = u.Entries[earlier].Node
		default:
			e.Node = r.node(tree.Kind(what-isNode), at, uint64(size))
		}
		if r.bad {
			break
		}
	}
	if r.bad || r.rest != "" {
		return Unpacked{}, errDamaged
	}
	return u, nil
}

// reader reads what writer wrote. After a fault it reads zeros.
type reader struct {
	rest   string
	bad    bool
	source string
}

// number reads a number of at most most.
func (r *reader) number(most uint64) uint64 {
	// Uvarint wants bytes: the longest that it reads.
	var b [binary.MaxVarintLen64]byte
	n, length := binary.Uvarint(b[:copy(b[:], r.rest)])
	if length <= 0 || n > most {
		r.rest, r.bad = "", true
		return 0
	}
	r.rest = r.rest[length:]
	return n
}

func (r *reader) string() string {
	n := r.number(uint64(len(r.rest)))
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = "", true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) sums() *tree.Sums {
	s := &tree.Sums{}
	length := len(s.SHA1) + len(s.SHA256)
	if len(r.rest) < length {
		r.rest, r.bad = "", true
		return s
	}
	copy(s.SHA1[:], r.rest)
	copy(s.SHA256[:], r.rest[len(s.SHA1):])
	r.rest = r.rest[length:]
	return s
}

func (r *reader) node(kind tree.Kind, at *contents, size uint64) *tree.Node {
	const most = 1<<32 - 1
	n := &tree.Node{
		Kind: kind,
		Mode: uint32(r.number(most)),
		UID:  uint32(r.number(most)),
		GID:  uint32(r.number(most)),
	}
	if r.number(1) == 1 {
		r.source = r.string()
	}
	n.Source = r.source
	if count := r.number(uint64(len(r.rest)) / 2); count > 0 {
		n.Xattrs = make(map[string]string, min(count, 64))
		for range count {
			name := r.string()
			n.Xattrs[name] = r.string()
			if r.bad {
				return n
			}
		}
	}
	switch kind {
	case tree.File:
		offset := r.number(size)
		if length := r.number(size - offset); length > 0 {
			n.Content = tree.Content{At: at, Offset: int64(offset), Size: int64(length), Sums: r.sums()}
		}
	case tree.Symlink:
		n.Target = r.string()
	case tree.CharDevice, tree.BlockDevice:
		n.Device = tree.Device{Major: uint32(r.number(most)), Minor: uint32(r.number(most))}
	}
	return n
}
