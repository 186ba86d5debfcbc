package erofs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	goerofs "github.com/erofs/go-erofs"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/progress"
)

// bytesMost bounds the contents: blocks have 32-bit numbers, and a quarter of
// them is left for rounding and metadata.
const bytesMost = int64(3) << 42

// source is a tree as the fs.FS that go-erofs copies from. Of a hard-linked
// node it shows the first name as the file and every other as an empty
// stand-in of the same kind, which finish turns into a link.
type source struct {
	ctx    context.Context
	step   progress.Step
	epoch  uint64
	root   *entry
	byPath map[string]*entry
	inodes uint64
	bytes  int64 // of content
}

// entry is one name in the tree.
type entry struct {
	source   *source
	path     string
	node     *tree.Node
	children []*entry // sorted by name
	first    *entry   // the name that holds the inode: itself, or another for a hard link
	nlink    uint32
	nid      uint64 // where the inode is, as go-erofs placed it; see finish
}

func newSource(ctx context.Context, t *tree.Tree, epoch uint64) (*source, error) {
	s := &source{ctx: ctx, epoch: epoch, byPath: map[string]*entry{}}
	firsts := map[*tree.Node]*entry{}
	err := t.Walk(func(name string, n *tree.Node) error {
		if err := check(name, n); err != nil {
			return err
		}
		e := &entry{source: s, path: name, node: n}
		s.byPath[name] = e
		if parent := s.byPath[path.Dir(name)]; name == "." {
			s.root = e
		} else {
			parent.children = append(parent.children, e)
			if n.Kind == tree.Directory {
				parent.nlink++
			}
		}
		return s.place(e, firsts)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// place makes e the holder of its node's inode, or a link to the one that is.
func (s *source) place(e *entry, firsts map[*tree.Node]*entry) error {
	if first, ok := firsts[e.node]; ok {
		if e.node.Kind == tree.Directory {
			return fmt.Errorf("%q: the same directory as %q: only files can be linked", e.path, first.path)
		}
		e.first = first
		first.nlink++
		return nil
	}
	firsts[e.node] = e
	e.first = e
	e.nlink = 1
	if e.node.Kind == tree.Directory {
		e.nlink = 2 // its name and its "."; each sub-directory's ".." adds one
	}
	s.inodes++
	if e.node.Kind == tree.File {
		if e.node.Content.Size > bytesMost-s.bytes {
			return fmt.Errorf("%q: contents come to more than %d bytes", e.path, bytesMost)
		}
		s.bytes += e.node.Content.Size
	}
	return nil
}

func (s *source) find(op, name string) (*entry, error) {
	if e, ok := s.byPath[name]; ok {
		return e, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Stat implements fs.StatFS.
func (s *source) Stat(name string) (fs.FileInfo, error) { return s.find("stat", name) }

// ReadDir implements fs.ReadDirFS.
func (s *source) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := s.find("readdir", name)
	if err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, len(e.children))
	for i, child := range e.children {
		entries[i] = child
	}
	return entries, s.ctx.Err()
}

// ReadLink gives go-erofs the target of a symbolic link.
func (s *source) ReadLink(name string) (string, error) {
	e, err := s.find("readlink", name)
	if err != nil || e.first != e {
		return "", err
	}
	return e.node.Target, nil
}

// Open implements fs.FS, for files with content.
func (s *source) Open(name string) (fs.File, error) {
	e, err := s.find("open", name)
	if err != nil {
		return nil, err
	}
	return &content{entry: e}, nil
}

// Entry is its own fs.FileInfo and fs.DirEntry.

func (e *entry) Name() string               { return path.Base(e.path) }
func (e *entry) IsDir() bool                { return e.node.Kind == tree.Directory }
func (e *entry) Type() fs.FileMode          { return e.Mode().Type() }
func (e *entry) Info() (fs.FileInfo, error) { return e, nil }
func (e *entry) ModTime() time.Time         { return time.Unix(int64(e.source.epoch), 0) }

func (e *entry) Size() int64 {
	if e.first != e || e.node.Kind != tree.File {
		return 0
	}
	return e.node.Content.Size
}

func (e *entry) Mode() fs.FileMode {
	mode := fs.FileMode(e.node.Mode & 0o777)
	for _, bit := range []struct {
		unix uint32
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if e.node.Mode&bit.unix != 0 {
			mode |= bit.mode
		}
	}
	return mode | [...]fs.FileMode{
		tree.File:        0,
		tree.Directory:   fs.ModeDir,
		tree.Symlink:     fs.ModeSymlink,
		tree.CharDevice:  fs.ModeDevice | fs.ModeCharDevice,
		tree.BlockDevice: fs.ModeDevice,
		tree.FIFO:        fs.ModeNamedPipe,
		tree.Socket:      fs.ModeSocket,
	}[e.node.Kind]
}

// Sys is how go-erofs learns what fs.FileInfo cannot say.
func (e *entry) Sys() any {
	if e.first != e {
		return &goerofs.Stat{Mtime: e.source.epoch, Nlink: 1}
	}
	stat := &goerofs.Stat{
		UID:   e.node.UID,
		GID:   e.node.GID,
		Mtime: e.source.epoch,
		Nlink: int(e.nlink),
	}
	if e.node.Kind == tree.CharDevice || e.node.Kind == tree.BlockDevice {
		stat.Rdev = encodeDevice(e.node.Device)
	}
	if len(e.node.Xattrs) > 0 {
		stat.Xattrs = make(map[string]string, len(e.node.Xattrs))
		for name, value := range e.node.Xattrs {
			stat.Xattrs[toLibrary(name)] = value
		}
	}
	return stat
}

// encodeDevice is new_encode_dev of the kernel's include/linux/kdev_t.h.
func encodeDevice(d tree.Device) uint32 {
	return d.Minor&0xff | d.Major<<8 | d.Minor&^0xff<<12
}

// content streams a file. It opens nothing: all files of a tree are "open" in
// the library at once.
type content struct {
	*entry
	done int64
}

func (c *content) Stat() (fs.FileInfo, error) { return c.entry, nil }
func (c *content) Close() error               { return nil }

// Read never ends early without an error: the library would not notice where
// it stores a file inside the metadata.
func (c *content) Read(p []byte) (int, error) {
	if err := c.source.ctx.Err(); err != nil {
		return 0, err
	}
	content := c.node.Content
	p = p[:min(int64(len(p)), content.Size-c.done)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	n, err := content.At.ReadAt(p, content.Offset+c.done)
	c.done += int64(n)
	c.source.step.Add(int64(n))
	if n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("content of %d bytes ends after %d: %w", content.Size, c.done, io.ErrUnexpectedEOF)
	}
	return n, err
}
