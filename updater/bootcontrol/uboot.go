package bootcontrol

import (
	_ "embed" // for the script
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/bootcontrol/ubootenv"
	"github.com/proa-os/proa/updater/hostfs"
)

// The variables that U-Boot's script and the updater leave each other.
const (
	ubootSlot   = "proa_slot"   // the committed slot: a or b
	ubootOnce   = "proa_once"   // the slot to try: a or b; the script removes it before it starts the trial
	ubootBooted = "proa_booted" // the slot that the script started last
)

// U-Boot's own variables for counting boots (doc/README.bootcount): while
// upgrade_available is 1, bootcount grows with each boot, and beyond bootlimit
// U-Boot runs altbootcmd in place of bootcmd. They are kept where bootlimit is set.
const (
	ubootUpgrade = "upgrade_available"
	ubootCount   = "bootcount"
	ubootLimit   = "bootlimit"
	ubootAlt     = "altbootcmd"
)

//go:embed uboot.cmd
var ubootScript string

// UBootScript is what U-Boot has to run for the UBoot backend, as the text that
// mkimage makes a boot.scr of.
func UBootScript() string { return ubootScript }

// UBoot is the backend for U-Boot: the committed slot and a trial are variables
// in its redundant environment, which the script of UBootScript reads and changes.
type UBoot struct {
	FS   hostfs.FS
	Boot string // the folder where the boot partition is mounted
	Env  ubootenv.Config
}

// FWEnvConfig is where a host says where its U-Boot environment is.
const FWEnvConfig = "/etc/fw_env.config"

// OpenUBoot is the backend for the environment whose places the file config
// names, which is mostly FWEnvConfig.
func OpenUBoot(fsys hostfs.FS, boot, config string) (*UBoot, error) {
	const most = 64 << 10
	text, err := hostfs.ReadFile(fsys, config, most)
	if err != nil {
		return nil, err
	}
	places, err := ubootenv.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	return &UBoot{FS: fsys, Boot: boot, Env: places}, nil
}

func (u *UBoot) kernels() kernels    { return kernels{u.FS, u.Boot} }
func (u *UBoot) env() ubootenv.Store { return ubootenv.Store{FS: u.FS, Places: u.Env} }

// Name implements Control.
func (u *UBoot) Name() string { return NameUBoot }

// KernelPath implements Control.
func (u *UBoot) KernelPath(slot partitions.Slot) (string, error) { return u.kernels().path(slot), nil }

// RemoveTemporary implements Control.
func (u *UBoot) RemoveTemporary() error {
	state, err := u.State()
	if err != nil {
		return err
	}
	return u.kernels().removeTemporary(state)
}

// read reads the environment, and refuses one that names no committed slot.
func (u *UBoot) read() (*ubootenv.Environment, partitions.Slot, error) {
	e, err := u.env().Read()
	if err != nil {
		return nil, 0, err
	}
	slot, err := partitions.ParseSlot(e.Get(ubootSlot))
	if err != nil {
		return nil, 0, fmt.Errorf("U-Boot environment: variable %s: %w", ubootSlot, err)
	}
	return e, slot, nil
}

// State implements Control.
func (u *UBoot) State() (s State, err error) {
	e, committed, err := u.read()
	if err != nil {
		return State{}, err
	}
	s.Committed = committed
	s.Armed, _ = partitions.ParseSlot(e.Get(ubootOnce))
	s.Booted, _ = partitions.ParseSlot(e.Get(ubootBooted))
	s.Installed, err = u.kernels().installed()
	return s, err
}

// change sets variables, all in one write of the copy that is not in force. It
// also sets U-Boot's own counting to what the trial, if there is one, needs.
func (u *UBoot) change(values map[string]string) error {
	e, _, err := u.read()
	if err != nil {
		return err
	}
	if e.Get(ubootLimit) != "" {
		values[ubootCount], values[ubootUpgrade] = "0", "0"
		if values[ubootOnce] != "" {
			values[ubootUpgrade] = "1"
		}
		if e.Get(ubootAlt) == "" {
			return errors.New("U-Boot environment: bootlimit is set, but altbootcmd is not: U-Boot would stop at its prompt")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := e.Set(name, values[name]); err != nil {
			return err
		}
	}
	return u.env().Write(e)
}

// Disarm implements Control.
func (u *UBoot) Disarm(slot partitions.Slot) error {
	_, committed, err := u.read()
	if err != nil {
		return err
	}
	if slot == committed {
		return fmt.Errorf("disarming slot %s: it is the committed slot", slot)
	}
	if err := u.Rollback(); err != nil {
		return err
	}
	return u.kernels().remove(slot)
}

// Arm implements Control.
func (u *UBoot) Arm(slot partitions.Slot) error {
	err := u.kernels().demand(slot)
	if err == nil {
		err = u.change(map[string]string{ubootOnce: slot.String()})
	}
	if err != nil {
		return fmt.Errorf("arming slot %s: %w", slot, err)
	}
	return nil
}

// Commit implements Control. The trial ends in the same write.
func (u *UBoot) Commit(slot partitions.Slot) error {
	err := u.kernels().demand(slot)
	if err == nil {
		err = u.change(map[string]string{ubootSlot: slot.String(), ubootOnce: ""})
	}
	if err != nil {
		return fmt.Errorf("committing slot %s: %w", slot, err)
	}
	return nil
}

// Rollback implements Control.
func (u *UBoot) Rollback() error {
	if err := u.change(map[string]string{ubootOnce: ""}); err != nil {
		return fmt.Errorf("giving up the trial: %w", err)
	}
	return nil
}
