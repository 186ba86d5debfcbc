package tree

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// Lookup finds what path names; a link at its end is returned itself.
func (t *Tree) Lookup(path string) (*Node, bool) { return t.find(path, want{}) }

// Resolve finds what path leads to, following a link at its end, too.
func (t *Tree) Resolve(path string) (*Node, bool) { return t.find(path, want{followLast: true}) }

func (t *Tree) find(path string, w want) (*Node, bool) {
	at, err := t.locate(path, w)
	if err != nil {
		return nil, false
	}
	return at.node, at.node != nil
}

// resolve is Resolve with an error that says why not.
func (t *Tree) resolve(path string) (*Node, error) {
	at, err := t.locate(path, want{followLast: true})
	if err != nil {
		return nil, err
	}
	if at.node == nil {
		return nil, fmt.Errorf("path %s: %w", quote(path), fs.ErrNotExist)
	}
	return at.node, nil
}

// Children lists the names in the directory that path leads to, sorted as
// bytes. The error is fs.ErrNotExist when nothing is there.
func (t *Tree) Children(path string) ([]string, error) {
	n, err := t.resolve(path)
	if err != nil {
		return nil, err
	}
	if n.Kind != Directory {
		return nil, fmt.Errorf("path %s: a %s, want a directory", quote(path), n.Kind)
	}
	return slices.Sorted(maps.Keys(n.children)), nil
}

// ReadFile is the content of the file that path leads to, which must not be
// longer than limit bytes. The error is fs.ErrNotExist when nothing is there.
func (t *Tree) ReadFile(path string, limit int64) ([]byte, error) {
	n, err := t.resolve(path)
	if err != nil {
		return nil, err
	}
	if n.Kind != File {
		return nil, fmt.Errorf("path %s: a %s, want a file", quote(path), n.Kind)
	}
	if n.Content.Size > limit {
		return nil, fmt.Errorf("path %s: %d bytes, want at most %d", quote(path), n.Content.Size, limit)
	}
	data := make([]byte, n.Content.Size)
	if len(data) == 0 {
		return data, nil
	}
	if _, err := io.ReadFull(n.Content.Open(), data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", quote(path), err)
	}
	return data, nil
}
