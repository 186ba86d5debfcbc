package updater

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater/etc"
)

// EtcDiff lists what the machine has changed in its /etc.
func (u *Updater) EtcDiff() ([]etc.Change, error) {
	release, err := u.Host.releaseState()
	if err != nil {
		return nil, err
	}
	return etc.Diff(u.Host.Etc, release)
}

// EtcContents are what a file is here and in the running release. Where nothing
// is changed at the path that is a Refusal.
func (u *Updater) EtcContents(path string) (ours, theirs etc.Content, err error) {
	if err := etc.CheckPath(path); err != nil {
		return ours, theirs, refuse("", "%v", err)
	}
	changes, err := u.EtcDiff()
	if err != nil {
		return ours, theirs, err
	}
	if !etc.Covers(changes, path) {
		return ours, theirs, refuse("", "/%s: nothing is changed there", path)
	}
	root, release, err := u.releaseRoot()
	if err != nil {
		return ours, theirs, err
	}
	defer release()
	return etc.Contents(u.Host.Etc, root, path)
}

// releaseRoot is the running release's root file system without what is mounted
// on it, the changes to /etc among it, and how to let go of it.
func (u *Updater) releaseRoot() (root string, release func(), err error) {
	if u.Host.Root != "" {
		return u.Host.Root, func() {}, nil
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return "", nil, fmt.Errorf("looking below what is mounted on the root: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), func() { unix.Close(fd) }, nil
}

// EtcReset asks the next boot to take back the changes at the paths and below
// them, in place of what it was asked before; none withdraws that. A path at
// which nothing is changed is a Refusal.
func (u *Updater) EtcReset(paths []string) error {
	changes, err := u.EtcDiff()
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := etc.CheckPath(path); err != nil {
			return refuse("", "%v", err)
		}
		if !etc.Touches(changes, path) {
			return refuse("", "/%s: nothing is changed there", path)
		}
	}
	return etc.RequestReset(u.Host.Etc, paths)
}

// releaseState is the running release's state.json; one that was built before
// there were such documents has none, and everything in /etc counts as added.
func (h Host) releaseState() (manifests.State, error) {
	text, err := regular.Read(h.Release, manifests.DocumentMost)
	if errors.Is(err, fs.ErrNotExist) {
		return manifests.State{}, nil
	}
	if err != nil {
		return manifests.State{}, err
	}
	state, err := manifests.ParseState(text)
	if err != nil {
		return manifests.State{}, fmt.Errorf("%s: %w", h.Release, err)
	}
	return state, nil
}
