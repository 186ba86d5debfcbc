package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/builder/tree"
)

// volatile folders are the sandbox's own: what a tree has in them is kept
// aside, what scripts leave there is dropped.
var volatile = [...]string{"dev", "proc", "run", "sys", "tmp"}

func isVolatile(at string) bool {
	top, _, _ := strings.Cut(at, "/")
	for _, folder := range volatile {
		if top == folder {
			return true
		}
	}
	return false
}

// keptAside reports whether a name of a tree is not made in the sandbox.
func keptAside(at string, kind tree.Kind) bool {
	return isVolatile(at) || kind == tree.CharDevice || kind == tree.BlockDevice || kind == tree.Socket
}

// policy refuses to start services (Debian's policy-rc.d interface).
const policy = "usr/sbin/policy-rc.d"

// stamp tells whether a file was touched. Nobody in a user namespace can set
// the time of the change of an inode.
type stamp struct {
	inode, seconds uint64
	nanos          int64
	size           int64
}

type unpacker struct {
	*stream
	made   map[string]*item // by path
	stamps map[string]stamp // of files
	policy bool             // it was made here
}

func (u *unpacker) unpack() error {
	for {
		var i item
		if err := u.d.Decode(&i); err != nil {
			return fmt.Errorf("reading the tree: %w", err)
		}
		if i.Last {
			return u.finish()
		}
		if err := u.make(&i); err != nil {
			return fmt.Errorf("unpacking /%s: %w", i.Path, err)
		}
		u.made[i.Path] = &i
	}
}

func (u *unpacker) make(i *item) error {
	at := "/" + i.Path
	if i.Path == "." {
		at = "/"
	}
	var err error
	switch {
	case i.Link != "":
		return os.Link("/"+i.Link, at)
	case i.Kind == tree.Directory && i.Path != ".":
		err = os.Mkdir(at, 0o700)
	case i.Kind == tree.Symlink:
		err = os.Symlink(i.Target, at)
	case i.Kind == tree.FIFO:
		err = unix.Mkfifo(at, 0o600)
	case i.Kind == tree.File:
		err = u.file(at, i.Size)
	}
	if err != nil {
		return err
	}
	if err := os.Lchown(at, int(i.UID), int(i.GID)); err != nil {
		return fmt.Errorf("its owner is %d:%d: %w", i.UID, i.GID, err)
	}
	for name, value := range i.Xattrs {
		err := unix.Lsetxattr(at, name, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	if i.Kind != tree.Symlink {
		return unix.Fchmodat(unix.AT_FDCWD, at, i.Mode, 0)
	}
	return nil
}

func (u *unpacker) file(at string, size int64) error {
	file, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(file, u.r, size); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// finish remembers how all was made: as the file system shows it, since it may
// not hold each attribute.
func (u *unpacker) finish() error {
	return u.walk(func(at string, i *item, s stamp) error {
		if was := u.made[at]; was != nil {
			u.made[at], u.stamps[at] = i, s
		}
		return nil
	})
}

// prepare makes what scripts look for and no tree has.
func (u *unpacker) prepare() error {
	if _, err := os.Lstat("/" + policy); err == nil {
		return nil
	}
	if info, err := os.Stat("/" + path.Dir(policy)); err != nil || !info.IsDir() {
		return nil
	}
	u.policy = true
	return os.WriteFile("/"+policy, []byte("#!/bin/sh\nexit 101\n"), 0o755)
}
