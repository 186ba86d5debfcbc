package erofs

import (
	"fmt"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// bytesMost bounds the contents: blocks have 32-bit numbers, and a quarter of
// them is left for rounding and metadata.
const bytesMost = int64(3) << 42

// plan is an image before it is written.
type plan struct {
	inodes []*inode // in the order of their first paths, the root first
	bytes  int64    // of files' contents
	blocks int64    // of the image
	meta   int64    // block where the inodes begin
}

// inode is one inode, with the first path that leads to it.
type inode struct {
	path   string
	node   *tree.Node
	names  []name // of a directory, sorted, with "." and ".."
	links  uint32
	xattrs []byte // as they lie behind the inode
	size   int64  // bytes of content, of a directory or symbolic link, too
	slots  int64  // that it fills, with what lies beside it
	inline bool   // the content lies beside it
	number int64
	block  int64 // where the content begins, if it has blocks
}

// name is one entry of a directory.
type name struct {
	text string
	of   *inode
}

// newPlan reads the tree. What has no place yet is numbers and blocks.
func newPlan(t *tree.Tree) (*plan, error) {
	p := &plan{}
	directories := map[string]*inode{}
	firsts := map[*tree.Node]*inode{}
	err := t.Walk(func(at string, n *tree.Node) error {
		i, again := firsts[n]
		switch {
		case again && n.Kind == tree.Directory:
			return fmt.Errorf("%q: the same directory as %q: only files can be linked", at, i.path)
		case !again:
			var err error
			if i, err = p.add(at, n); err != nil {
				return err
			}
			firsts[n] = i
		}
		i.links++
		parent := i // as the root is its own
		if at != "." {
			parent = directories[path.Dir(at)]
			parent.names = append(parent.names, name{path.Base(at), i})
		}
		if n.Kind == tree.Directory {
			directories[at] = i
			i.names = []name{{".", i}, {"..", parent}}
			i.links = 2 // its name and its "."
			if i != parent {
				parent.links++ // its ".."
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, i := range p.inodes {
		i.measure()
	}
	return p, nil
}

func (p *plan) add(at string, n *tree.Node) (*inode, error) {
	if err := check(at, n); err != nil {
		return nil, err
	}
	i := &inode{path: at, node: n, xattrs: encodeXattrs(n.Xattrs)}
	switch n.Kind {
	case tree.File:
		if n.Content.Size > bytesMost-p.bytes {
			return nil, fmt.Errorf("%q: contents come to more than %d bytes", at, bytesMost)
		}
		i.size = n.Content.Size
		p.bytes += i.size
	case tree.Symlink:
		i.size = int64(len(n.Target))
	}
	p.inodes = append(p.inodes, i)
	return i, nil
}

// measure finds out how much room the inode takes, once its links and names
// are known.
func (i *inode) measure() {
	if i.node.Kind == tree.Directory {
		sortNames(i.names)
		i.size = directorySize(i.names)
	}
	taken := i.headerSize() + int64(len(i.xattrs))
	// Linux reads what lies beside an inode from one block.
	if i.node.Kind != tree.File && i.size > 0 && taken+i.size <= BlockSize {
		i.inline = true
		taken += i.size
	}
	i.slots = (taken + slotSize - 1) / slotSize
}

// ownBlocks is how many blocks the content fills.
func (i *inode) ownBlocks() int64 {
	if i.inline {
		return 0
	}
	return (i.size + BlockSize - 1) / BlockSize
}

// late are the paths that change most from release to release, the most
// restless last: what lies behind a file that grows has to move.
var late = []string{
	"boot", "lib/modules", "usr/lib/modules", "usr/lib/sysimage", "var", "etc", "usr/lib/os-release", "usr/lib/proa",
}

// rank says how late a path comes in the image; 0 for most.
func rank(at string) int {
	for r := len(late) - 1; r >= 0; r-- {
		if rest, ok := strings.CutPrefix(at, late[r]); ok && (rest == "" || rest[0] == '/') {
			return r + 1
		}
	}
	return 0
}
