package sandbox

import (
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/builder/tree"
)

// collect sends what is not as it was unpacked.
func (u *unpacker) collect() error {
	if u.policy {
		os.Remove("/" + policy)
	}
	seen := map[string]bool{}
	err := u.walk(func(at string, i *item, s stamp) error {
		seen[at] = true
		was := u.made[at]
		kept := was != nil && u.stamps[at] == s
		if was != nil && kept && same(was, i) {
			return nil
		}
		i.Kept = kept && was.Kind == tree.File && i.Link == ""
		if err := u.e.Encode(i); err != nil {
			return err
		}
		if i.Kind != tree.File || i.Kept || i.Link != "" || i.Size == 0 {
			return nil
		}
		file, err := os.Open("/" + at)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.CopyN(u.w, file, i.Size)
		return err
	})
	if err != nil {
		return err
	}
	for _, at := range slices.Sorted(maps.Keys(u.made)) {
		if !seen[at] {
			if err := u.e.Encode(item{Path: at, Removed: true}); err != nil {
				return err
			}
		}
	}
	return u.e.Encode(item{Last: true})
}

// same compares all but the content. The size of a folder says nothing.
func same(a, b *item) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Target == b.Target && a.Link == b.Link && maps.Equal(a.Xattrs, b.Xattrs)
}

// walk goes through all that a tree could hold, parents first, names sorted as
// bytes.
func (u *unpacker) walk(fn func(at string, i *item, s stamp) error) error {
	first := map[uint64]string{}
	var below func(at string) error
	below = func(at string) error {
		i, s, err := describe(at)
		if err != nil || i == nil {
			return err
		}
		if i.Kind != tree.Directory {
			s.seconds, s.nanos = s.seconds*b2u(i.Kind == tree.File), s.nanos*int64(b2u(i.Kind == tree.File))
			if name, again := first[s.inode]; again {
				i.Link = name
			} else {
				first[s.inode] = at
			}
			return fn(at, i, s)
		}
		if err := fn(at, i, stamp{}); err != nil {
			return err
		}
		entries, err := os.ReadDir("/" + strings.TrimPrefix(at, "."))
		if err != nil {
			return err
		}
		for _, e := range entries { // sorted
			child := e.Name()
			if at != "." {
				child = at + "/" + child
			}
			if isVolatile(child) {
				continue
			}
			if err := below(child); err != nil {
				return err
			}
		}
		return nil
	}
	return below(".")
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// describe is nil for what a script cannot leave in a tree: a socket.
func describe(at string) (*item, stamp, error) {
	real := "/" + at
	if at == "." {
		real = "/"
	}
	var st unix.Stat_t
	if err := unix.Lstat(real, &st); err != nil {
		return nil, stamp{}, err
	}
	i := &item{Path: at, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		i.Kind, i.Size = tree.File, st.Size
	case unix.S_IFDIR:
		i.Kind = tree.Directory
	case unix.S_IFLNK:
		i.Kind, i.Mode = tree.Symlink, 0o777
		target, err := os.Readlink(real)
		if err != nil {
			return nil, stamp{}, err
		}
		i.Target = target
	case unix.S_IFIFO:
		i.Kind = tree.FIFO
	default:
		return nil, stamp{}, nil
	}
	var err error
	i.Xattrs, err = xattrs(real)
	return i, stamp{st.Ino, uint64(st.Ctim.Sec), int64(st.Ctim.Nsec), st.Size}, err
}

func xattrs(at string) (map[string]string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(at, names)
	if err == unix.ENOTSUP || n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		n, err := unix.Lgetxattr(at, name, value)
		if err != nil {
			return nil, err
		}
		all[name] = string(value[:n])
	}
	return all, nil
}
