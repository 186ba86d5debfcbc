package tree

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// ConflictError says that two sources disagree whether a path is a directory.
type ConflictError struct {
	Path           string
	Earlier, Later Origin
}

// Origin is what one source has at a path.
type Origin struct {
	Source string
	Kind   Kind
}

// Error names the path, both sources and both kinds.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("path %s: a %s in %q, but a %s in %q", quote(e.Path),
		e.Earlier.Kind, e.Earlier.Source, e.Later.Kind, e.Later.Source)
}

// Put adds n at path, or replaces what is there. Missing parents are made,
// 0755 and owned by root.
//
// A directory on a directory, or on a link that leads to one, merges: it
// passes on its metadata, and the names below stay. Other kinds replace each
// other. A directory and something else in each other's place are a
// ConflictError when they come from different sources; within one source the
// later wins. The tree keeps n itself, so a node that is put twice is a hard
// link, but of a directory it keeps a copy.
func (t *Tree) Put(path string, n *Node) error { return t.put(path, n, false) }

// Replace is Put for the layers of one image, where any kind may replace any
// other and a directory replaces a link.
func (t *Tree) Replace(path string, n *Node) error { return t.put(path, n, true) }

func (t *Tree) put(path string, n *Node, replace bool) error {
	if err := n.check(); err != nil {
		return fmt.Errorf("path %s: %w", quote(path), err)
	}
	at, err := t.locate(path, want{parents: true, source: n.Source})
	if err != nil {
		return err
	}
	if n.Kind == Directory {
		if dir := t.directoryAt(path, at, replace && !n.implied); dir != nil {
			return t.describe(path, dir, n)
		}
		n = &Node{
			Kind: Directory, Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: maps.Clone(n.Xattrs),
			Source: n.Source, children: map[string]*Node{}, implied: n.implied,
		}
	}
	if at.up == nil {
		return fmt.Errorf("path %s: the root cannot become a %s", quote(path), n.Kind)
	}
	if at.node != nil && !replace {
		if err := conflict(at, n); err != nil {
			return err
		}
	}
	return t.add(at, n)
}

// directoryAt is the directory that a directory put at path merges into, nil
// if there is none.
func (t *Tree) directoryAt(path string, at *place, replaceLinks bool) *Node {
	if at.node == nil {
		return nil
	}
	if at.node.Kind == Symlink && !replaceLinks {
		led, err := t.locate(path, want{followLast: true})
		if err != nil {
			return nil
		}
		at = led
	}
	if at.node == nil || at.node.Kind != Directory {
		return nil
	}
	return at.node
}

// describe gives dir the metadata of n.
func (t *Tree) describe(path string, dir, n *Node) error {
	if n.implied {
		return nil
	}
	next := t.used.Metadata + xattrBytes(n.Xattrs) - xattrBytes(dir.Xattrs)
	if next > t.limits.Metadata {
		return fmt.Errorf("path %s: the tree would have more than %d bytes of names, link targets and extended attributes",
			quote(path), t.limits.Metadata)
	}
	t.used.Metadata = next
	dir.Mode, dir.UID, dir.GID, dir.Xattrs = n.Mode, n.UID, n.GID, maps.Clone(n.Xattrs)
	dir.Source, dir.implied = n.Source, false
	return nil
}

// conflict finds something of another source that n would turn from a
// directory into something else, or back.
func conflict(at *place, n *Node) error {
	if (at.node.Kind == Directory) == (n.Kind == Directory) {
		return nil
	}
	source, found := foreign(at.node, n.Source)
	if !found {
		return nil
	}
	return &ConflictError{at.path(), Origin{source, at.node.Kind}, Origin{n.Source, n.Kind}}
}

func foreign(n *Node, source string) (string, bool) {
	if n.Source != source {
		return n.Source, true
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		if other, found := foreign(n.children[name], source); found {
			return other, true
		}
	}
	return "", false
}

// add enters n at a place whose directory exists, instead of what is there.
func (t *Tree) add(at *place, n *Node) error {
	if at.up.node.children[at.name] == n {
		return nil
	}
	// The names in a link's target were not checked as a path's are.
	if len(at.name) > maxName || at.length > maxPath {
		return fmt.Errorf("path %s: want at most %d bytes, %d in each name, after following links", quote(at.path()), maxPath, maxName)
	}
	if err := t.charge(at.name, n); err != nil {
		return fmt.Errorf("path %s: %w", quote(at.path()), err)
	}
	if old := at.up.node.children[at.name]; old != nil {
		t.release(at.name, old)
	}
	// A clone, since the name is a part of a longer string.
	at.up.node.children[strings.Clone(at.name)] = n
	return nil
}

// Link makes path another name of what target names, a hard link. Target must
// exist and must not be a directory; nor may path be one.
func (t *Tree) Link(path, target string) error {
	n, ok := t.Lookup(target)
	if !ok {
		return fmt.Errorf("hard link %s to %s: the target does not exist", quote(path), quote(target))
	}
	if n.Kind == Directory {
		return fmt.Errorf("hard link %s to %s: the target is a directory", quote(path), quote(target))
	}
	at, err := t.locate(path, want{parents: true, source: n.Source})
	if err != nil {
		return fmt.Errorf("hard link %s to %s: %w", quote(path), quote(target), err)
	}
	if at.up == nil || at.node != nil && at.node.Kind == Directory {
		return fmt.Errorf("hard link %s to %s: a directory is in its place", quote(path), quote(target))
	}
	return t.add(at, n)
}

// Remove takes away what path names, with all below it; links in the middle of
// path are followed, a link at its end is removed itself. The error is
// fs.ErrNotExist when nothing is there, also when path goes through a file.
func (t *Tree) Remove(path string) error {
	at, err := t.locate(path, want{})
	if err != nil {
		return err
	}
	if at.up == nil {
		return fmt.Errorf("path %s: the root cannot be removed", quote(path))
	}
	if at.node == nil {
		return fmt.Errorf("path %s: %w", quote(path), fs.ErrNotExist)
	}
	t.release(at.name, at.node)
	delete(at.up.node.children, at.name)
	return nil
}

// Merge puts everything in from, which stays as it is, into t. Directories
// that no source described do not change those of t.
func (t *Tree) Merge(from *Tree) error {
	copies := map[*Node]*Node{}
	return from.Walk(func(path string, n *Node) error {
		if n.Kind == Directory {
			return t.Put(path, n)
		}
		c, ok := copies[n]
		if !ok {
			clone := *n
			c = &clone
			c.links, c.Xattrs = 0, maps.Clone(n.Xattrs)
			copies[n] = c
		}
		return t.Put(path, c)
	})
}
