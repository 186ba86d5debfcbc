package packages

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// Room is what a tree has before packages are added to it.
type Room struct {
	Recorded []Recorded
	Gone     []bool // of Recorded, as Replaced says
	Added    []Recorded
	Keep     []string // paths that are left alone with all below them, whoever has them: the database's
	// Replaces reports whether an added package may take over a file of one that
	// stays.
	Replaces func(added *About, stays *Recorded) bool
}

// Make takes away the files of the packages that are gone, configuration files
// included, so that payloads, which are the added packages, can be laid. What a
// package that stays has is left, and so is what a payload has if it can take
// its place; directories go when they are empty. A path stands for the place
// that it leads to, as with Lay.
//
// A payload's file that one of the packages that stay has, too, and that is not
// the same, is a *FileConflictError.
func (r *Room) Make(t *tree.Tree, payloads []Payload) error {
	p := places{t: t, directories: map[string]*tree.Node{}}
	owners := map[place]*Recorded{}
	var paths []string
	for i := range r.Recorded {
		for _, file := range r.Recorded[i].Files {
			if r.Gone[i] {
				paths = append(paths, strings.TrimPrefix(file, "/"))
			} else if at, ok := p.find(strings.TrimPrefix(file, "/")); ok {
				owners[at] = &r.Recorded[i]
			}
		}
	}
	if err := r.checkFiles(&p, owners, payloads); err != nil {
		return err
	}
	brought := r.brought(&p, payloads)
	slices.Sort(paths)
	slices.Reverse(paths) // what is in a directory goes before it
	for _, file := range slices.Compact(paths) {
		at, ok := p.find(file)
		if !ok || owners[at] != nil || r.keeps(file) {
			continue
		}
		if err := remove(t, file, brought[at]); err != nil {
			return err
		}
	}
	return nil
}

// place is a name in a directory, however a path gets there.
type place struct {
	in   *tree.Node
	name string
}

type places struct {
	t           *tree.Tree
	directories map[string]*tree.Node // by path, as far as they were asked for
}

// find is the place of a path; none if its directory is not there.
func (p *places) find(file string) (place, bool) {
	folder, name := path.Split(path.Clean(file))
	if folder = path.Clean(folder); name == "." {
		return place{}, false // the root is nobody's
	}
	n, known := p.directories[folder]
	if !known {
		if n, _ = p.t.Resolve(folder); n != nil && n.Kind != tree.Directory {
			n = nil
		}
		p.directories[folder] = n
	}
	return place{n, name}, n != nil
}

// shape is what the added packages have at a place.
type shape uint8

const (
	nothing shape = iota
	aDirectory
	aFile   // or a link, or a device
	claimed // a package says that the path is its own, but brings nothing
)

func (r *Room) brought(p *places, payloads []Payload) map[place]shape {
	all := map[place]shape{}
	for i := range r.Added {
		for _, file := range r.Added[i].Files {
			if at, ok := p.find(strings.TrimPrefix(file, "/")); ok {
				all[at] = claimed
			}
		}
	}
	for i := range payloads {
		for _, e := range payloads[i].Entries {
			if at, ok := p.find(e.Path); !ok {
				continue
			} else if e.Node != nil && e.Node.Kind == tree.Directory {
				all[at] = aDirectory
			} else {
				all[at] = aFile
			}
		}
	}
	return all
}

func (r *Room) keeps(file string) bool {
	return slices.ContainsFunc(r.Keep, func(kept string) bool {
		return file == kept || strings.HasPrefix(file, kept+"/")
	})
}

// remove takes away what is at a path, unless what comes there can take its
// place.
func remove(t *tree.Tree, file string, comes shape) error {
	n, there := t.Lookup(file)
	if !there || comes == claimed {
		return nil
	}
	led, _ := t.Resolve(file)
	switch isDirectory := led != nil && led.Kind == tree.Directory; {
	case comes == aDirectory && isDirectory, comes == aFile && n.Kind != tree.Directory:
		return nil
	case n.Kind == tree.Directory:
		names, err := t.Children(file)
		if err != nil || len(names) > 0 {
			return err
		}
	}
	return t.Remove(file)
}

// checkFiles refuses files that a package that stays has otherwise.
func (r *Room) checkFiles(p *places, owners map[place]*Recorded, payloads []Payload) error {
	for i := range payloads {
		about, nodes := &payloads[i].About, map[string]*tree.Node{}
		for _, e := range payloads[i].Entries {
			n := e.Node
			if n == nil {
				n = nodes[e.Link]
			}
			nodes[e.Path] = n
			at, ok := p.find(e.Path)
			stays := owners[at]
			if !ok || stays == nil || n == nil || n.Kind == tree.Directory {
				continue
			}
			there, ok := p.t.Lookup(e.Path)
			if !ok || r.Replaces != nil && r.Replaces(about, stays) {
				continue
			}
			why, err := otherwise(there, n)
			if err != nil {
				return fmt.Errorf("comparing %.200q: %w", e.Path, err)
			}
			if why != "" {
				return &FileConflictError{e.Path, stays.title(), about.title(), why}
			}
		}
	}
	return nil
}

// otherwise is difference, but for owners and modes: an earlier source may have
// set them, and users are not known by name yet.
func otherwise(there, comes *tree.Node) (string, error) {
	alike := *there
	alike.Mode, alike.UID, alike.GID, alike.Xattrs = comes.Mode, comes.UID, comes.GID, comes.Xattrs
	return difference(&alike, Owner{}, comes, Owner{})
}
