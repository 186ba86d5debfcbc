package cache

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// mostOpen is the files that are kept open for reading; more are open only
// while more goroutines read at the same time.
const mostOpen = 64

// files keeps files open for the next read, the least recently read one being
// closed first. The zero value is ready.
type files struct {
	mu     sync.Mutex
	known  map[inode]*open
	recent list.List // of *open, the most recently read in front
	closed bool
}

// inode tells files apart; one that is open is not reused. A path may lead to
// another file later.
type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) inode {
	stat, _ := info.Sys().(*syscall.Stat_t)
	return inode{uint64(stat.Dev), stat.Ino}
}

type open struct {
	is      inode
	file    *os.File
	at      *list.Element
	readers int
}

// open opens the file at path, which must still be what it was.
func (f *files) open(path string, was fs.FileInfo) (*os.File, func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, fmt.Errorf("%s: the cache is closed: %w", path, fs.ErrClosed)
	}
	o := f.known[inodeOf(was)]
	if o == nil {
		file, err := openSame(path, was)
		if err != nil {
			return nil, nil, err
		}
		if f.known == nil {
			f.known = map[inode]*open{}
		}
		o = &open{is: inodeOf(was), file: file}
		o.at = f.recent.PushFront(o)
		f.known[o.is] = o
	}
	f.recent.MoveToFront(o.at)
	o.readers++
	f.shrink()
	return o.file, func() { f.release(o) }, nil
}

func openSame(path string, was fs.FileInfo) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	is, err := file.Stat()
	if err == nil && (!os.SameFile(was, is) || is.Size() != was.Size()) {
		err = fmt.Errorf("%s in the cache was changed while it was in use", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (f *files) release(o *open) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.readers--
	f.shrink()
}

// shrink closes what nobody reads, beyond mostOpen. It is called with mu held.
func (f *files) shrink() {
	for at := f.recent.Back(); at != nil && f.recent.Len() > mostOpen; {
		o := at.Value.(*open)
		at = at.Prev()
		if o.readers == 0 {
			f.forget(o)
		}
	}
}

func (f *files) forget(o *open) error {
	f.recent.Remove(o.at)
	delete(f.known, o.is)
	return o.file.Close()
}

func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var errs []error
	for _, o := range f.known {
		errs = append(errs, f.forget(o))
	}
	return errors.Join(errs...)
}
