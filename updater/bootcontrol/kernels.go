package bootcontrol

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/hostfs"
)

// kernels is the kernel images on a boot partition whose loader is told by
// name which one to boot. They are where a disk for systemd-boot has them.
type kernels struct {
	fs    hostfs.FS
	mount string // the folder where the boot partition is mounted
}

func (k kernels) folder() string { return filepath.Join(k.mount, filepath.FromSlash(esp.UKIFolder)) }

func (k kernels) path(slot partitions.Slot) string { return filepath.Join(k.folder(), slot.UKI()) }

// installed are the slots that have a kernel image.
func (k kernels) installed() ([]partitions.Slot, error) {
	names, err := k.fs.List(k.folder())
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	var s State
	for _, name := range names {
		if slot, ok := partitions.SlotOfUKI(name); ok && !s.Has(slot) {
			s.Installed = append(s.Installed, slot)
		}
	}
	return s.Installed, nil
}

// demand is an error when the slot has no kernel image.
func (k kernels) demand(slot partitions.Slot) error {
	installed, err := k.installed()
	if err == nil && !(State{Installed: installed}).Has(slot) {
		err = fmt.Errorf("no %s on the boot partition", slot.UKI())
	}
	return err
}

// remove removes a slot's kernel image and what interrupted installations
// left. It syncs even when nothing is left to remove: a killed run may have
// ended before its sync.
func (k kernels) remove(slot partitions.Slot) error {
	unwanted := func(name string) bool {
		of, ok := partitions.SlotOfUKI(name)
		return ok && of == slot || isTemp(name)
	}
	if err := k.clean(unwanted); err != nil {
		return err
	}
	if err := k.fs.SyncDir(k.folder()); err != nil {
		return fmt.Errorf("boot partition: syncing %s: %w", k.folder(), err)
	}
	if err := k.fs.SyncFS(k.mount); err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	names, err := k.fs.List(k.folder())
	if err == nil && slices.ContainsFunc(names, unwanted) {
		err = fmt.Errorf("%q: some are still there after they were removed", names)
	}
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	return nil
}

// removeTemporary removes what interrupted installations left. It does not sync:
// what comes back is removed again.
//
// A kernel image beside its own temporary file is from a rename that was cut
// between its two writes to the folder. Both names may then lead to the same
// clusters, which are free when one of them is removed: the image goes as
// well, but for that of a slot which is booted from or armed: nothing is armed
// before its rename is durable.
func (k kernels) removeTemporary(s State) error {
	names, err := k.fs.List(k.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	half := map[partitions.Slot]bool{}
	for _, slot := range partitions.Slots() {
		half[slot] = slot != s.Committed && slot != s.Armed && slices.ContainsFunc(names, func(name string) bool { return isTempOf(name, slot) })
	}
	return k.clean(func(name string) bool {
		of, ok := partitions.SlotOfUKI(name)
		return ok && half[of] || isTemp(name)
	})
}

func (k kernels) clean(unwanted func(name string) bool) error {
	names, err := k.fs.List(k.folder())
	if err != nil {
		return fmt.Errorf("boot partition: %w", err)
	}
	for _, name := range names {
		if !unwanted(name) {
			continue
		}
		if err := k.fs.Remove(filepath.Join(k.folder(), name)); err != nil {
			return fmt.Errorf("boot partition: %w", err)
		}
	}
	return nil
}

func isTemp(name string) bool {
	slots := partitions.Slots()
	return slices.ContainsFunc(slots[:], func(slot partitions.Slot) bool { return isTempOf(name, slot) })
}

func isTempOf(name string, slot partitions.Slot) bool {
	return strings.EqualFold(name, filepath.Base(esp.TempUKIPath(slot)))
}
