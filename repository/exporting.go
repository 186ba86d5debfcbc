package repository

import (
	"errors"
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
	path, err := os.MkdirTemp(folder, exportingPrefix+"*")
	if err != nil {
		return nil, err
	}
	lock, err := os.Open(path)
	if err == nil {
		// A file system without locks is one on which nobody sweeps.
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOLCK) {
			err = nil
		}
	}
	e := &exporting{path, lock}
	if err != nil {
		e.Remove()
		return nil, err
	}
	return e, nil
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
