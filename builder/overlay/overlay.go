// Package overlay reads a folder of the host as a source of a tree.
//
// What arrives depends on the folder's names and contents only, not on who
// owns them, the umask they were made under, their times or their order:
// everything is owned by 0:0, a file is 0755 if anybody may execute it and
// 0644 otherwise, a new directory is 0755. A directory that the tree has
// already keeps its metadata. Entries change owners and modes, by glob.
//
// Hard links in the folder become files of their own, extended attributes do
// not count, and devices, FIFOs and sockets are refused. Symbolic links are
// taken as they are; none is followed on the host.
package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/regular"
)

// Config says what to read.
type Config struct {
	Name    string // of the source, for messages and for what it puts into the tree
	Dir     string // the folder
	Entries []Entry
}

// Entry changes the metadata of what its glob matches. When several match, the
// later wins, field by field.
type Entry struct {
	// Path is a glob, relative to the folder: path.Match for each name, "**" for
	// any number of names ("etc/**" is everything below etc), "." for the root.
	// One that matches nothing in the folder is an error.
	Path  string
	Mode  *uint32 // optional: at most 0o7777; symbolic links keep theirs
	Owner string  // optional: a user of the image by name, or a number
	Group string  // optional: a group likewise
}

// Add puts what the folder holds into t and then applies the entries, so that
// they may name users whom the folder itself brings. After an error t holds a
// part of it and is of no use.
func Add(ctx context.Context, store *content.Store, t *tree.Tree, c Config) error {
	if err := add(ctx, store, t, c); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

func add(ctx context.Context, store *content.Store, t *tree.Tree, c Config) error {
	overrides, err := parseEntries(c.Entries)
	if err != nil {
		return err
	}
	// Asked first, since opening a FIFO would wait for its writer.
	if info, err := os.Stat(c.Dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s: not a directory", c.Dir)
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f := &folder{root: root, store: store, tree: t, source: c.Name}
	err = f.walk(ctx, ".", fs.ModeDir, func(path string, kind fs.FileMode) error {
		overrides.match(path, kind.IsDir())
		return f.add(ctx, path, kind)
	})
	if err != nil {
		return err
	}
	return overrides.apply(t)
}

// folder is the overlay being read.
type folder struct {
	root   *os.Root
	store  *content.Store
	tree   *tree.Tree
	source string
}

// walk calls fn for what is at path and below, parents first, sorted as bytes.
// It is not fs.WalkDir, since an fs.FS has no names that are not UTF-8.
func (f *folder) walk(ctx context.Context, path string, kind fs.FileMode, fn func(string, fs.FileMode) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fn(path, kind); err != nil || !kind.IsDir() {
		return err
	}
	dir, err := f.root.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		if err := f.walk(ctx, filepath.Join(path, entry.Name()), entry.Type(), fn); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) add(ctx context.Context, path string, kind fs.FileMode) error {
	n := &tree.Node{Source: f.source}
	switch kind {
	case fs.ModeDir:
		if existing, ok := f.tree.Resolve(path); ok && existing.Kind == tree.Directory {
			return nil
		}
		n.Kind, n.Mode = tree.Directory, 0o755
	case fs.ModeSymlink:
		target, err := f.root.Readlink(path)
		if err != nil {
			return err
		}
		n.Kind, n.Mode, n.Target = tree.Symlink, 0o777, target
	case 0:
		if err := f.readFile(ctx, path, n); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	default:
		return fmt.Errorf("%s: mode %s: want only files, directories and symbolic links", path, kind)
	}
	return f.tree.Put(path, n)
}

// readFile copies the file into the store: an overlay may have more files than
// a process can hold open.
func (f *folder) readFile(ctx context.Context, path string, n *tree.Node) error {
	// The file may be something else than it was when the folder was listed.
	file, info, err := regular.Check(f.root.OpenFile(path, regular.Flags|syscall.O_NOFOLLOW, 0))
	if err != nil {
		return err
	}
	defer file.Close()
	n.Kind, n.Mode = tree.File, 0o644
	if info.Mode()&0o111 != 0 {
		n.Mode = 0o755
	}
	n.Content, err = f.store.Spool(ctx, file)
	return err
}
