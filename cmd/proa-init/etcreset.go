package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// resetMost bounds the list of changes to take back, in bytes.
const resetMost = 1 << 20

// takeBack removes from the layer of /etc, which is not mounted yet, what
// proa-agent has put on the list for this boot: paths relative to /etc, each
// ended by a NUL. A list that was not finished is begun again.
func takeBack(folder string) error {
	name := filepath.Join(folder, "reset")
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > resetMost {
		return fmt.Errorf("%s: want a file of at most %d bytes", name, resetMost)
	}
	list, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	upper, err := os.OpenRoot(filepath.Join(folder, "upper"))
	if err != nil {
		return err
	}
	defer upper.Close()
	var faults []error
	for path := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		// The root keeps it inside, whatever is linked where.
		if err := upper.RemoveAll(path); err != nil {
			faults = append(faults, err)
		}
	}
	if err := syncFolder(folder); err != nil {
		return errors.Join(append(faults, err)...)
	}
	faults = append(faults, os.Remove(name), syncFolder(folder))
	return errors.Join(faults...)
}

// syncFolder makes everything on the file system of a folder durable.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", folder, err)
	}
	return nil
}
