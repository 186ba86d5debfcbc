// Package vendoring puts all that a lock names into one folder, an OCI image
// layout (https://github.com/opencontainers/image-spec, image-layout.md), from
// which a build needs no network: images as any tool reads them there, and
// beside their blobs packages and archives, by digest.
package vendoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/progress"
)

// Config says what to put where.
type Config struct {
	Lock     manifests.Lock
	Folder   string           // the recipe's
	Dir      string           // to make or to complete
	Cache    *cache.Cache     // required
	Fetcher  packages.Fetcher // required
	Registry oci.Remote       // how registries are asked
	Progress progress.Reporter

	layouts []layout // of this machine
}

// Result is what the folder holds.
type Result struct {
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"`
	Removed int   `json:"removed"` // blobs of an earlier lock
}

// item is one blob to put into the folder.
type item struct {
	name  string
	file  manifests.FetchFile
	bring func(ctx context.Context) (path string, err error)
}

const blobsFolder = "blobs/sha256"

// Write makes the folder, or brings one that is there up to the lock: what is
// there is kept, what no longer counts is removed, last.
func Write(ctx context.Context, c Config) (Result, error) {
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	if err := checkFolder(c.Dir); err != nil {
		return Result{}, err
	}
	if err := c.prepare(); err != nil {
		return Result{}, err
	}
	if err := durable.Clean(filepath.Join(c.Dir, blobsFolder)); err != nil {
		return Result{}, err
	}
	items, err := c.items(ctx)
	if err != nil {
		return Result{}, err
	}
	result, err := c.copyAll(ctx, items)
	if err != nil {
		return Result{}, err
	}
	if err := c.writeIndex(); err != nil {
		return Result{}, err
	}
	result.Removed, err = c.removeOthers(items)
	return result, err
}

// checkFolder refuses a folder that this package has not made, since files in
// it will be removed.
func checkFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "blobs", indexFile, "oci-layout":
		default:
			return fmt.Errorf("%s holds %.100q: want an empty folder, or one that was made by this command", dir, entry.Name())
		}
	}
	if len(entries) > 0 && !marked(dir) {
		return fmt.Errorf("%s is an image layout of somebody else: want an empty folder, or one that was made by this command", dir)
	}
	return nil
}

func (c Config) copyAll(ctx context.Context, items map[manifests.Digest]item) (Result, error) {
	var result Result
	for _, it := range items {
		result.Blobs++
		result.Bytes += it.file.Size
	}
	step := c.Progress.Step("copy locked inputs", result.Bytes)
	const atOnce = 4
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, it := range items {
		group.Go(func() error {
			if err := c.copy(ctx, it); err != nil {
				return fmt.Errorf("%s: %w", it.name, err)
			}
			step.Add(it.file.Size)
			return nil
		})
	}
	err := group.Wait()
	step.Done(err)
	return result, err
}

// copy puts one blob into the folder, unless it is there.
func (c Config) copy(ctx context.Context, it item) error {
	target := filepath.Join(c.Dir, blobsFolder, it.file.Digest.Hex())
	if check(ctx, target, it.file) == nil {
		return nil
	}
	path, err := it.bring(ctx)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return cmp.Or(err, fmt.Errorf("%s: want a regular file", path))
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := durable.Create(filepath.Dir(target))
	if err != nil {
		return err
	}
	defer to.Discard()
	if _, err := io.Copy(to, untilDone{ctx, io.LimitReader(from, it.file.Size+1)}); err != nil {
		return err
	}
	// What was copied is checked, not what was read: a file of the host may
	// have changed since it was locked.
	if err := check(ctx, to.Name(), it.file); err != nil {
		return err
	}
	return to.Commit(target, 0o644)
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r untilDone) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// removeOthers removes blobs that the lock does not name.
func (c Config) removeOthers(items map[manifests.Digest]item) (int, error) {
	entries, err := os.ReadDir(filepath.Join(c.Dir, blobsFolder))
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, entry := range entries {
		digest, err := manifests.ParseDigest("sha256:" + entry.Name())
		if _, wanted := items[digest]; err == nil && wanted {
			continue
		}
		if err := os.Remove(filepath.Join(c.Dir, blobsFolder, entry.Name())); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// check compares a file with what it should be.
func check(ctx context.Context, path string, want manifests.FetchFile) error {
	size, sum, err := sparse.Digest(ctx, path, nil)
	switch {
	case err != nil:
		return err
	case size != want.Size || manifests.Digest(sum) != want.Digest:
		return fmt.Errorf("%d bytes with digest %s: the lock says %d bytes, %s", size, manifests.Digest(sum), want.Size, want.Digest)
	}
	return nil
}
