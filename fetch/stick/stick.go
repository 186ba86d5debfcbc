// Package stick reads a repository that came without a network: a folder, or one
// tar file, such as 'proa repo export' writes onto a USB stick.
//
// Open looks at it; a Stick then answers requests for the files of the
// repository as a web server would, ranges included. It adds no trust: whoever
// uses the bytes checks them.
package stick

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/regular"
)

// ErrNotRepository is wrapped by the error of what holds no repository.
var ErrNotRepository = errors.New("it holds no repository")

const timestamp = "metadata/timestamp.json"

// Stick is a repository in a folder or a tar file. It is safe for concurrent
// use.
type Stick struct {
	path string // absolute and clean
	// Of a folder.
	root *os.Root
	// Of a tar file.
	file    *os.File
	entries map[string]entry
}

// File is an open file of a repository.
type File struct {
	*io.SectionReader
	tag    string // differs when the file is another one
	closer io.Closer
}

// Close ends the use of the file.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Open opens the folder or the tar file at path, which must hold a repository's
// timestamp. Close it.
func Open(path string) (*Stick, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &Stick{path: absolute}
	info, err := os.Stat(absolute)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		s.root, err = os.OpenRoot(absolute)
	} else {
		err = s.openTar()
	}
	if err != nil {
		return nil, err
	}
	f, err := s.Open(timestamp)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w: %w", path, ErrNotRepository, err)
	}
	return s, f.Close()
}

// Close ends the use of the repository and of what is open of it.
func (s *Stick) Close() error {
	if s.root != nil {
		return s.root.Close()
	}
	return s.file.Close()
}

// URL is what the repository's files are asked for under: a file: URL.
func (s *Stick) URL() string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path)}
	return u.String()
}

// Open opens the file with a name relative to the repository, such as
// "metadata/timestamp.json". The error wraps fs.ErrNotExist when there is none.
func (s *Stick) Open(name string) (*File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if s.root == nil {
		e, ok := s.entries[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return &File{SectionReader: io.NewSectionReader(s.file, e.offset, e.size), tag: fmt.Sprintf(`"%x-%x"`, e.offset, e.size)}, nil
	}
	file, info, err := regular.Check(s.root.OpenFile(name, regular.Flags, 0))
	if err != nil {
		return nil, err
	}
	return &File{
		SectionReader: io.NewSectionReader(file, 0, info.Size()),
		tag:           fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()),
		closer:        file,
	}, nil
}
