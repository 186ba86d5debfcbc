// Package loaders plays the boot loaders of the boot control backends on files,
// from what their documentation and sources say. It is for tests, and shares no
// code with what writes those files.
package loaders

import (
	"errors"
	"os"
	"path/filepath"
)

// Machine is where a machine keeps what its loader reads.
type Machine struct {
	Boot   string // the folder of the boot partition
	Vars   string // the folder of the EFI variables; need not exist
	Config string // the fw_env.config; its files are looked for beside it, by their base names
}

// Started is what a loader came to.
type Started struct {
	Slot  string // "a" or "b"
	Trial bool   // since it was armed, not since it leads
}

func (s Started) String() string {
	if s.Trial {
		return "slot " + s.Slot + " on trial"
	}
	return "slot " + s.Slot
}

// Kernel is the path of the kernel image that the loader starts.
func (m Machine) Kernel(s Started) string {
	return filepath.Join(m.Boot, "EFI/Linux/proa-"+s.Slot+".efi")
}

// Loader plays a loader once, with what it writes. An error means that it
// starts nothing, or something that nobody has chosen.
type Loader func(Machine) (Started, error)

// Find is the loader that the boot partition is laid out for.
func Find(m Machine) (Loader, error) {
	choice, err := os.ReadFile(filepath.Join(m.Boot, "proa.ctl"))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	case string(choice) == "grub\n":
		return GRUB, nil
	case string(choice) == "uboot\n":
		return UBoot, nil
	}
	conf, err := os.ReadFile(filepath.Join(m.Boot, "loader/loader.conf"))
	if err != nil {
		return nil, err
	}
	if committedByPattern(conf) != "" {
		return Counted, nil
	}
	return OneShot, nil
}
