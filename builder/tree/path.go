package tree

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Clean checks a path as every function of a Tree does and returns the one way
// to write it: "usr/bin", or "." for the root.
func Clean(path string) (string, error) {
	names, err := split(path)
	if err != nil || names == nil {
		return ".", err
	}
	return strings.Join(names, "/"), nil
}

// split checks a path and cuts it into names; the root has none. One leading
// "/" and any leading "./" are dropped.
func split(path string) ([]string, error) {
	refuse := func(rule string) ([]string, error) {
		return nil, fmt.Errorf("path %s: %s", quote(path), rule)
	}
	switch {
	case path == "":
		return refuse("want a name, or . for the root")
	case len(path) > maxPath:
		return refuse(fmt.Sprintf("%d bytes long, want at most %d", len(path), maxPath))
	case strings.Contains(path, "\x00"):
		return refuse("want no NUL in it")
	}
	rest := strings.TrimPrefix(path, "/")
	for strings.HasPrefix(rest, "./") {
		rest = rest[2:]
	}
	if rest == "" || rest == "." {
		return nil, nil
	}
	names := strings.Split(rest, "/")
	for _, name := range names {
		switch {
		case name == "":
			return refuse("want no empty names between slashes")
		case name == "." || name == "..":
			return refuse("want no " + name + " in it")
		case len(name) > maxName:
			return refuse(fmt.Sprintf("has a name of %d bytes, want at most %d", len(name), maxName))
		}
	}
	return names, nil
}

// place is where a path leads after links have been followed.
type place struct {
	up     *place // the place of the directory that holds name; nil for the root
	name   string
	node   *Node // nil when nothing has that name yet
	length int   // of path()
}

// path is the place's path from the root, without links in the middle.
func (p *place) path() string {
	if p.up == nil {
		return "."
	}
	var names []string
	for ; p.up != nil; p = p.up {
		names = append(names, p.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// want is how locate treats what is in its way.
type want struct {
	followLast bool   // follow a link that is the last name, too
	parents    bool   // make missing parents
	source     string // of the made parents
}

// locate follows path through the tree. Links are followed as chroot would:
// absolute targets start at the tree's root, and the root is its own parent.
func (t *Tree) locate(path string, w want) (*place, error) {
	pending, err := split(path) // the next name is the last one
	if err != nil {
		return nil, err
	}
	slices.Reverse(pending)
	root := &place{node: t.root}
	here, hops := root, 0
	for steps := 1; len(pending) > 0; steps++ {
		if steps > maxSteps {
			return nil, fmt.Errorf("path %s: more than %d names after following links", quote(path), maxSteps)
		}
		name := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if name == ".." && here.up != nil {
			here = here.up
		}
		if name == "" || name == "." || name == ".." {
			continue
		}
		next, err := t.step(here, name, len(pending) > 0, w)
		if err != nil {
			return nil, fmt.Errorf("path %s: %w", quote(path), err)
		}
		if next.node == nil || next.node.Kind != Symlink || len(pending) == 0 && !w.followLast {
			here = next
			continue
		}
		if hops++; hops > maxHops {
			return nil, fmt.Errorf("path %s: more than %d symbolic links", quote(path), maxHops)
		}
		if strings.HasPrefix(next.node.Target, "/") {
			here = root
		}
		target := strings.Split(next.node.Target, "/")
		slices.Reverse(target)
		pending = append(pending, target...)
	}
	return here, nil
}

// step goes from a directory to the name in it; through says that the path
// goes on behind that name.
func (t *Tree) step(from *place, name string, through bool, w want) (*place, error) {
	next := &place{up: from, name: name, node: from.node.children[name], length: from.length + len(name)}
	if from.up != nil {
		next.length++ // the slash
	}
	if !through {
		return next, nil
	}
	if next.node == nil {
		if !w.parents {
			return nil, fmt.Errorf("%s: %w", quote(next.path()), fs.ErrNotExist)
		}
		next.node = newDirectory(w.source)
		return next, t.add(next, next.node)
	}
	if next.node.Kind == Directory || next.node.Kind == Symlink {
		return next, nil
	}
	if w.parents && next.node.Source != w.source {
		return nil, &ConflictError{
			Path:    next.path(),
			Earlier: Origin{next.node.Source, next.node.Kind},
			Later:   Origin{w.source, Directory},
		}
	}
	if !w.parents {
		return nil, fmt.Errorf("%s is a %s, not a directory: %w", quote(next.path()), next.node.Kind, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("%s is a %s, not a directory", quote(next.path()), next.node.Kind)
}
