package installer

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/proa-os/proa/updater/hostfs"
)

// GoneError says that the disk did not do what it was told: it was pulled out, or is
// broken.
type GoneError struct {
	Disk    string
	Written bool // something had been written already
	Err     error
}

func (e *GoneError) Error() string { return fmt.Sprintf("disk %s: %v", e.Disk, e.Err) }

// Unwrap is the cause.
func (e *GoneError) Unwrap() error { return e.Err }

// target is the disk that is written. It tells its own failures from those of where
// the release comes from.
type target struct {
	hostfs.File
	path    string
	written *bool
}

// ReadAt implements io.ReaderAt.
func (t target) ReadAt(p []byte, off int64) (int, error) {
	n, err := t.File.ReadAt(p, off)
	return n, t.explain(err)
}

// WriteAt implements io.WriterAt.
func (t target) WriteAt(p []byte, off int64) (int, error) {
	*t.written = true
	n, err := t.File.WriteAt(p, off)
	return n, t.explain(err)
}

// Sync implements hostfs.File.
func (t target) Sync() error { return t.explain(t.File.Sync()) }

// Drop implements hostfs.File.
func (t target) Drop(off, n int64) error { return t.explain(t.File.Drop(off, n)) }

func (t target) explain(err error) error {
	if err == nil {
		return nil
	}
	// The node of a disk that was pulled out stays open, and has no bytes any more:
	// reads end, and writes find no space.
	size, sizeErr := t.File.Size()
	gone := sizeErr == nil && size == 0
	for _, sign := range []error{syscall.EIO, syscall.ENXIO, syscall.ENODEV, io.ErrShortWrite} {
		gone = gone || errors.Is(err, sign)
	}
	if gone {
		return &GoneError{t.path, *t.written, err}
	}
	return err
}
