package bootcontrol

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

// The names of the backends.
const (
	NameOneShot = "oneshot"
	NameCounted = "counted"
	NameGRUB    = "grub"
	NameUBoot   = "uboot"
)

// Names are all backends.
func Names() []string { return []string{NameOneShot, NameCounted, NameGRUB, NameUBoot} }

// ChoicePath is the file on the boot partition with the name of the backend
// that the machine was installed with. Those with systemd-boot need none.
const ChoicePath = "proa.ctl"

const choiceMost = 64

// Installed is the name of the backend that the boot partition mounted at
// mount is laid out for (docs/reference/boot-control.md).
func Installed(fsys hostfs.FS, mount string) (string, error) {
	content, err := hostfs.ReadFile(fsys, filepath.Join(mount, ChoicePath), choiceMost)
	switch {
	case err == nil:
		return parseChoice(content)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("boot partition: %w", err)
	}
	layout, _, err := loaderConf{fsys, mount}.read()
	return string(layout), err
}

func parseChoice(content []byte) (string, error) {
	name := strings.TrimSpace(string(content))
	if !slices.Contains(Names(), name) {
		return "", fmt.Errorf("boot partition: %s %.70q: want one of %s", ChoicePath, content, strings.Join(Names(), ", "))
	}
	return name, nil
}

// Choose is the backend to use, from what is configured, which may be "" or
// "auto", and what the machine was installed with.
func Choose(configured, installed string) (string, error) {
	if configured != "" && configured != "auto" && configured != installed {
		return "", fmt.Errorf("bootControl: %s is configured, and the boot partition is laid out for %s: change one of the two", configured, installed)
	}
	return installed, nil
}

// Convert lays a boot partition with systemd-boot out for another of its
// backends, or tidies up after a conversion that was cut. The committed slot
// leads before and after it, and wherever it is cut. No trial may be pending.
func Convert(fsys hostfs.FS, mount string, vars efivars.Store, to string) error {
	if to != NameOneShot && to != NameCounted {
		return fmt.Errorf("boot control %.40q: a machine can be changed to %s or %s; any other comes with another boot loader", to, NameOneShot, NameCounted)
	}
	installed, err := Installed(fsys, mount)
	if err != nil {
		return err
	}
	if installed != NameOneShot && installed != NameCounted {
		return fmt.Errorf("boot control %s: the machine was installed with %s, which has another boot loader", to, installed)
	}
	conf := loaderConf{fsys, mount}
	_, committed, err := conf.read()
	if err != nil {
		return err
	}
	if to == NameOneShot {
		// Without variables there would be no trials at all.
		if err := vars.Present(); err != nil {
			return err
		}
		// The entries say nothing in that layout, so they may outlive a cut.
		if err := conf.convert(esp.LayoutOneShot, committed); err != nil {
			return err
		}
		return entries{fsys, mount}.clean(func(entry) bool { return false })
	}
	// No old entry may come to life with the new pattern.
	counted := &Counted{FS: fsys, ESP: mount, Vars: vars}
	if err := counted.Rollback(); err != nil {
		return err
	}
	if err := conf.convert(esp.LayoutCounted, committed); err != nil {
		return err
	}
	return counted.Prove()
}
