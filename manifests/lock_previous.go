package manifests

import (
	"errors"
	"fmt"
	"slices"
)

// LockedPrevious is the release whose root image the next one of an
// architecture resembles in its layout. What decides is Map alone.
type LockedPrevious struct {
	Arch    Arch      `json:"arch"`
	Version Version   `json:"version"`
	Map     FetchFile `json:"map"` // its root.map
}

// PreviousOf is the previous release of an architecture; false where a layout
// follows none.
func (l Lock) PreviousOf(arch Arch) (LockedPrevious, bool) {
	for _, p := range l.Previous {
		if p.Arch == arch {
			return p, true
		}
	}
	return LockedPrevious{}, false
}

// WithPrevious is the lock with another previous release of p's architecture.
func (l Lock) WithPrevious(p LockedPrevious) Lock {
	l = l.WithoutPrevious(p.Arch)
	at, _ := slices.BinarySearchFunc(l.Previous, p.Arch, comparePrevious)
	l.Previous = slices.Insert(l.Previous, at, p)
	return l
}

// WithoutPrevious is the lock without a previous release of an architecture.
func (l Lock) WithoutPrevious(arch Arch) Lock {
	l.Previous = slices.DeleteFunc(slices.Clone(l.Previous), func(p LockedPrevious) bool { return p.Arch == arch })
	return l
}

func comparePrevious(p LockedPrevious, arch Arch) int {
	switch {
	case p.Arch < arch:
		return -1
	case p.Arch > arch:
		return 1
	}
	return 0
}

func (l Lock) checkPrevious() error {
	for i, p := range l.Previous {
		if _, err := ParseArch(string(p.Arch)); err != nil {
			return err
		}
		if _, err := ParseVersion(string(p.Version)); err != nil {
			return err
		}
		if p.Map.Size <= 0 {
			return errors.New("want the size of the map")
		}
		if err := p.Map.check(RootMapFile); err != nil {
			return err
		}
		if i > 0 && l.Previous[i-1].Arch >= p.Arch {
			return fmt.Errorf("%s after %s: want each architecture once, sorted", p.Arch, l.Previous[i-1].Arch)
		}
	}
	return nil
}
