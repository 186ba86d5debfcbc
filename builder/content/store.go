// Package content keeps the contents of one build's files while the build
// runs. The tree refers to them; nothing is unpacked to the host under a name.
//
// Files that can be read in place are opened through the store (Open) and stay
// where they are. Everything else is copied once (Spool) into one temporary
// file that has no name, so that no way of dying leaves it behind. Streams are
// expanded (Expand) within bounds, those of the store or others.
//
// Close the store when the build has ended; contents are not readable then.
package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/proa-os/proa/builder/tree"
)

// Limits bound the contents of a build.
type Limits struct {
	Spool    int64 // bytes in the temporary file
	Expanded int64 // bytes that one stream may expand to
	Ratio    int64 // expanded bytes for each compressed byte,
	Free     int64 // which is not looked at below this many expanded bytes
}

// DefaultLimits are far above any operating system: 64 GiB, 200-fold expansion
// beyond the first 256 MiB.
func DefaultLimits() Limits {
	return Limits{Spool: 64 << 30, Expanded: 64 << 30, Ratio: 200, Free: 256 << 20}
}

// CheckExpansion refuses expanded bytes that came from so few compressed ones
// that they can only be meant to fill the disk.
func (l Limits) CheckExpansion(compressed, expanded int64) error {
	if expanded > l.Expanded {
		return fmt.Errorf("expands to more than %d bytes", l.Expanded)
	}
	if expanded > l.Free && expanded/l.Ratio > compressed {
		return fmt.Errorf("%d bytes expand to %d, more than %d-fold", compressed, expanded, l.Ratio)
	}
	return nil
}

const bufferSize = 1 << 20

// Store keeps contents. One goroutine at a time can Spool, while others wait;
// contents can be read at any time.
type Store struct {
	limits Limits
	file   *os.File
	// file is not the store's to close
	borrowed bool

	spooling sync.Mutex // held by one Spool

	mu      sync.Mutex // guards what follows, against readers of what is still in memory
	pending []byte     // not yet in file; behind what is
	opened  []*os.File

	written atomic.Int64 // bytes in file
}

// New makes a store whose temporary file is in the folder dir and is bounded
// by DefaultLimits.
func New(dir string) (*Store, error) { return NewBounded(dir, DefaultLimits()) }

// NewBounded is New with other limits.
func NewBounded(dir string, limits Limits) (*Store, error) {
	file, err := openUnnamed(dir)
	if err != nil {
		return nil, fmt.Errorf("making a temporary file in %s: %w", dir, err)
	}
	return &Store{limits: limits, file: file, pending: make([]byte, 0, bufferSize)}, nil
}

// NewOn is NewBounded with the file to spool to, which is empty and stays what
// it is: what is spooled lies in it from offset 0 on, see Offset. The store
// does not close it. It is taken for a file that will be synced, and goes to the
// disk while more is spooled.
func NewOn(file *os.File, limits Limits) *Store {
	return &Store{limits: limits, file: file, borrowed: true, pending: make([]byte, 0, bufferSize)}
}

// Flush writes what is still in memory to the file, and returns the bytes that
// are in it.
func (s *Store) Flush() (int64, error) {
	s.spooling.Lock()
	defer s.spooling.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.flush()
	return s.written.Load(), err
}

// Offset says where in the file c is, if it was spooled here.
func (s *Store) Offset(c tree.Content) (int64, bool) {
	at, here := c.At.(*spool)
	return c.Offset, here && at == (*spool)(s)
}

// Limits are the limits that the store was made with.
func (s *Store) Limits() Limits { return s.limits }

// Close frees the temporary file and closes what Open opened.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if !s.borrowed {
		errs = append(errs, s.file.Close())
	}
	for _, file := range s.opened {
		errs = append(errs, file.Close())
	}
	s.opened = nil
	return errors.Join(errs...)
}

// Open opens a file that contents will refer to in place. It must not change
// before the store is closed.
func (s *Store) Open(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, file)
	return file, nil
}

// Spool copies r to its end into the temporary file.
func (s *Store) Spool(ctx context.Context, r io.Reader) (tree.Content, error) {
	s.spooling.Lock()
	defer s.spooling.Unlock()
	start := s.written.Load() + int64(len(s.pending))
	size := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return tree.Content{}, err
		}
		// Readers look at what is before the end of pending only, so that the
		// space behind it can be filled without the lock.
		n, err := r.Read(s.pending[len(s.pending):cap(s.pending)])
		size += int64(n)
		if err := s.accept(n); err != nil {
			return tree.Content{}, err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return tree.Content{}, err
		}
	}
	if size == 0 {
		return tree.Content{}, nil
	}
	return tree.Content{At: (*spool)(s), Offset: start, Size: size}, nil
}

// accept takes over n bytes that were read behind the end of pending.
func (s *Store) accept(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written.Load()+int64(len(s.pending)+n) > s.limits.Spool {
		return fmt.Errorf("contents of more than %d bytes to keep", s.limits.Spool)
	}
	s.pending = s.pending[:len(s.pending)+n]
	if len(s.pending) < cap(s.pending) {
		return nil
	}
	return s.flush()
}

// flush is called with mu held.
func (s *Store) flush() error {
	if _, err := s.file.WriteAt(s.pending, s.written.Load()); err != nil {
		return fmt.Errorf("writing a temporary file in %s: %w", s.file.Name(), err)
	}
	if s.borrowed {
		writeEarly(s.file, s.written.Load(), int64(len(s.pending)))
	}
	s.written.Add(int64(len(s.pending)))
	s.pending = s.pending[:0]
	return nil
}

// spool reads what a Store has spooled.
type spool Store

// ReadAt implements io.ReaderAt.
func (p *spool) ReadAt(b []byte, offset int64) (int, error) {
	s := (*Store)(p)
	if offset+int64(len(b)) <= s.written.Load() {
		return s.file.ReadAt(b, offset)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	written := s.written.Load()
	if offset < written {
		var err error
		if n, err = s.file.ReadAt(b[:min(int64(len(b)), written-offset)], offset); err != nil {
			return n, err
		}
	}
	if n == len(b) { // the rest was written just now
		return n, nil
	}
	if from := offset + int64(n) - written; from < int64(len(s.pending)) {
		n += copy(b[n:], s.pending[from:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
