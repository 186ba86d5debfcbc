package bootcontrol

import (
	"errors"
	"fmt"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

// OneShot is the backend for systemd-boot on firmware that keeps variables:
// the committed slot is a letter in loader.conf, a trial is the variable
// LoaderEntryOneShot, which the loader removes as it reads it.
type OneShot struct {
	FS   hostfs.FS
	ESP  string // the folder where the boot partition is mounted
	Vars efivars.Store
	// Disk and Loader are where a boot option finds our loader: the boot
	// partition, and the loader's path on it with backslashes.
	Disk   efivars.HardDrive
	Loader string
}

// Name implements Control.
func (o *OneShot) Name() string { return "oneshot" }

// KernelPath implements Control.
func (o *OneShot) KernelPath(slot partitions.Slot) (string, error) {
	return o.kernels().path(slot), nil
}

func (o *OneShot) kernels() kernels { return kernels{o.FS, o.ESP} }

// State implements Control.
func (o *OneShot) State() (State, error) {
	var s State
	var err error
	if s.Committed, err = o.committed(); err != nil {
		return State{}, err
	}
	if s.Installed, err = o.kernels().installed(); err != nil {
		return State{}, err
	}
	if err := o.Vars.Present(); err != nil {
		return State{}, err
	}
	armed, err := o.Vars.ReadString(efivars.LoaderEntryOneShot)
	if err != nil && !errors.Is(err, efivars.ErrText) {
		return State{}, err
	}
	odd := err != nil
	s.Armed, _ = partitions.SlotOfUKI(armed)
	booted, err := o.Vars.ReadString(efivars.LoaderEntrySelected)
	if err != nil {
		return State{}, err
	}
	s.Booted, _ = partitions.SlotOfUKI(booted)
	s.Override, err = o.Vars.ReadString(efivars.LoaderEntryDefault)
	if odd || errors.Is(err, efivars.ErrText) {
		// The loader may read something else in it: it has to go.
		s.Override, err = "something that is not text", nil
	}
	return s, err
}

func (o *OneShot) conf() loaderConf { return loaderConf{o.FS, o.ESP} }

func (o *OneShot) committed() (partitions.Slot, error) {
	return o.conf().committed(esp.LayoutOneShot)
}

// Disarm implements Control. It also removes what interrupted installations
// left behind, of either slot.
func (o *OneShot) Disarm(slot partitions.Slot) error {
	committed, err := o.committed()
	if err != nil {
		return err
	}
	if slot == committed {
		return fmt.Errorf("disarming slot %s: it is the committed slot", slot)
	}
	if err := o.Rollback(); err != nil {
		return err
	}
	return o.kernels().remove(slot)
}

// Arm implements Control. First it sees to it that the firmware has a second
// way to the loader: older versions of systemd-boot return to the firmware when the
// trial's UKI does not load.
func (o *OneShot) Arm(slot partitions.Slot) error {
	state, err := o.State()
	if err != nil {
		return err
	}
	if !state.Has(slot) {
		return fmt.Errorf("arming slot %s: no %s on the boot partition", slot, slot.UKI())
	}
	if err := o.ensureBootOptions(); err != nil {
		return err
	}
	if err := o.Vars.Delete(efivars.LoaderEntryDefault); err != nil {
		return err
	}
	return o.Vars.WriteString(efivars.LoaderEntryOneShot, slot.UKI())
}

// Commit implements Control: one byte, in place.
func (o *OneShot) Commit(slot partitions.Slot) error {
	state, err := o.State()
	if err != nil {
		return err
	}
	if !state.Has(slot) {
		return fmt.Errorf("committing slot %s: no %s on the boot partition", slot, slot.UKI())
	}
	if err := o.conf().commit(esp.LayoutOneShot, slot); err != nil {
		return fmt.Errorf("committing slot %s: %w", slot, err)
	}
	return o.Rollback()
}

// Rollback implements Control.
func (o *OneShot) Rollback() error {
	if err := o.Vars.Delete(efivars.LoaderEntryOneShot); err != nil {
		return err
	}
	return o.Vars.Delete(efivars.LoaderEntryDefault)
}

// RemoveTemporary implements Control.
func (o *OneShot) RemoveTemporary() error {
	state, err := o.State()
	if err != nil {
		return err
	}
	return o.kernels().removeTemporary(state)
}
