package bootcontrol

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/hostfs"
)

// standing is what leads and what is to be tried.
type standing struct{ committed, armed string }

// scenario is a piece of work on a machine, and what it promises.
type scenario struct {
	name string
	// before brings a new machine (a committed and running, both slots with a
	// release) to where the work begins.
	before func(c Control, boot func() error) error
	from   standing // how the machine stands then
	work   func(c Control, fs hostfs.FS) error
	to     standing // how it stands after the work
	gone   string   // the slot that has no kernel image after the work
	stays  bool     // the trial is not to be lost in between
	idle   bool     // nothing of the work has to come to stay
}

func armB(c Control, _ func() error) error { return c.Arm(partitions.SlotB) }

func tryB(c Control, boot func() error) error { return errors.Join(c.Arm(partitions.SlotB), boot()) }

func commitB(c Control, boot func() error) error {
	return errors.Join(tryB(c, boot), c.Commit(partitions.SlotB))
}

func leave(c Control, slot partitions.Slot) error {
	path, err := c.KernelPath(slot)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(path), "proa-"+slot.String()+".new"), []byte("half"), 0o600)
}

var scenarios = []scenario{
	{"arm", nil, standing{"a", ""}, func(c Control, _ hostfs.FS) error { return c.Arm(partitions.SlotB) }, standing{"a", "b"}, "", false, false},
	{"arm again", armB, standing{"a", "b"}, func(c Control, _ hostfs.FS) error { return c.Arm(partitions.SlotB) }, standing{"a", "b"}, "", false, false},
	{"arm after a trial", tryB, standing{"a", ""}, func(c Control, _ hostfs.FS) error { return c.Arm(partitions.SlotB) }, standing{"a", "b"}, "", false, false},
	{"arm the way back", commitB, standing{"b", ""}, func(c Control, _ hostfs.FS) error { return c.Arm(partitions.SlotA) }, standing{"b", "a"}, "", false, false},
	{"install", armB, standing{"a", "b"}, install, standing{"a", "b"}, "", false, false},
	{"commit", tryB, standing{"a", ""}, func(c Control, _ hostfs.FS) error { return c.Commit(partitions.SlotB) }, standing{"b", ""}, "", false, false},
	{"commit the way back", func(c Control, boot func() error) error {
		return errors.Join(commitB(c, boot), boot(), c.Arm(partitions.SlotA), boot())
	}, standing{"b", ""}, func(c Control, _ hostfs.FS) error { return c.Commit(partitions.SlotA) }, standing{"a", ""}, "", false, false},
	{"commit with the next trial armed", func(c Control, boot func() error) error {
		return errors.Join(tryB(c, boot), c.Arm(partitions.SlotB), boot(), c.Arm(partitions.SlotB))
	}, standing{"a", "b"}, func(c Control, _ hostfs.FS) error { return c.Commit(partitions.SlotB) }, standing{"b", ""}, "", false, false},
	{"roll back a pending trial", armB, standing{"a", "b"}, func(c Control, _ hostfs.FS) error { return c.Rollback() }, standing{"a", ""}, "", false, false},
	{"roll back a running trial", tryB, standing{"a", ""}, func(c Control, _ hostfs.FS) error { return c.Rollback() }, standing{"a", ""}, "", false, false},
	{"disarm", armB, standing{"a", "b"}, func(c Control, _ hostfs.FS) error { return c.Disarm(partitions.SlotB) }, standing{"a", ""}, "b", false, false},
	{"disarm the way back", commitB, standing{"b", ""}, func(c Control, _ hostfs.FS) error { return c.Disarm(partitions.SlotA) }, standing{"b", ""}, "a", false, false},
	{"tidy up", func(c Control, boot func() error) error {
		return errors.Join(armB(c, boot), leave(c, partitions.SlotA), leave(c, partitions.SlotB))
	}, standing{"a", "b"}, func(c Control, _ hostfs.FS) error { return c.RemoveTemporary() }, standing{"a", "b"}, "", true, true},
}

// install is what an installation does to the boot partition, and in between
// to the slot: step 3 and steps 5 to 11 of the order of writes.
func install(c Control, fs hostfs.FS) error {
	if err := c.Disarm(partitions.SlotB); err != nil {
		return err
	}
	final, err := c.KernelPath(partitions.SlotB)
	if err != nil {
		return err
	}
	esp := filepath.Dir(filepath.Dir(filepath.Dir(final)))
	temporary := filepath.Join(filepath.Dir(final), "proa-b.new")
	for _, step := range []func() error{
		func() error { return overwrite(fs, slotFile(filepath.Dir(esp), "b"), "?", "2") },
		func() error {
			f, err := fs.Create(temporary)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(kernelOf("b", "2"), 0)
			return errors.Join(err, f.Sync())
		},
		func() error { return fs.SyncFS(esp) },
		func() error { return fs.Rename(temporary, final) },
		func() error { return fs.SyncFS(esp) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("installing: %w", err)
		}
	}
	return c.Arm(partitions.SlotB)
}

// overwrite gives a file of one byte contents, one after the other.
func overwrite(fs hostfs.FS, name string, contents ...string) error {
	f, err := fs.OpenWritable(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, content := range contents {
		if _, err := f.WriteAt([]byte(content), 0); err != nil {
			return err
		}
	}
	return f.Sync()
}
