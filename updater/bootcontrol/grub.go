package bootcontrol

import (
	_ "embed" // for the script
	"fmt"
	"path/filepath"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/bootcontrol/grubenv"
	"github.com/proa-os/proa/updater/hostfs"
)

// GRUBEnvPath is the environment block on the boot partition, with slashes.
// GRUB's folder there is "grub".
const GRUBEnvPath = "grub/grubenv"

// The variables that GRUB's script and the updater leave each other. Each is
// one character long for ever, so that a change stays within the first sector,
// GRUB's own changes as well.
const (
	grubDefault = "proa_default" // the committed slot: a or b
	grubOnce    = "proa_once"    // the slot to try: a or b, or 0; the script sets it to 0 before it starts the trial
	grubBooted  = "proa_booted"  // the slot that the script started last: a or b, or 0 before the first start
	grubNone    = "0"
)

//go:embed grub.cfg
var grubScript string

// GRUBScript is what GRUB has to run for the GRUB backend, a grub.cfg or a file
// that one sources.
func GRUBScript() string { return grubScript }

// NewGRUBEnv is the environment block of a new machine on which the slot is
// committed.
func NewGRUBEnv(slot partitions.Slot) ([]byte, error) {
	b := grubenv.New()
	for _, v := range [][2]string{{grubDefault, slot.String()}, {grubOnce, grubNone}, {grubBooted, grubNone}} {
		if err := b.Set(v[0], v[1]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// GRUB is the backend for GRUB: the committed slot and a trial are variables
// in GRUB's environment block, which the script of GRUBScript reads and changes.
//
// The boot partition is to be a FAT file system: GRUB does not replay the
// journal of another, and so may see a kernel image that has not arrived in its folder.
type GRUB struct {
	FS   hostfs.FS
	Boot string // the folder where the boot partition is mounted
}

func (g *GRUB) kernels() kernels { return kernels{g.FS, g.Boot} }

func (g *GRUB) env() grubenv.File {
	return grubenv.File{FS: g.FS, Path: filepath.Join(g.Boot, filepath.FromSlash(GRUBEnvPath))}
}

// Name implements Control.
func (g *GRUB) Name() string { return NameGRUB }

// KernelPath implements Control.
func (g *GRUB) KernelPath(slot partitions.Slot) (string, error) { return g.kernels().path(slot), nil }

// RemoveTemporary implements Control.
func (g *GRUB) RemoveTemporary() error {
	state, err := g.State()
	if err != nil {
		return err
	}
	return g.kernels().removeTemporary(state)
}

// read reads the block, and refuses one in which a change of our variables
// would not be one sector.
func (g *GRUB) read() (*grubenv.Block, error) {
	b, err := g.env().Read()
	if err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	for _, name := range []string{grubDefault, grubOnce, grubBooted} {
		if value, _ := b.Get(name); len(value) != 1 || !b.InFirstSector(name) {
			return nil, fmt.Errorf("boot partition: %s: variable %s is %.60q: want one character, and within the first %d bytes of the file",
				GRUBEnvPath, name, value, grubenv.SectorSize)
		}
	}
	value, _ := b.Get(grubDefault)
	if _, err := partitions.ParseSlot(value); err != nil {
		return nil, fmt.Errorf("boot partition: %s: variable %s: %w", GRUBEnvPath, grubDefault, err)
	}
	return b, nil
}

// slotIn is the slot in a variable, or zero.
func slotIn(b *grubenv.Block, name string) partitions.Slot {
	value, _ := b.Get(name)
	slot, err := partitions.ParseSlot(value)
	if err != nil {
		return 0 // the script passes over it as well
	}
	return slot
}

// State implements Control.
func (g *GRUB) State() (State, error) {
	b, err := g.read()
	if err != nil {
		return State{}, err
	}
	s := State{Committed: slotIn(b, grubDefault), Armed: slotIn(b, grubOnce), Booted: slotIn(b, grubBooted)}
	s.Installed, err = g.kernels().installed()
	return s, err
}

// change sets variables, all in one write of one sector.
func (g *GRUB) change(values map[string]string) error {
	b, err := g.read()
	if err != nil {
		return err
	}
	for name, value := range values {
		if err := b.Set(name, value); err != nil {
			return err
		}
	}
	return g.env().Write(b)
}

// Disarm implements Control.
func (g *GRUB) Disarm(slot partitions.Slot) error {
	b, err := g.read()
	if err != nil {
		return err
	}
	if slot == slotIn(b, grubDefault) {
		return fmt.Errorf("disarming slot %s: it is the committed slot", slot)
	}
	if err := g.Rollback(); err != nil {
		return err
	}
	return g.kernels().remove(slot)
}

// Arm implements Control.
func (g *GRUB) Arm(slot partitions.Slot) error {
	err := g.kernels().demand(slot)
	if err == nil {
		err = g.change(map[string]string{grubOnce: slot.String()})
	}
	if err != nil {
		return fmt.Errorf("arming slot %s: %w", slot, err)
	}
	return nil
}

// Commit implements Control. The trial ends in the same write.
func (g *GRUB) Commit(slot partitions.Slot) error {
	err := g.kernels().demand(slot)
	if err == nil {
		err = g.change(map[string]string{grubDefault: slot.String(), grubOnce: grubNone})
	}
	if err != nil {
		return fmt.Errorf("committing slot %s: %w", slot, err)
	}
	return nil
}

// Rollback implements Control.
func (g *GRUB) Rollback() error {
	if err := g.change(map[string]string{grubOnce: grubNone}); err != nil {
		return fmt.Errorf("giving up the trial: %w", err)
	}
	return nil
}
