package bootcontrol

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/hostfs"
)

// entries is the folder of the loader's entries on a boot partition. All of it
// is the updater's.
type entries struct {
	fs    hostfs.FS
	mount string // the folder where the boot partition is mounted
}

// entry is a file in the folder.
type entry struct {
	esp.Entry
	file  string // its name as it is
	exact bool   // Entry is what name and content say, to the byte
}

func (e entry) isTrial(committed partitions.Slot) bool {
	return e.exact && !e.Proof && e.Committed == committed
}

func (d entries) folder() string {
	return filepath.Join(d.mount, filepath.FromSlash(esp.EntriesFolder))
}

// list is everything in the folder, which may be missing.
func (d entries) list() ([]entry, error) {
	names, err := d.fs.List(d.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	list := make([]entry, len(names))
	for i, name := range names {
		list[i].file = name
		e, err := esp.ParseEntry(name)
		if err != nil {
			continue // such as a short name that has lost its long one
		}
		// One that cannot be read is none for the loader either.
		content, err := hostfs.ReadFile(d.fs, filepath.Join(d.folder(), name), int64(len(e.Content())))
		list[i].Entry, list[i].exact = e, err == nil && bytes.Equal(content, e.Content())
	}
	return list, nil
}

// create makes an entry, which the loader passes over until it is complete.
func (d entries) create(e esp.Entry) error {
	if err := d.makeFolder(); err != nil {
		return err
	}
	path := filepath.Join(d.folder(), e.Name())
	f, err := d.fs.Create(path)
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt(e.Content(), 0); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	if err := d.sync(d.folder()); err != nil {
		return err
	}
	if err := f.Drop(0, int64(len(e.Content()))); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	back, err := hostfs.ReadFile(d.fs, path, int64(len(e.Content())))
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	if !bytes.Equal(back, e.Content()) {
		return fmt.Errorf("the boot partition did not keep %s as it was written", e.Name())
	}
	return nil
}

func (d entries) makeFolder() error {
	if _, err := d.fs.List(d.folder()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.fs.Mkdir(d.folder()); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	return d.sync(filepath.Dir(d.folder()))
}

// prove asks for a proof that the firmware counts. One that is there, or asked
// for already, stays.
func (d entries) prove(committed partitions.Slot) error {
	found, err := d.list()
	if err != nil {
		return err
	}
	pending := func(e entry) bool { return e.exact && e.Proof && e.Committed == committed && e.Left > 0 }
	for _, e := range found {
		if pending(e) {
			return nil
		}
	}
	if proven(found) {
		return nil
	}
	// What is left is the other slot's, and was asked for before this one led.
	if err := d.clean(func(e entry) bool { return !e.Proof }); err != nil {
		return err
	}
	return d.create(esp.Entry{Proof: true, Committed: committed, Left: 1})
}

// clean removes the files that are not to be kept. It syncs even when there
// are none: a killed run may have ended before its sync.
func (d entries) clean(keep func(entry) bool) error {
	unwanted := func() (names []string, err error) {
		found, err := d.list()
		for _, e := range found {
			if !keep(e) {
				names = append(names, e.file)
			}
		}
		return names, err
	}
	names, err := unwanted()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.fs.Remove(filepath.Join(d.folder(), name)); err != nil {
			return fmt.Errorf("boot partition: %w", err)
		}
	}
	if _, err := d.fs.List(d.folder()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.sync(d.folder()); err != nil {
		return err
	}
	if left, err := unwanted(); err != nil || len(left) > 0 {
		return fmt.Errorf("boot partition: %v still there after they were removed: %w", left, errors.Join(err, fs.ErrExist))
	}
	return nil
}

func (d entries) sync(folder string) error {
	if err := d.fs.SyncDir(folder); err != nil {
		return fmt.Errorf("boot partition: syncing %s: %w", folder, err)
	}
	if err := d.fs.SyncFS(d.mount); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	return nil
}
