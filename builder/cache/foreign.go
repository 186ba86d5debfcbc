package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
)

// Foreign is the folder added with AddReadOnly that has a blob of the given
// name, if one has. The blob is not checked.
func (c *Cache) Foreign(d manifests.Digest) (dir string, ok bool) {
	for _, dir := range c.foreign() {
		if _, err := os.Stat(filepath.Join(dir, blobs, d.Hex())); err == nil {
			return dir, true
		}
	}
	return "", false
}

func (c *Cache) foreign() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readOnly
}

// take copies a blob from a read-only folder, whose key is held. What is used
// later is what was checked, whatever becomes of the folder. Its size may be -1.
// The error is fs.ErrNotExist where no folder has it.
func (c *Cache) take(ctx context.Context, want manifests.FetchFile) (string, error) {
	for _, dir := range c.foreign() {
		path := filepath.Join(dir, blobs, want.Digest.Hex())
		err := c.copyForeign(ctx, path, want)
		if err == nil {
			return c.blobPath(want.Digest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s: %w", path, err)
		}
	}
	return "", fs.ErrNotExist
}

func (c *Cache) copyForeign(ctx context.Context, path string, want manifests.FetchFile) error {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("want a regular file")
	}
	size := want.Size
	if size < 0 {
		size = info.Size()
	}
	_, err = c.bring(ctx, want.Digest.Hex(), size, nil, want.Digest[:], func(ctx context.Context, partial string) error {
		to, err := os.Create(partial)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := copyTo(ctx, to, io.NewSectionReader(file, 0, size+1)); err != nil {
			return err
		}
		return to.Close()
	})
	return err
}
