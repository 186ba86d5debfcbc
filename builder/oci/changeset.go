package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// changeset is what one layer does (OCI Image Layer Specification 1.1). It is
// read to its end before any of it is applied, since whiteouts may stand
// anywhere and mean the layers below only.
type changeset struct {
	removed   []string // paths
	opaque    []string // directories whose lower content is hidden
	entries   []change
	described map[string]bool // directories that the layer itself has
}

type change struct {
	tree.Entry
	lower *tree.Node // what a hard link's target is in the layers below, if anything
}

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	reservedPrefix = ".wh..wh." // of AUFS, for its own bookkeeping
)

// collect takes up an entry while lower has the layers below and nothing of
// this one.
func (s *changeset) collect(e tree.Entry, lower *tree.Tree) error {
	clean, err := tree.Clean(e.Path)
	if err != nil {
		return err
	}
	dir, name := path.Dir(clean), path.Base(clean)
	for parent := range strings.SplitSeq(clean, "/") {
		if strings.HasPrefix(parent, reservedPrefix) && parent != opaqueName {
			return nil
		}
	}
	for parent := range strings.SplitSeq(dir, "/") {
		if strings.HasPrefix(parent, whiteoutPrefix) {
			return fmt.Errorf("entry %.200q: below a whiteout", e.Path)
		}
	}
	switch hidden, isWhiteout := strings.CutPrefix(name, whiteoutPrefix); {
	case name == opaqueName:
		s.opaque = append(s.opaque, dir)
		return nil
	case isWhiteout && (hidden == "" || hidden == "." || hidden == ".."):
		return fmt.Errorf("entry %.200q: a whiteout of no name", e.Path)
	case isWhiteout:
		s.removed = append(s.removed, dir+"/"+hidden)
		return nil
	}
	c := change{Entry: e}
	if e.Node == nil {
		c.lower, _ = lower.Lookup(e.Link)
	} else if e.Node.Kind == tree.Directory {
		s.described[clean] = true
	}
	s.entries = append(s.entries, c)
	return nil
}

// apply changes t, which has the layers below, into what it is with this one.
func (s *changeset) apply(t *tree.Tree) error {
	if err := s.hide(t); err != nil {
		return err
	}
	for _, c := range s.entries {
		n := c.Node
		if n == nil {
			var err error
			if n, err = c.target(t); err != nil {
				return err
			}
		}
		if err := t.Replace(c.Path, n); err != nil {
			return err
		}
	}
	return nil
}

// target is what a hard link stands for: what has the name now, or had it
// before this layer's whiteouts.
func (c change) target(t *tree.Tree) (*tree.Node, error) {
	n, ok := t.Lookup(c.Link)
	if !ok {
		n, ok = c.lower, c.lower != nil
	}
	if !ok {
		return nil, fmt.Errorf("hard link %.200q to %.200q: the target is neither before it in this layer nor in one below", c.Path, c.Link)
	}
	if n.Kind == tree.Directory {
		return nil, fmt.Errorf("hard link %.200q to %.200q: the target is a directory", c.Path, c.Link)
	}
	return n, nil
}

// hide applies the whiteouts.
func (s *changeset) hide(t *tree.Tree) error {
	for _, dir := range s.opaque {
		if n, ok := t.Resolve(dir); !ok || n.Kind != tree.Directory {
			continue
		}
		names, err := t.Children(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			s.removed = append(s.removed, dir+"/"+name)
		}
	}
	// From the end, so that a path through a link is followed before the link
	// itself is removed, in whatever order the archive had them.
	slices.Sort(s.removed)
	for _, name := range slices.Backward(s.removed) {
		if s.replacesParent(t, name) {
			continue
		}
		if err := t.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("whiteout: %w", err)
		}
	}
	return nil
}

// replacesParent reports whether this layer puts a directory where those below
// have a link, so that nothing of theirs is under its name.
func (s *changeset) replacesParent(t *tree.Tree, name string) bool {
	dir, _ := tree.Clean(path.Dir(name))
	n, ok := t.Lookup(dir)
	return s.described[dir] && ok && n.Kind == tree.Symlink
}
