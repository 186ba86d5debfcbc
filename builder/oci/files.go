package oci

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/regular"
)

// files are the files of a layout or archive by path. What they hold is not
// checked yet.
type files interface {
	// open returns the file and its size; the error is fs.ErrNotExist when it
	// is missing.
	open(name string) (io.ReadCloser, int64, error)
	close() error
}

// source is where the blobs of an image are. What they hold is not checked
// yet.
type source interface {
	// blob returns what d refers to; the error is fs.ErrNotExist when it is
	// missing.
	blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// laidOut are the blobs of an image layout.
type laidOut struct{ files }

func (l laidOut) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	f, _, err := l.open(blobPath(d.Digest))
	return f, err
}

// folder is a layout on the host. No link in it leads outside.
type folder struct{ root *os.Root }

func openFolder(path string) (files, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

func (f folder) open(name string) (io.ReadCloser, int64, error) {
	file, info, err := regular.Check(f.root.OpenFile(name, regular.Flags, 0))
	if err != nil {
		return nil, 0, err
	}
	return file, info.Size(), nil
}

func (f folder) close() error { return f.root.Close() }

// archive is a layout or docker archive as a tar. It is a tree like any other,
// so that its links lead nowhere else.
type archive struct{ tree *tree.Tree }

func openArchive(ctx context.Context, store *content.Store, path string) (files, error) {
	t := tree.New()
	if err := tarball.Add(ctx, store, t, tarball.Config{Name: path, Path: path}); err != nil {
		return nil, err
	}
	return archive{t}, nil
}

func (a archive) open(name string) (io.ReadCloser, int64, error) {
	n, ok := a.tree.Resolve(name)
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n.Kind != tree.File {
		return nil, 0, fmt.Errorf("%s: a %s, want a file", name, n.Kind)
	}
	return io.NopCloser(n.Content.Open()), n.Content.Size, nil
}

func (a archive) close() error { return nil }
