// Package hostfs is the updater's only way to write: a file system whose
// writes, renames, removals and syncs are single calls, so that a test can
// record them, replay any prefix of them and ask what a power cut would have
// left.
//
// OS is the real one. Nothing here decides when to sync: that is the caller's
// order of writes.
package hostfs

import (
	"fmt"
	"io"
)

// File is an open file or block device, or a section of one.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the length in bytes.
	Size() (int64, error)
	// Sync returns once everything written through this File is on the medium.
	Sync() error
	// Push asks the kernel to start writing n bytes from off back. It is a hint
	// for speed and makes nothing durable.
	Push(off, n int64)
	// Drop forgets the cached content of n bytes from off, so that the next read
	// comes from the medium. Only synced content can be dropped.
	Drop(off, n int64) error
}

// FS is the operations of a file system that the updater needs. Names are
// paths of the host.
type FS interface {
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWritable opens an existing file or block device for reading and writing.
	OpenWritable(name string) (File, error)
	// Create makes an empty file, or empties an existing one.
	Create(name string) (File, error)
	// Mkdir makes a folder in an existing one; that it exists is no error.
	Mkdir(name string) error
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes renames and removals in a folder durable.
	SyncDir(name string) error
	// SyncFS makes everything on the file system that holds name durable.
	SyncFS(name string) error
	// WriteVariable stores content with exactly one write(2), as efivarfs demands.
	WriteVariable(name string, content []byte) error
	// RemoveVariable removes a file of efivarfs.
	RemoveVariable(name string) error
	// List names the entries of a folder, sorted.
	List(dir string) ([]string, error)
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, 0, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("reading %s: more than %d bytes", name, limit)
	}
	return content, nil
}

// Section is the size bytes of f from start on. It refuses to read or write
// outside of them. Closing it closes f.
func Section(f File, start, size int64) File {
	return &section{File: f, start: start, size: size}
}

type section struct {
	File
	start, size int64
}

func (s *section) Size() (int64, error) { return s.size, nil }

func (s *section) ReadAt(p []byte, off int64) (int, error) {
	return io.NewSectionReader(s.File, s.start, s.size).ReadAt(p, off)
}

func (s *section) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.size || int64(len(p)) > s.size-off {
		return 0, fmt.Errorf("writing %d bytes at %d: outside of a partition of %d bytes", len(p), off, s.size)
	}
	return s.File.WriteAt(p, s.start+off)
}

func (s *section) Push(off, n int64)       { s.File.Push(s.start+off, n) }
func (s *section) Drop(off, n int64) error { return s.File.Drop(s.start+off, n) }
