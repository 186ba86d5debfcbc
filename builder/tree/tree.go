// Package tree is the file tree of an operating system in memory: metadata in
// nodes, contents by reference. Sources add to it, one after another; writers
// walk it in sorted order. Nothing in it ever touches the host's file system,
// so no path in a source can reach outside the image.
//
// A path is relative to the image's root, slash-separated and clean ("usr/bin",
// "." for the root). Symbolic links in the middle of a path are followed inside
// the tree, as chroot would.
//
// Sources use Put, Link and Remove; a source made of layers builds a tree of
// its own with Replace and then calls Merge. Later sources win, by path, but a
// directory and something else under one name are a ConflictError.
package tree

import (
	"io"
	"maps"
	"slices"
)

// Kind is what a node is.
type Kind uint8

// The kinds of nodes.
const (
	File Kind = iota
	Directory
	Symlink
	CharDevice
	BlockDevice
	FIFO
	Socket
)

// String is the kind in the words of an error message.
func (k Kind) String() string {
	if k > Socket {
		return "unknown kind"
	}
	return [...]string{"file", "directory", "symbolic link", "character device", "block device", "FIFO", "socket"}[k]
}

// Content is the bytes of a file, by reference to where they are kept. The
// zero value is an empty file.
type Content struct {
	At     io.ReaderAt
	Offset int64
	Size   int64
	Sums   *Sums // nil: not known yet
}

// Sums are the digests of one content.
type Sums struct {
	SHA1   [20]byte
	SHA256 [32]byte
}

// Open returns a reader over the content; it needs no closing.
func (c Content) Open() *io.SectionReader { return io.NewSectionReader(c.At, c.Offset, c.Size) }

// Device is the number of a device node.
type Device struct{ Major, Minor uint32 }

// Node is one inode. A hard-linked file is one Node under several names.
type Node struct {
	Kind   Kind
	Mode   uint32 // permissions with set-user-ID, set-group-ID and sticky: at most 0o7777
	UID    uint32
	GID    uint32
	Xattrs map[string]string // by full name, such as "security.capability"
	Source string            // which source brought it, for error messages

	Content Content // of a File
	Target  string  // of a Symlink
	Device  Device  // of a CharDevice or BlockDevice

	children map[string]*Node // of a Directory
	links    int              // names it has in its tree
	implied  bool             // a Directory that no source described, only paths through it
}

// Tree is a file tree. The zero value is not usable; see New. A Tree is not
// safe for concurrent writers.
type Tree struct {
	root   *Node
	limits Limits
	used   Limits
}

// New returns a tree with nothing but a root directory, 0755 and owned by
// root, bounded by DefaultLimits.
func New() *Tree { return NewBounded(DefaultLimits()) }

// NewBounded is New with other limits.
func NewBounded(limits Limits) *Tree {
	return &Tree{root: newDirectory(""), limits: limits}
}

func newDirectory(source string) *Node {
	return &Node{Kind: Directory, Mode: 0o755, Source: source, children: map[string]*Node{}, implied: true}
}

// Walk calls fn for every name in the tree, the root (".") first, parents
// before children, children sorted by name as bytes. A hard-linked node is
// visited once under each name. The first error ends the walk.
func (t *Tree) Walk(fn func(path string, n *Node) error) error {
	return walk(".", t.root, fn)
}

func walk(path string, n *Node, fn func(string, *Node) error) error {
	if err := fn(path, n); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		child := name
		if path != "." {
			child = path + "/" + name
		}
		if err := walk(child, n.children[name], fn); err != nil {
			return err
		}
	}
	return nil
}
