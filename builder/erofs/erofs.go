// Package erofs writes a file tree as an EROFS image: uncompressed, blocks of
// 4096 bytes, file contents first and in the order of their sorted paths,
// metadata last, one time stamp. The same tree gives the same bytes.
//
// The layout of inodes and the streaming of contents are go-erofs's work. What
// that library leaves open is closed here, in one place (finish.go): hard
// links share one inode, the file system has a UUID and a superblock checksum,
// the root directory's inode number is not 0, and its link counts, POSIX ACLs
// and large device numbers are right. What the format or Linux cannot
// represent is refused by path (check.go), never stored differently.
//
// Format: the kernel's fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst.
package erofs

import (
	"bufio"
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
	Progress progress.Reporter // nil: silent
}

// Image describes a written image.
type Image struct {
	Size   int64  // bytes: Blocks × BlockSize
	Blocks uint64 // at least 2
	Inodes uint64 // a hard-linked file counts once
	Layout filemap.Layout // where contents lie in it: its root.map
}

// File is what an image is written to, such as an *os.File opened for reading
// and writing. It must be empty.
type File interface {
	io.Writer
	io.Seeker
	io.ReaderAt
	io.WriterAt
}

// Write writes t to w as an EROFS image. The contents are read as they are
// written; an error of theirs, or one that a content is shorter than its size,
// names the path. When Write returns an error, what is in w is of no use. Write
// does not sync.
func Write(ctx context.Context, w File, t *tree.Tree, config Config) (Image, error) {
	if config.Epoch < 0 {
		return Image{}, fmt.Errorf("epoch %d: want seconds since 1970, not negative", config.Epoch)
	}
	if config.Progress == nil {
		config.Progress = progress.Silent()
	}
	source, err := newSource(ctx, t, uint64(config.Epoch))
	if err != nil {
		return Image{}, err
	}
	source.step = config.Progress.Step("write root image", source.bytes)
	image, err := write(w, source, config)
	source.step.Done(err)
	return image, err
}

func write(w File, source *source, config Config) (Image, error) {
	out := &output{file: w, buffer: bufio.NewWriterSize(w, 1<<20)}
	writer := goerofs.Create(out, goerofs.WithBlockSize(BlockSize), goerofs.WithBuildTime(uint64(config.Epoch), 0))
	if err := writer.CopyFrom(source); err != nil {
		return Image{}, fmt.Errorf("planning image: %w", err)
	}
	if err := writer.Close(); err != nil {
		return Image{}, fmt.Errorf("writing image: %w", err)
	}
	if err := out.buffer.Flush(); err != nil {
		return Image{}, fmt.Errorf("writing image: %w", err)
	}
	image, err := finish(w, source, config.UUID)
	if err != nil {
		return Image{}, fmt.Errorf("finishing image: %w", err)
	}
	if image.Layout, err = readLayout(w); err != nil {
		return Image{}, fmt.Errorf("reading image: %w", err)
	}
	return image, nil
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

// output gathers the library's small writes.
type output struct {
	file   File
	buffer *bufio.Writer
}

func (o *output) Write(p []byte) (int, error) { return o.buffer.Write(p) }

func (o *output) Seek(offset int64, whence int) (int64, error) {
	if err := o.buffer.Flush(); err != nil {
		return 0, err
	}
	return o.file.Seek(offset, whence)
}
