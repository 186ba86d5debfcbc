package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pruning says what Prune removes. The zero value removes nothing.
type Pruning struct {
	All      bool
	NotSince time.Time // what was not used since then; the zero time for none
	To       int64     // what was used the longest ago, until so many bytes are left,
	Bounded  bool      // if this is set
	Waiting  func()    // called once when others use the cache. Optional.
}

// Prune removes entries, and returns them. It waits until no other process, and
// no other Cache, uses the folder; meanwhile Open waits for it.
func (c *Cache) Prune(ctx context.Context, p Pruning) (removed []Item, err error) {
	return c.prune(ctx, p.Waiting, p.choose)
}

func (c *Cache) prune(ctx context.Context, waiting func(), choose func([]Item) []Item) (removed []Item, err error) {
	defer func() { err = errors.Join(err, flock(c.lock, unix.LOCK_SH)) }()
	// Two that prune and keep their shared lock would wait for each other.
	if err := flock(c.lock, unix.LOCK_UN); err != nil {
		return nil, fmt.Errorf("unlocking the cache %s: %w", c.dir, err)
	}
	if err := waitFlock(ctx, c.lock, waiting); err != nil {
		return nil, fmt.Errorf("waiting for others that use the cache %s: %w", c.dir, err)
	}
	items, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, item := range choose(items) {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		if err := os.Remove(item.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("pruning the cache: %w", err)
		}
		removed = append(removed, item)
	}
	return removed, c.sweep()
}

func (p Pruning) choose(items []Item) []Item {
	slices.SortStableFunc(items, func(a, b Item) int { return a.LastUse.Compare(b.LastUse) })
	var left int64
	for _, item := range items {
		left += item.Size
	}
	var chosen []Item
	for _, item := range items {
		if p.All || item.LastUse.Before(p.NotSince) || p.Bounded && left > p.To {
			chosen = append(chosen, item)
			left -= item.Size
		}
	}
	return chosen
}

// sweep removes what belongs to nothing any more: locks of the killed, other
// checksums of blobs that are gone, kinds of which there is no archive.
func (c *Cache) sweep() error {
	var errs []error
	each := func(folder string, goes func(path string) bool) {
		entries, err := os.ReadDir(filepath.Join(c.dir, folder))
		errs = append(errs, err)
		for _, entry := range entries {
			if path := filepath.Join(c.dir, folder, entry.Name()); goes(path) {
				errs = append(errs, os.Remove(path))
			}
		}
	}
	each(locks, func(string) bool { return true })
	each(aliases, func(path string) bool {
		d, err := readAlias(path)
		if err == nil {
			_, err = os.Stat(c.blobPath(d))
		}
		return err != nil
	})
	each(unpacked, func(path string) bool {
		entries, err := os.ReadDir(path)
		return err == nil && len(entries) == 0
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pruning the cache: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}
