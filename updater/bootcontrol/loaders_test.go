package bootcontrol

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/updater/testhost/loaders"
)

// machineIn is what the loaders read of a machine of the crash suite.
func machineIn(dir string) loaders.Machine {
	return loaders.Machine{
		Boot: filepath.Join(dir, "esp"), Vars: filepath.Join(dir, "vars"), Config: filepath.Join(dir, "fw_env.config"),
	}
}

// boots plays a loader, and starts the slot if that has a whole kernel image.
func boots(load loaders.Loader) func(dir string) (started, error) {
	return func(dir string) (started, error) {
		s, err := load(machineIn(dir))
		if err != nil {
			return started{}, err
		}
		if err := wholeKernel(dir, s.Slot); err != nil {
			return started{}, fmt.Errorf("starting %s: %w", s, err)
		}
		return started{s.Slot, s.Trial}, nil
	}
}

var (
	bootOneShot = boots(loaders.OneShot)
	bootGRUB    = boots(loaders.GRUB)
	bootUBoot   = boots(loaders.UBoot)
)

// bootCounted also notes what runs, and demands that a trial is one that could
// be started: the loader would pass over it, but there should be none.
func bootCounted(dir string) (started, error) {
	conf, err := os.ReadFile(filepath.Join(dir, "esp/loader/loader.conf"))
	if err != nil {
		return started{}, err
	}
	committed := string(conf[len("default *-")])
	trials, err := filepath.Glob(filepath.Join(dir, "esp/loader/entries/t-"+committed+"+[1-9]*"))
	if err != nil {
		return started{}, err
	}
	other := map[string]string{"a": "b", "b": "a"}[committed]
	if len(trials) > 0 && wholeKernel(dir, other) != nil {
		return started{}, fmt.Errorf("%s would try slot %s: %w", trials, other, wholeKernel(dir, other))
	}
	s, err := boots(loaders.Counted)(dir)
	if err != nil {
		return started{}, err
	}
	return s, os.WriteFile(filepath.Join(dir, "running"), []byte(s.slot), 0o600)
}

// sdboot is systemd-boot without variables, in the words of the tests of Counted.
type sdboot struct {
	dir string
	// cut, if not nil, takes the place of the firmware's rename.
	cut func(from, to string)
}

// boot boots once and returns the base name of the kernel image.
func (l sdboot) boot(t testing.TB) string {
	t.Helper()
	kernel, err := loaders.SystemdBoot{Dir: l.dir, Cut: l.cut}.Boot()
	check(t, err)
	return kernel
}
