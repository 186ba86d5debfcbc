package repository

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// exportingPrefix begins the names of folders that exports are made in.
const exportingPrefix = ".proa-export-"

// exporting is a folder that an export is made in, beside where it will be. Who
// made it holds a lock on it, which ends with the process.
type exporting struct {
	path string
	lock *os.File
}

// newExporting makes one in folder, and removes those that killed exports left
// there.
func newExporting(folder string) (*exporting, error) {
	if err := sweepExporting(folder); err != nil {
		return nil, err
	}
	for {
		path, err := os.MkdirTemp(folder, exportingPrefix+"*")
		if err != nil {
			return nil, err
		}
		e := &exporting{path: path}
		// Another export may sweep it before it is locked; then this is done again.
		ours, err := e.hold()
		if err == nil && ours {
			return e, nil
		}
		e.Remove()
		if err != nil {
			return nil, err
		}
	}
}

// hold locks the folder, and reports whether that was in time.
func (e *exporting) hold() (ours bool, err error) {
	e.lock, err = os.Open(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = unix.Flock(int(e.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return false, nil
	case err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOLCK):
		return false, err // a file system without locks is one on which nobody sweeps
	}
	locked, err := e.lock.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(e.path)
	return err == nil && os.SameFile(locked, named), nil
}

// Remove removes the folder and what is left in it.
func (e *exporting) Remove() error {
	err := os.RemoveAll(e.path)
	if e.lock != nil {
		e.lock.Close()
	}
	return err
}

// sweepExporting removes what nobody has locked.
func sweepExporting(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), exportingPrefix) {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		lock, err := os.Open(path)
		if err != nil {
			continue // somebody else's, or gone
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.RemoveAll(path)
		}
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
