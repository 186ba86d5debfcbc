package bootcontrol

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

// backend is what the crash suite needs to know of one.
type backend struct {
	name string
	// install writes the backend's own files for a machine that has booted its
	// committed slot a.
	install func(t testing.TB, dir string)
	control func(fs hostfs.FS, dir string) Control
	// boot plays the firmware and the loader once, with what they write. It shares
	// no code with the backend. An error means that the machine does not come up.
	boot func(dir string) (started, error)
}

// started is what a boot came to.
type started struct {
	slot  string // "a" or "b"
	trial bool   // since it was armed, not since it leads
}

func (s started) String() string {
	if s.trial {
		return "slot " + s.slot + " on trial"
	}
	return "slot " + s.slot
}

var backends = []backend{
	{"oneshot", installOneShot, oneShotIn, bootOneShot},
	{"grub", installGRUB, grubIn, bootGRUB},
}

func installOneShot(t testing.TB, dir string) {
	check(t, os.MkdirAll(filepath.Join(dir, "esp/loader"), 0o755))
	check(t, os.MkdirAll(filepath.Join(dir, "vars"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "esp/loader/loader.conf"), esp.LoaderConf(partitions.SlotA), 0o600))
	check(t, writeVariable(dir, "LoaderEntrySelected", "proa-a.efi"))
}

func oneShotIn(fs hostfs.FS, dir string) Control {
	drive := efivars.HardDrive{Number: 1, Start: 2048, Size: 4096, GUID: partitions.DeriveGUID("test", "esp")}
	return &OneShot{FS: fs, ESP: filepath.Join(dir, "esp"), Vars: efivars.New(fs, filepath.Join(dir, "vars")), Disk: drive, Loader: loader}
}

func installGRUB(t testing.TB, dir string) {
	check(t, os.MkdirAll(filepath.Join(dir, "esp/grub"), 0o755))
	env, err := NewGRUBEnv(partitions.SlotA)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "esp/grub/grubenv"), env, 0o600))
	// A variable of somebody else, which fills the block up to its end.
	rest := 1024 - len(bytes.TrimRight(env, "#"))
	editenv(t, dir, "set", "saved_entry="+strings.Repeat("s", rest-len("saved_entry=\n")))
	_, err = bootGRUB(dir)
	check(t, err)
}

func grubIn(fs hostfs.FS, dir string) Control { return &GRUB{FS: fs, Boot: filepath.Join(dir, "esp")} }

// kernelOf is the content of a slot's kernel image. It is longer than two sectors.
func kernelOf(slot, version string) []byte {
	return bytes.Repeat([]byte("slot "+slot+", version "+version+"\n"), 70)
}

// slotFile plays a slot: it holds the version of the release that is in it.
func slotFile(dir, slot string) string { return filepath.Join(dir, "slot-"+slot) }

// wholeKernel reports an error unless a slot's kernel image is there and whole,
// and of the release that is in the slot.
func wholeKernel(dir, slot string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "esp/EFI/Linux/proa-"+slot+".efi"))
	if err != nil {
		return err
	}
	version, err := os.ReadFile(slotFile(dir, slot))
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, kernelOf(slot, string(version))) {
		return fmt.Errorf("the kernel image of slot %s is not that of version %s, which is in it", slot, version)
	}
	return nil
}

// newMachine is a machine with a release in each slot, of which a is committed and
// running.
func newMachine(t testing.TB, b backend) string {
	t.Helper()
	dir := filepath.Join(memoryDir(t), "machine")
	check(t, os.MkdirAll(filepath.Join(dir, "esp/EFI/Linux"), 0o755))
	for _, slot := range []string{"a", "b"} {
		check(t, os.WriteFile(filepath.Join(dir, "esp/EFI/Linux/proa-"+slot+".efi"), kernelOf(slot, "1"), 0o600))
		check(t, os.WriteFile(slotFile(dir, slot), []byte("1"), 0o600))
	}
	b.install(t, dir)
	return dir
}

// memoryDir is a folder of the test in memory, where there is such: the suite
// copies a machine some thousand times.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bootcontrol")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
