// Package tarball reads tar archives as sources of a tree: V7, ustar, PAX and
// GNU, plain or compressed with gzip, bzip2, xz or zstd, told from the bytes
// and never from the name.
//
// A plain archive in a regular file is only indexed, and its files are read in
// place when they are needed; the archive must not change until then. Anything
// else passes through once and its files are kept in the content store.
//
// Owners, modes, hard links, extended attributes (SCHILY.xattr) and device
// numbers arrive as they are in the archive; times and the names of owners do
// not count. Names are bytes: what is not UTF-8 stays as it is. One leading
// "/" or "./" is dropped; ".." anywhere in a name is an error, not something
// to skip. POSIX ACLs in textual form (SCHILY.acl) are an error, too.
package tarball

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/progress"
)

// Config says what to read.
type Config struct {
	Name string // of the source, for messages and for what it puts into the tree

	Path   string    // of the archive; or
	Reader io.Reader // the archive itself

	Progress progress.Reporter // optional
}

// Add puts what an archive holds into t. After an error t holds a part of it
// and is of no use. An archive without entries or without its end is an error.
func Add(ctx context.Context, store *content.Store, t *tree.Tree, c Config) error {
	if err := add(ctx, store, t, c); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

func add(ctx context.Context, store *content.Store, t *tree.Tree, c Config) (err error) {
	archive, size, done, err := open(ctx, store, c)
	if err != nil {
		return err
	}
	defer done()
	reporter := c.Progress
	if reporter == nil {
		reporter = progress.Silent()
	}
	step := reporter.Step("read "+c.Name, size)
	defer func() { step.Done(err) }()

	sum, err := read(ctx, store, c.Name, archive, step, t.Apply)
	switch {
	case err != nil:
		return err
	case !sum.Ended && sum.Entries == 0:
		return errors.New("not a tar archive, or an empty one")
	case !sum.Ended:
		return fmt.Errorf("the archive ends after %d entries without its end mark: %w", sum.Entries, io.ErrUnexpectedEOF)
	case sum.Entries == 0:
		return errors.New("the archive has no entries")
	}
	return nil
}

// open decides between reading in place and passing through. Size is what the
// progress of reading is measured by, 0 when it is not known.
func open(ctx context.Context, store *content.Store, c Config) (a *archive, size int64, done func(), err error) {
	done = func() {}
	input := c.Reader
	if input == nil {
		info, err := os.Stat(c.Path)
		if err != nil {
			return nil, 0, nil, err
		}
		if info.IsDir() {
			return nil, 0, nil, &fs.PathError{Op: "open", Path: c.Path, Err: errors.New("is a folder, want a file")}
		}
		if info.Mode().IsRegular() {
			a, err := openInPlace(store, c.Path, info.Size())
			if a != nil || err != nil {
				return a, info.Size(), done, err
			}
		}
		file, err := os.Open(c.Path)
		if err != nil {
			return nil, 0, nil, err
		}
		input, done = file, func() { file.Close() }
	}
	expanded, err := store.Expand(ctx, input)
	if err != nil {
		done()
		return nil, 0, nil, err
	}
	closeInput := done
	return &archive{r: expanded}, 0, func() { expanded.Close(); closeInput() }, nil
}

// openInPlace opens a plain archive; it returns nil for a compressed one.
func openInPlace(store *content.Store, path string, size int64) (*archive, error) {
	probe, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	head := make([]byte, content.SniffLen)
	n, err := io.ReadFull(probe, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	format, err := content.Sniff(head[:n])
	if err != nil || format != content.Plain {
		return nil, err
	}
	file, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	return inPlace(file, size), nil
}
