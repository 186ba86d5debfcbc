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
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
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
		return fmt.Errorf("reading overlay %s: %w", c.Name, err)
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
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		overrides.match(path, entry.IsDir())
		return f.add(ctx, path, entry)
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

func (f *folder) add(ctx context.Context, path string, entry fs.DirEntry) error {
	n := &tree.Node{Source: f.source}
	switch kind := entry.Type(); kind {
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
	file, err := f.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("mode %s: want a regular file", info.Mode())
	}
	n.Kind, n.Mode = tree.File, 0o644
	if info.Mode()&0o111 != 0 {
		n.Mode = 0o755
	}
	n.Content, err = f.store.Spool(ctx, file)
	return err
}
