// Package cache keeps what builds have brought and unpacked, by digest, for the
// next build: blobs (Fill) and what an archive holds (Unpacked). It is one
// folder, used by any number of processes at once:
//
//	blobs/sha256/HEX   whole blobs, as in an OCI layout
//	sha512/HEX         the SHA-256 of what has that SHA-512
//	unpacked/KIND/HEX  the files of the archive with that digest: see encode
//	partial/HEX        downloads that have not ended
//	locks/KEY          held by who is bringing or unpacking something
//	lock               shared by all that use the folder; alone for Prune
//
// Nothing has its final name before it is whole, checked and on the disk, so
// that neither a kill nor a cut of power leaves something to be mistaken. After
// that it is believed: who can write to the folder can change what is built.
// Verify checks it all again. Nothing here touches the network.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

// DefaultDir is the folder of this user's cache: $PROA_CACHE, or proa in
// $XDG_CACHE_HOME, or ~/.cache/proa.
func DefaultDir() (string, error) {
	if dir := os.Getenv("PROA_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for the cache: %w", err)
	}
	return filepath.Join(dir, "proa"), nil
}

// ErrOffline is the error of those who bring what is not in the cache when they
// must not use the network.
var ErrOffline = errors.New("not in the cache, and the network is not to be used")

// Cache is an open cache. It may be used by several goroutines at once.
type Cache struct {
	dir   string
	lock  *os.File
	busy  keys
	files files

	mu       sync.Mutex // guards what follows
	readOnly []string
}

const (
	blobs    = "blobs/sha256"
	aliases  = "sha512"
	unpacked = "unpacked"
	partial  = "partial"
	locks    = "locks"
)

// Open opens the cache in the folder dir, which it makes where that is missing.
// While a cache is open, nothing is removed from it; Open waits for a Prune
// that is at work.
func Open(dir string) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	for _, folder := range []string{"", blobs, aliases, unpacked, partial, locks} {
		if err := durable.MakeFolder(filepath.Join(dir, folder)); err != nil {
			return nil, fmt.Errorf("making the cache: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	c := &Cache{dir: dir, lock: lock}
	if err := c.enter(); err != nil {
		lock.Close()
		return nil, err
	}
	return c, nil
}

// enter takes the lock, and removes what was killed in the middle where nobody
// else can be in the middle of something.
func (c *Cache) enter() error {
	if err := flock(c.lock, unix.LOCK_EX|unix.LOCK_NB); err == nil {
		if err := durable.Clean(c.dir); err != nil {
			return fmt.Errorf("tidying the cache: %w", err)
		}
	}
	if err := flock(c.lock, unix.LOCK_SH); err != nil {
		return fmt.Errorf("locking the cache %s: %w", c.dir, err)
	}
	return nil
}

// Close ends the use of the cache. Contents that it gave out are not readable
// then.
func (c *Cache) Close() error {
	return errors.Join(c.files.close(), c.lock.Close())
}

// Dir is the cache's folder, an absolute path.
func (c *Cache) Dir() string { return c.dir }

// AddReadOnly adds an OCI layout, or any folder with blobs/sha256/HEX, whose
// blobs are taken before any is brought. It is never written to. It is foreign:
// each blob is copied into the cache, and checked there.
func (c *Cache) AddReadOnly(dir string) error {
	info, err := os.Stat(filepath.Join(dir, blobs))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", filepath.Join(dir, blobs))
	}
	if err != nil {
		return fmt.Errorf("blobs to build from: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readOnly = append(c.readOnly, dir)
	return nil
}

func (c *Cache) blobPath(d manifests.Digest) string { return filepath.Join(c.dir, blobs, d.Hex()) }

// statRegular is the size of the file at path. What is no regular file is an
// error, and so is what is not there: fs.ErrNotExist.
func statRegular(path string) (int64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, &fs.PathError{Op: "open", Path: path, Err: errors.New("want a regular file")}
	}
	return info.Size(), nil
}

// used notes that the file at path was used now. That it could not be noted
// does no harm.
func used(path string) {
	now := unix.Timespec{Nsec: unix.UTIME_NOW}
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{now, now}, 0)
}

// hold waits until nobody else, here or in another process, holds key.
func (c *Cache) hold(ctx context.Context, key string) (release func(), err error) {
	leave, err := c.busy.hold(ctx, key)
	if err != nil {
		return nil, err
	}
	file, err := lockFile(ctx, filepath.Join(c.dir, locks, key))
	if err != nil {
		leave()
		return nil, fmt.Errorf("locking %s in the cache: %w", key, err)
	}
	return func() {
		// Removed while it is still held: see lockFile.
		os.Remove(file.Name())
		file.Close()
		leave()
	}, nil
}
