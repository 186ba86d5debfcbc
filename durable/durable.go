// Package durable writes files so that a cut of power or a kill leaves the
// old file or the new one, and never a part.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix marks files that nobody has committed; see Clean.
const tempPrefix = ".proa-tmp-"

// File is a file being written beside its final place.
type File struct {
	*os.File
	ended bool
}

// Create begins a file in folder under a temporary name. End it with Commit or
// Discard.
func Create(folder string) (*File, error) {
	f, err := os.CreateTemp(folder, tempPrefix+"*")
	if err != nil {
		return nil, err
	}
	return &File{File: f}, nil
}

// Commit syncs the file, gives it its mode, renames it to path and syncs
// path's folder. Path must be on the same file system.
func (f *File) Commit(path string, mode fs.FileMode) (err error) {
	defer func() {
		if err != nil {
			f.Discard()
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	f.ended = true
	return SyncFolder(filepath.Dir(path))
}

// Discard removes the file unless Commit has succeeded, so it may be deferred.
func (f *File) Discard() {
	if f.ended {
		return
	}
	f.ended = true
	f.Close()
	os.Remove(f.Name())
}

// WriteFile replaces path's content in one step.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	f, err := Create(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Commit(path, mode)
}

// MakeFolder makes path and its missing parents, each durable.
func MakeFolder(path string) error {
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is not a folder", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MakeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncFolder(parent)
}

// SyncFolder makes the names in folder durable.
func SyncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Clean removes what interrupted writers left under folder, at any depth. Call
// it only while no other writer can be at work.
func Clean(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || path == folder || !IsTemp(entry.Name()) {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// IsTemp reports whether a file or folder of that name is one that Clean would
// remove.
func IsTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// TempFolder makes a folder inside folder that Clean would remove.
func TempFolder(folder string) (string, error) { return os.MkdirTemp(folder, tempPrefix+"*") }
