// Package etc tells what a machine has changed in its /etc, which of it an
// update would change as well, and takes changes back.
//
// A machine's changes are the upper layer of an overlay on /var, over the /etc
// of the release (Linux Documentation/filesystems/overlayfs.rst: a character
// device 0/0 hides what is below, so does a folder with the attribute
// "overlay.opaque"). What the release has there is said by its state.json.
//
// Nothing here writes to the layer, which must not be changed while it is
// mounted: RequestReset leaves a list, and proa-init removes what is in it
// before the next boot mounts the layer.
package etc

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
)

// Kind is how a name in /etc differs from what the release has.
type Kind string

// The kinds.
const (
	Added    Kind = "added"    // the release has no such name
	Modified Kind = "modified" // another content or link target
	Metadata Kind = "metadata" // another mode or owner, the same content
	Replaced Kind = "replaced" // a file in place of a folder, say
	Deleted  Kind = "deleted"
	// Same is a copy without a difference: it hides what later releases bring.
	Same Kind = "same"
)

// Change is one name in /etc that the machine has made its own.
type Change struct {
	Path  string `json:"path"` // relative to the root: "etc/hosts"
	Kind  Kind   `json:"kind"`
	Reset bool   `json:"reset,omitempty"` // the next boot takes it back

	// whole says that nothing of the release below the path is seen.
	whole bool
}

// upperFolder and resetFile are in the folder that holds the layer.
const (
	upperFolder = "upper"
	resetFile   = "reset"
)

// Diff lists what is in the layer in folder, sorted by path, compared with what
// the release has. A machine that has changed nothing, or keeps no changes, has
// no changes.
func Diff(folder string, release manifests.State) ([]Change, error) {
	pending, err := readReset(folder)
	if err != nil {
		return nil, err
	}
	d := differ{root: filepath.Join(folder, upperFolder), release: release}
	err = filepath.WalkDir(d.root, d.visit)
	if errors.Is(err, fs.ErrNotExist) && len(d.changes) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("changes to /etc: %w", err)
	}
	for i := range d.changes {
		d.changes[i].Reset = slices.ContainsFunc(pending, func(path string) bool { return within(d.changes[i].Path, path) })
	}
	slices.SortFunc(d.changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return d.changes, nil
}

type differ struct {
	root    string
	release manifests.State
	changes []Change
}

func (d *differ) visit(path string, entry fs.DirEntry, err error) error {
	if path == d.root {
		return err
	}
	if err == nil {
		err = d.look(path, entry)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was removed meanwhile
	}
	return err
}

func (d *differ) look(path string, entry fs.DirEntry) error {
	name := "etc/" + strings.TrimPrefix(path, d.root+"/")
	info, err := entry.Info()
	if err != nil {
		return err
	}
	theirs, inRelease := d.release.Entry(name)
	if isWhiteout(info) {
		d.add(Change{Path: name, Kind: Deleted, whole: true})
		return nil
	}
	ours, err := describe(path, name, info)
	if err != nil {
		return err
	}
	change := Change{Path: name, Kind: compare(ours, theirs, inRelease), whole: !info.IsDir()}
	if info.IsDir() {
		opaque, err := isOpaque(path)
		if err != nil {
			return err
		}
		// A folder of the release is in the layer as soon as something in it is.
		if change.Kind == Same && !opaque {
			return nil
		}
		if opaque && inRelease {
			change.Kind, change.whole = Replaced, true
		}
	}
	d.add(change)
	return nil
}

func (d *differ) add(c Change) { d.changes = append(d.changes, c) }

func compare(ours, theirs manifests.EtcEntry, inRelease bool) Kind {
	switch {
	case !inRelease:
		return Added
	case ours == theirs:
		return Same
	case ours.Folder != theirs.Folder || (ours.Link == "") != (theirs.Link == "") || ours.File.IsZero() != theirs.File.IsZero():
		return Replaced
	case ours.Link != theirs.Link || ours.File != theirs.File:
		return Modified
	}
	return Metadata
}

// isWhiteout reports whether the layer hides a name of the release.
func isWhiteout(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && stat.Rdev == 0
}

// isOpaque reports whether a folder of the layer hides the release's.
func isOpaque(path string) (bool, error) {
	for _, name := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		value := make([]byte, 8)
		n, err := unix.Lgetxattr(path, name, value)
		switch {
		case err == nil && string(value[:n]) == "y":
			return true, nil
		case err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP):
			return false, fmt.Errorf("attribute %s of %s: %w", name, path, err)
		}
	}
	return false, nil
}

// describe says of a file what state.json would.
func describe(path, name string, info fs.FileInfo) (manifests.EtcEntry, error) {
	e := manifests.EtcEntry{Path: name, Mode: octal(info.Mode())}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		e.UID, e.GID = stat.Uid, stat.Gid
	}
	var err error
	switch info.Mode().Type() {
	case fs.ModeDir:
		e.Folder = true
	case fs.ModeSymlink:
		e.Link, err = os.Readlink(path)
	case 0:
		e.File, err = digestFile(path)
	}
	return e, err
}

func octal(mode fs.FileMode) string {
	bits := uint32(mode.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}

func digestFile(path string) (manifests.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return manifests.Digest{}, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return manifests.Digest{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return manifests.Digest(sum.Sum(nil)), nil
}

// within reports whether path is folder or below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// Touches reports whether a change is at the path or below it.
func Touches(changes []Change, path string) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return within(c.Path, path) })
}

// Covers reports whether a change decides what is seen at the path.
func Covers(changes []Change, path string) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Path == path || c.whole && within(path, c.Path) })
}
