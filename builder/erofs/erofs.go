// Package erofs writes a file tree as an EROFS image: uncompressed, blocks of
// 4096 bytes, one time stamp. The same tree gives the same bytes.
//
// The layout is made for images that follow one another. Every file's content
// has blocks of its own, in an order in which that comes last which changes with
// every release; then come the inodes, with directories and the targets of
// symbolic links beside them. What the format or Linux cannot represent is
// refused by path, never stored differently.
//
// To read images is go-erofs's work.
//
// Format: the kernel's fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst.
package erofs

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	goerofs "github.com/erofs/go-erofs"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/progress"
)

// BlockSize is the file system's block size in bytes.
const BlockSize = 4096

// Config says what an image has beside the tree.
type Config struct {
	UUID     [16]byte          // of the file system, in the byte order of its text
	Epoch    int64             // seconds since 1970: every time stamp of the image; not negative
	Previous filemap.Layout    // of an image that this one is to resemble; nil if of none
	Progress progress.Reporter // nil: silent
}

// Image describes a written image.
type Image struct {
	Size   int64          // bytes: Blocks × BlockSize
	Blocks uint64         // at least 2
	Inodes uint64         // a hard-linked file counts once
	Layout filemap.Layout // where all lies: its root.map
}

// Write writes t to w as an EROFS image, from its first byte to its last. The
// contents are read as they are written; an error of theirs, or one that a
// content is shorter than its size, names the path.
//
// With a previous layout, what is of the same path and not larger stays where
// it was, and the rest goes into the gaps; where that would leave too many of
// them, the layout is as without. Any layout will do: it decides over places,
// never over contents.
func Write(ctx context.Context, w io.Writer, t *tree.Tree, config Config) (Image, error) {
	if config.Epoch < 0 {
		return Image{}, fmt.Errorf("epoch %d: want seconds since 1970, not negative", config.Epoch)
	}
	if config.Progress == nil {
		config.Progress = progress.Silent()
	}
	p, err := newPlan(t)
	if err != nil {
		return Image{}, err
	}
	if err := p.place(config.Previous); err != nil {
		return Image{}, err
	}
	out := &output{ctx: ctx, w: w, step: config.Progress.Step("write root image", p.bytes), buffer: make([]byte, 0, 1<<20)}
	err = p.write(out, config)
	out.step.Done(err)
	if err != nil {
		return Image{}, err
	}
	return Image{Size: p.blocks * BlockSize, Blocks: uint64(p.blocks), Inodes: uint64(len(p.inodes)), Layout: p.layout()}, nil
}

// Open reads an uncompressed EROFS image, not only our own. Of its files' mode
// fs.FileInfo has the kind and the permissions only: see StatOf.
func Open(r io.ReaderAt) (fs.FS, error) { return goerofs.Open(r) }

// Stat is all that an image says of one file.
type Stat = goerofs.Stat

// StatOf is the Stat of a file in what Open returned.
func StatOf(info fs.FileInfo) (Stat, error) {
	from, ok := info.Sys().(*goerofs.Stat)
	if !ok {
		return Stat{}, fmt.Errorf("%s: not a file of an EROFS image", info.Name())
	}
	stat := *from
	stat.Xattrs = make(map[string]string, len(from.Xattrs))
	for name, value := range from.Xattrs {
		stat.Xattrs[fromLibrary(name)] = value
	}
	return stat, nil
}
