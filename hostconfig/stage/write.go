package stage

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// Write makes changes in a root, in their order. A change that is there already
// is made again, so a call that was cut is simply repeated: each change leaves
// the old or the new at its path, and never a part. Nothing is durable before
// the file systems are synced.
//
// It calls step before each single thing that it does, and ends when that fails:
// for tests, which cut it there.
func Write(root *os.Root, changes []Entry, step func() error) error {
	if err := Check(changes); err != nil {
		return err
	}
	w := writer{root, step}
	// Before anything new is there: what is fresh may be above other changes.
	for _, e := range changes {
		if e.Fresh && e.Kind == Folder || e.Kind == Gone {
			if err := w.do(func() error { return root.RemoveAll(e.Path[1:]) }); err != nil {
				return fmt.Errorf("removing %s: %w", e.Path, err)
			}
		}
	}
	for _, e := range changes {
		if err := w.change(e); err != nil {
			return fmt.Errorf("writing %s: %w", e.Path, err)
		}
	}
	return nil
}

type writer struct {
	root *os.Root
	step func() error
}

func (w writer) do(act func() error) error {
	if err := w.step(); err != nil {
		return err
	}
	return act()
}

func (w writer) change(e Entry) error {
	at := e.Path[1:]
	switch e.Kind {
	case Gone:
		return nil
	case Folder:
		if info, err := w.root.Lstat(at); err == nil && !info.IsDir() {
			if err := w.do(func() error { return w.root.Remove(at) }); err != nil {
				return err
			}
		}
		// Closed until it has its owner.
		err := w.do(func() error { return w.root.Mkdir(at, 0o700) })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return w.own(at, e)
	case Owner:
		return w.own(at, e)
	}
	temp := path.Join(path.Dir(at), tempName(at))
	if err := w.do(func() error { return w.root.RemoveAll(temp) }); err != nil {
		return err
	}
	if err := w.make(temp, e); err != nil {
		return err
	}
	// A folder must be out of the way of what is renamed over it.
	if info, err := w.root.Lstat(at); err == nil && info.IsDir() {
		if err := w.do(func() error { return w.root.RemoveAll(at) }); err != nil {
			return err
		}
	}
	if err := w.do(func() error { return w.root.Rename(temp, at) }); err != nil {
		return err
	}
	// Renaming a link over another one of the same file does nothing at all.
	if err := w.do(func() error { return w.root.Remove(temp) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// tempName is the same for a path each time, so that what was cut is cleaned up
// by the next call.
func tempName(at string) string {
	h := fnv.New64a()
	h.Write([]byte(at))
	return fmt.Sprintf(".proa-configure-%016x", h.Sum64())
}

// make makes what is no folder under a temporary name.
func (w writer) make(temp string, e Entry) error {
	switch e.Kind {
	case File:
		if err := w.do(func() error { return w.root.WriteFile(temp, e.Content, 0o600) }); err != nil {
			return err
		}
		return w.own(temp, e)
	case Symlink:
		if err := w.do(func() error { return w.root.Symlink(e.Target, temp) }); err != nil {
			return err
		}
		return w.do(func() error { return w.root.Lchown(temp, int(e.UID), int(e.GID)) })
	case HardLink:
		return w.do(func() error { return w.root.Link(e.Target[1:], temp) })
	}
	return fmt.Errorf("%q: no such kind of change", e.Kind)
}

// own gives a file or folder its owner and then its mode: a change of the owner
// takes special bits away. A link in its place is not followed out of the root,
// and is a fault.
func (w writer) own(at string, e Entry) error {
	if info, err := w.root.Lstat(at); err != nil {
		return err
	} else if info.Mode()&fs.ModeSymlink != 0 {
		return syscall.ELOOP
	}
	if err := w.do(func() error { return w.root.Lchown(at, int(e.UID), int(e.GID)) }); err != nil {
		return err
	}
	return w.do(func() error { return w.root.Chmod(at, fileMode(e.Mode)) })
}

func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, set := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= set
		}
	}
	return m
}
