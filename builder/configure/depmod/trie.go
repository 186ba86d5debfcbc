package depmod

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The .bin files are a trie that libkmod searches in place, all numbers in
// network order: the magic, the version, and the offset of the root; then
// nodes, children before their parents. The highest bits of an offset say what
// the node there has: a prefix (with NUL), children (the first and the last
// character, and an offset or 0 for each from first to last), values (their
// count; of each its priority and text, with NUL).
const (
	trieMagic   = 0xB007F457
	trieVersion = 2<<16 | 1

	hasPrefix   = 0x80000000
	hasValues   = 0x40000000
	hasChildren = 0x20000000
	maxOffset   = 0x0FFFFFFF

	maxKey = 4095
)

// trie maps keys of ASCII to values.
type trie struct{ root node }

type node struct {
	prefix   string
	values   []value
	children map[byte]*node
}

type value struct {
	priority uint32
	text     string
}

// insert adds a value to a key. Values are sorted by priority, and of one
// priority the latest is first.
func (t *trie) insert(key, text string, priority int) error {
	if len(key) > maxKey {
		return fmt.Errorf("key of %d bytes: want at most %d", len(key), maxKey)
	}
	for _, s := range []string{key, text} {
		for i := range len(s) {
			if s[i] >= 0x80 || s[i] == 0 {
				return fmt.Errorf("%.100q: the index of kernel modules holds ASCII characters only", s)
			}
		}
	}
	n := &t.root
	for {
		common := 0
		for common < len(n.prefix) && common < len(key) && n.prefix[common] == key[common] {
			common++
		}
		if common < len(n.prefix) {
			n.split(common)
		}
		if key = key[common:]; key == "" {
			n.add(value{uint32(priority), text})
			return nil
		}
		child := n.children[key[0]]
		if child == nil {
			child = &node{prefix: key[1:]}
			if n.children == nil {
				n.children = map[byte]*node{}
			}
			n.children[key[0]] = child
		}
		n, key = child, key[1:]
	}
}

// split leaves the first bytes of the prefix here and moves all else a level
// down.
func (n *node) split(at int) {
	below := *n
	below.prefix = n.prefix[at+1:]
	*n = node{prefix: n.prefix[:at], children: map[byte]*node{n.prefix[at]: &below}}
}

func (n *node) add(v value) {
	at := slices.IndexFunc(n.values, func(o value) bool { return o.priority >= v.priority })
	if at < 0 {
		at = len(n.values)
	}
	n.values = slices.Insert(n.values, at, v)
}

// encode is the file's content.
func (t *trie) encode() ([]byte, error) {
	out := binary.BigEndian.AppendUint32(nil, trieMagic)
	out = binary.BigEndian.AppendUint32(out, trieVersion)
	out = binary.BigEndian.AppendUint32(out, 0)
	out, root := t.root.append(out)
	if len(out) > maxOffset {
		return nil, fmt.Errorf("index of %d bytes: want at most %d", len(out), maxOffset)
	}
	binary.BigEndian.PutUint32(out[8:], root)
	return out, nil
}

func (n *node) append(out []byte) ([]byte, uint32) {
	first, last := byte(math.MaxUint8), byte(0)
	for c := range n.children {
		first, last = min(first, c), max(last, c)
	}
	var offsets []uint32
	if len(n.children) > 0 {
		for c := int(first); c <= int(last); c++ {
			offset := uint32(0)
			if child := n.children[byte(c)]; child != nil {
				out, offset = child.append(out)
			}
			offsets = append(offsets, offset)
		}
	}
	here := uint32(len(out))
	if n.prefix != "" {
		out = append(append(out, n.prefix...), 0)
		here |= hasPrefix
	}
	if len(offsets) > 0 {
		out = append(out, first, last)
		for _, offset := range offsets {
			out = binary.BigEndian.AppendUint32(out, offset)
		}
		here |= hasChildren
	}
	if len(n.values) > 0 {
		out = binary.BigEndian.AppendUint32(out, uint32(len(n.values)))
		for _, v := range n.values {
			out = binary.BigEndian.AppendUint32(out, v.priority)
			out = append(append(out, v.text...), 0)
		}
		here |= hasValues
	}
	return out, here
}
