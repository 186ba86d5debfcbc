package extensions

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/updater/hostfs"
)

// syncEach is how much is written between two syncs, in bytes.
const syncEach = 16 << 20

// Fetch brings an image into the folder from the first of the origins that has it;
// the last one is asked whatever it did before. What an attempt before has left is
// gone on with, and begun anew when the whole proves wrong. The error is that of
// the last origin, or wraps fetch.ErrContent. When the disk is full, what there is of the
// image is removed.
func (s Store) Fetch(ctx context.Context, file manifests.FetchFile, origins []Origin, done func(n int64)) error {
	if err := s.FS.Mkdir(s.Dir); err != nil {
		return err
	}
	err := errors.New("nobody has it")
	for i, origin := range origins {
		if !origin.Usable() && i < len(origins)-1 {
			continue
		}
		if err = s.fetchFrom(ctx, file, origin, done); err == nil {
			return s.finish(file)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var local *localError
		if errors.As(err, &local) {
			return errors.Join(local.error, s.remove(s.partial(file.Digest)))
		}
		origin.Failed(err)
	}
	return err
}

// localError is one of the file system here, which no other origin helps with.
type localError struct{ error }

// fetchFrom fetches what lacks. Bytes of before that prove wrong cost one more
// attempt; those that came just now are the origin's fault.
func (s Store) fetchFrom(ctx context.Context, file manifests.FetchFile, origin Origin, done func(n int64)) error {
	for {
		f, have, sum, err := s.open(file)
		if err != nil {
			return &localError{err}
		}
		done(have)
		err = appendTo(ctx, f, have, file.Size, sum, origin, done)
		f.Close()
		if err != nil {
			done(-have)
			return err
		}
		if manifests.Digest(sum.Sum(nil)) == file.Digest {
			return nil
		}
		done(-file.Size)
		if err := s.remove(s.partial(file.Digest)); err != nil {
			return &localError{err}
		}
		if have == 0 {
			return fmt.Errorf("%s: %w", file.Digest, fetch.ErrContent)
		}
	}
}

// open opens what there is of an image, which sum has read.
func (s Store) open(file manifests.FetchFile) (f hostfs.File, have int64, sum hash.Hash, err error) {
	path := s.partial(file.Digest)
	f, err = s.FS.OpenWritable(path)
	if err == nil {
		if have, err = f.Size(); err == nil && have <= file.Size {
			if sum, err = hashOf(f, have); err == nil {
				return f, have, sum, nil
			}
		}
		f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil, err
	}
	if f, err = s.FS.Create(path); err != nil {
		return nil, 0, nil, err
	}
	sum, err = hashOf(f, 0)
	return f, 0, sum, err
}

func appendTo(ctx context.Context, f hostfs.File, at, size int64, sum hash.Hash, origin Origin, done func(n int64)) error {
	if at < size {
		stream := origin.Range(ctx, at, size)
		defer stream.Close()
		buffer := make([]byte, 1<<20)
		for synced := at; at < size; {
			n, err := io.ReadFull(stream, buffer[:min(int64(len(buffer)), size-at)])
			if n > 0 {
				if _, err := f.WriteAt(buffer[:n], at); err != nil {
					return &localError{err}
				}
				sum.Write(buffer[:n])
				at += int64(n)
				done(int64(n))
			}
			if err != nil {
				return err
			}
			if at-synced >= syncEach {
				if err := f.Sync(); err != nil {
					return &localError{err}
				}
				synced = at
			}
		}
	}
	if err := f.Sync(); err != nil {
		return &localError{err}
	}
	return nil
}

// finish gives an image that is whole its name.
func (s Store) finish(file manifests.FetchFile) error {
	if err := s.FS.Rename(s.partial(file.Digest), s.Path(file.Digest)); err != nil {
		return err
	}
	return s.syncFolder()
}
