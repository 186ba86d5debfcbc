package cache

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
)

// ErrContent is wrapped by the error of a blob that came in full but is not
// the one that was asked for.
var ErrContent = errors.New("content differs from its digest")

// Bring writes a blob to the file partial, which may hold the start of it from
// an earlier attempt, and may be absent. What it leaves there when it fails is
// what the next attempt finds.
type Bring func(ctx context.Context, partial string) error

// Blob is where the blob with the given digest is, if it is there.
func (c *Cache) Blob(d manifests.Digest) (path string, ok bool) {
	ctx := context.Background()
	path, err := c.find(d, -1)
	if _, foreign := c.Foreign(d); errors.Is(err, fs.ErrNotExist) && foreign {
		path, err = c.Fill(ctx, manifests.FetchFile{Size: -1, Digest: d}, func(context.Context, string) error { return fs.ErrNotExist })
	}
	return path, err == nil
}

// Fill returns the path of a blob, which it has brought first if it is not
// there. It checks size and digest of what bring brought. Of several callers,
// also in other processes, one brings it and the others wait.
func (c *Cache) Fill(ctx context.Context, want manifests.FetchFile, bring Bring) (path string, err error) {
	path, err = c.find(want.Digest, want.Size)
	if !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	release, err := c.hold(ctx, want.Digest.Hex())
	if err != nil {
		return "", err
	}
	defer release()
	path, err = c.find(want.Digest, want.Size)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = c.take(ctx, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	_, err = c.bring(ctx, want.Digest.Hex(), want.Size, nil, want.Digest[:], bring)
	return c.blobPath(want.Digest), err
}

// FillBy is Fill for a blob of which another checksum may be known; it returns
// the digest, too.
func (c *Cache) FillBy(ctx context.Context, by packages.Checksum, size int64, bring Bring) (path string, d manifests.Digest, err error) {
	digits, ok := strings.CutPrefix(string(by), "sha512:")
	if !ok {
		if d, err = manifests.ParseDigest(string(by)); err != nil {
			return "", d, err
		}
		path, err = c.Fill(ctx, manifests.FetchFile{Size: size, Digest: d}, bring)
		return path, d, err
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha512.Size || hex.EncodeToString(sum) != digits {
		return "", d, fmt.Errorf("checksum %.80q: want sha512: and 128 lower-case hex digits", string(by))
	}
	release, err := c.hold(ctx, digits)
	if err != nil {
		return "", d, err
	}
	defer release()
	alias := filepath.Join(c.dir, aliases, digits)
	if d, err = readAlias(alias); err == nil {
		path, err = c.find(d, size)
		if !errors.Is(err, fs.ErrNotExist) {
			used(alias)
			return path, d, err
		}
	}
	if d, err = c.bring(ctx, digits, size, sha512.New(), sum, bring); err != nil {
		return "", d, err
	}
	if err := durable.WriteFile(alias, []byte(d.String()+"\n"), 0o644); err != nil {
		return "", d, fmt.Errorf("noting a checksum in the cache: %w", err)
	}
	return c.blobPath(d), d, nil
}

func readAlias(path string) (manifests.Digest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return manifests.Digest{}, err
	}
	return manifests.ParseDigest(strings.TrimSuffix(string(text), "\n"))
}

// find is where the blob is; size may be -1. The error is fs.ErrNotExist where
// it has to be brought.
func (c *Cache) find(d manifests.Digest, size int64) (string, error) {
	path := c.blobPath(d)
	switch got, err := statRegular(path); {
	case err != nil:
		return "", err
	case size >= 0 && got != size:
		// No interruption leaves that, but a damaged file system may.
		return "", fmt.Errorf("blob %s of %d bytes: want %d: %w", d, got, size, fs.ErrNotExist)
	}
	used(path)
	return path, nil
}

// bring has the blob brought and gives it its name. Its key is held. A check
// that is nil is the SHA-256 that is computed anyway.
func (c *Cache) bring(ctx context.Context, key string, size int64, check hash.Hash, want []byte, bring Bring) (manifests.Digest, error) {
	path := filepath.Join(c.dir, partial, key)
	before, err := statRegular(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || before > size {
		if err := os.RemoveAll(path); err != nil {
			return manifests.Digest{}, fmt.Errorf("cache: %w", err)
		}
		before = 0
	}
	d, err := c.bringOnce(ctx, path, size, check, want, bring)
	if before > 0 && errors.Is(err, ErrContent) && ctx.Err() == nil {
		// It was built upon the start of something else.
		if check != nil {
			check.Reset()
		}
		d, err = c.bringOnce(ctx, path, size, check, want, bring)
	}
	return d, err
}

func (c *Cache) bringOnce(ctx context.Context, path string, size int64, check hash.Hash, want []byte, bring Bring) (d manifests.Digest, err error) {
	if err := bring(ctx, path); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			os.RemoveAll(path) // the space is needed more than its start
		}
		return d, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return d, fmt.Errorf("opening what was brought to the cache: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	to := io.Writer(sum)
	if check == nil {
		check = sum
	} else {
		to = io.MultiWriter(sum, check)
	}
	if err := copyTo(ctx, to, file); err != nil {
		return d, fmt.Errorf("reading %s: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return d, err
	}
	if got := check.Sum(nil); info.Size() != size || string(got) != string(want) {
		os.Remove(path)
		return d, fmt.Errorf("%d bytes with checksum %x: want %d with %x: %w", info.Size(), got, size, want, ErrContent)
	}
	d = manifests.Digest(sum.Sum(nil))
	return d, commit(file, c.blobPath(d))
}

// commit syncs file, which is in the cache's file system, and gives it its
// final name.
func commit(file *os.File, path string) error {
	err := file.Chmod(0o444)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = durable.SyncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("keeping a blob in the cache: %w", err)
	}
	return nil
}

// copyTo is io.Copy that ends when ctx does.
func copyTo(ctx context.Context, w io.Writer, r io.Reader) error {
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buffer)
		if _, werr := w.Write(buffer[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
