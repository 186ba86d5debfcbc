package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// May is an error unless a path, without links on the way, may be changed.
func May(real string) error {
	for _, folder := range own {
		if real == folder || strings.HasPrefix(real, folder+"/") {
			return fmt.Errorf("%s is proa's own: %w", real, ErrReadOnly)
		}
	}
	if strings.HasPrefix(real, "/etc/") || strings.HasPrefix(real, "/var/") {
		return nil
	}
	return fmt.Errorf("%s is a part of the release and read-only: want a path in /etc or /var: %w", real, ErrReadOnly)
}

// may is an error unless a change may be made. What takes the place of all that
// was at a path also needs that nothing below it is proa's own.
func (e Entry) may() error {
	if err := May(e.Path); err != nil || e.Kind == Owner || e.Kind == Folder && !e.Fresh {
		return err
	}
	for _, folder := range own {
		if strings.HasPrefix(folder, e.Path+"/") {
			return fmt.Errorf("%s has %s below it, which is proa's own: %w", e.Path, folder, ErrReadOnly)
		}
	}
	return nil
}

// Check is an error unless all changes may be made.
func Check(changes []Entry) error {
	for _, e := range changes {
		if err := e.may(); err != nil {
			return err
		}
	}
	return nil
}

// Put makes a change at its path, whose missing folders are made as well: for
// root, mode 0755. A folder that is there is not replaced by something else: see
// Remove. It returns the path without links on the way.
func (s *Stage) Put(e Entry) (string, error) {
	real, err := s.Resolve(e.Path, false)
	if s.has(real) {
		return real, nil
	}
	if err != nil {
		return "", err
	}
	e.Path = real
	if err := e.may(); err != nil {
		return "", err
	}
	if err := s.parents(real); err != nil {
		return "", err
	}
	if e.Kind == HardLink {
		target, err := s.lookup(e.Target)
		if err == nil && target.Path == real {
			err = fmt.Errorf("%s: a hard link to itself", real)
		}
		if err != nil {
			return "", err
		}
		e.Target = target.Path
	}
	old, isChanged := s.changed[real]
	there, err := s.lookup(real)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case e.Kind == Owner && isChanged && old.Kind != Owner:
		// What is made anyway is made with that owner.
		old.Mode, old.UID, old.GID = e.Mode, e.UID, e.GID
		e = old
	case e.Kind == Owner && err != nil:
		return "", err
	case err == nil && there.Kind == Folder && e.Kind == Folder && !e.Fresh:
		e.Fresh = old.Fresh
		if e.Kind = Owner; isChanged && old.Kind == Folder {
			e.Kind = Folder
		}
	case err == nil && there.Kind == Folder && e.Kind != Owner:
		return "", fmt.Errorf("%s is a folder, which a %s does not replace", real, e.Kind)
	case e.Fresh, isChanged && old.Kind == Gone:
		e.Fresh = true
		s.forget(real)
	}
	s.changed[real] = e
	return real, nil
}

// Remove takes away what is at a path, with all that is below it.
func (s *Stage) Remove(p string) error {
	real, err := s.Resolve(p, false)
	if s.has(real) {
		return nil
	}
	if err != nil {
		return err
	}
	gone := Entry{Path: real, Kind: Gone}
	if err := gone.may(); err != nil {
		return err
	}
	s.forget(real)
	s.changed[real] = gone
	return nil
}

// forget drops the changes below a path.
func (s *Stage) forget(real string) {
	maps.DeleteFunc(s.changed, func(at string, _ Entry) bool { return strings.HasPrefix(at, real+"/") })
}

func (s *Stage) parents(real string) error {
	up := path.Dir(real)
	e, err := s.lookup(up)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = s.Put(Entry{Path: up, Kind: Folder, Mode: 0o755})
		return err
	}
	if err == nil && e.Kind != Folder {
		err = fmt.Errorf("%s is a %s: want a folder", up, e.Kind)
	}
	return err
}

// Changes are all changes, in the order in which they are to be written: what
// goes, folders before what is in them, files, and links last.
func (s *Stage) Changes() []Entry {
	order := map[Kind]int{Gone: 0, Folder: 1, Owner: 2, File: 2, Symlink: 3, HardLink: 4}
	return slices.SortedFunc(maps.Values(s.changed), func(a, b Entry) int {
		if order[a.Kind] != order[b.Kind] {
			return order[a.Kind] - order[b.Kind]
		}
		return strings.Compare(a.Path, b.Path)
	})
}
