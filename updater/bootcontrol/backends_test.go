package bootcontrol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/bootcontrol/ubootenv"
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
	// spare names the scenarios that have a sync which they could do without, and
	// why; refused the one that the backend refuses, and with what.
	spare   map[string]string
	refused map[string]error
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
	{name: "oneshot", install: installOneShot, control: oneShotIn, boot: bootOneShot},
	{
		name: "counted", install: installCounted, control: countedIn, boot: bootCounted,
		spare: map[string]string{
			"arm again":                 "the old trial is removed by what a roll back does, and made again with the same name",
			"roll back a running trial": "a trial that was counted down is over, whether or not its file is there",
		},
		refused: map[string]error{"commit with the next trial armed": ErrUncounted},
	},
	{name: "grub", install: installGRUB, control: grubIn, boot: bootGRUB},
	{name: "uboot", install: installUBoot, control: ubootIn, boot: bootUBoot},
	{name: "uboot that counts", install: installCountingUBoot, control: ubootIn, boot: bootUBoot},
}

func installOneShot(t testing.TB, dir string) {
	check(t, os.MkdirAll(filepath.Join(dir, "esp/loader"), 0o755))
	check(t, os.MkdirAll(filepath.Join(dir, "vars"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "esp/loader/loader.conf"), esp.LoaderConf(partitions.SlotA), 0o600))
	check(t, machineIn(dir).WriteVariable("LoaderEntrySelected", "proa-a.efi"))
}

func oneShotIn(fs hostfs.FS, dir string) Control {
	drive := efivars.HardDrive{Number: 1, Start: 2048, Size: 4096, GUID: partitions.DeriveGUID("test", "esp")}
	return &OneShot{FS: fs, ESP: filepath.Join(dir, "esp"), Vars: efivars.New(fs, filepath.Join(dir, "vars")), Disk: drive, Loader: loader}
}

func installCounted(t testing.TB, dir string) {
	proof := esp.Entry{Proof: true, Committed: partitions.SlotA, Done: 1}
	check(t, os.MkdirAll(filepath.Join(dir, "esp/loader/entries"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "esp/loader/entries", proof.Name()), proof.Content(), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "esp/loader/loader.conf"), esp.LayoutCounted.Conf(partitions.SlotA), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "running"), []byte("a"), 0o600))
}

// counting is a Counted that knows what runs whenever it is asked. There are no
// variables.
type counting struct {
	fs  hostfs.FS
	dir string
}

func countedIn(fs hostfs.FS, dir string) Control { return counting{fs, dir} }

func (c counting) now() *Counted {
	raw, err := os.ReadFile(filepath.Join(c.dir, "running"))
	if err != nil {
		panic(err) // a test has removed its file
	}
	running, _ := partitions.ParseSlot(string(raw))
	return &Counted{FS: c.fs, ESP: filepath.Join(c.dir, "esp"), Vars: efivars.New(c.fs, filepath.Join(c.dir, "none")), Running: running}
}

func (c counting) Name() string                                 { return c.now().Name() }
func (c counting) KernelPath(s partitions.Slot) (string, error) { return c.now().KernelPath(s) }
func (c counting) RemoveTemporary() error                       { return c.now().RemoveTemporary() }
func (c counting) State() (State, error)                        { return c.now().State() }
func (c counting) Disarm(s partitions.Slot) error               { return c.now().Disarm(s) }
func (c counting) Arm(s partitions.Slot) error                  { return c.now().Arm(s) }
func (c counting) Commit(s partitions.Slot) error               { return c.now().Commit(s) }
func (c counting) Rollback() error                              { return c.now().Rollback() }

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

// single is the environment of a redundant copy without a second one.
func single(raw []byte) []byte {
	raw = append(raw[:4:4], append(raw[5:], 0)...)
	binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[4:]))
	return raw
}

// ubootSize is of several sectors, which can be torn.
const ubootSize = 0x800

// makeUBootEnv lets U-Boot's own tool make the environment of a new machine,
// with variables of others that take two sectors.
func makeUBootEnv(t testing.TB, dir, text string) []byte {
	t.Helper()
	cmd := exec.Command("mkenvimage", "-r", "-s", fmt.Sprint(ubootSize), "-o", filepath.Join(dir, "image"), "-")
	cmd.Stdin = strings.NewReader("proa_slot=a\nproa_booted=a\naltbootcmd=setenv proa_once; run bootcmd\n" +
		text + "others=" + strings.Repeat("x", 1200) + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mkenvimage: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "image"))
	check(t, err)
	check(t, os.Remove(filepath.Join(dir, "image")))
	return raw
}

// installUBoot is a U-Boot with its environment in two files.
func installUBoot(t testing.TB, dir string) {
	raw := makeUBootEnv(t, dir, "")
	config := ""
	for _, name := range []string{"uboot.env", "uboot-redund.env"} {
		check(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
		config += fmt.Sprintf("%s 0x0 %#x\n", filepath.Join(dir, name), ubootSize)
	}
	check(t, os.WriteFile(filepath.Join(dir, "fw_env.config"), []byte(config), 0o600))
}

// installCountingUBoot is one with it in a partition, that counts boots.
func installCountingUBoot(t testing.TB, dir string) {
	raw := makeUBootEnv(t, dir, "bootlimit=1\n")
	device := make([]byte, 0x2000)
	copy(device, raw)
	copy(device[0x1000:], raw)
	check(t, os.WriteFile(filepath.Join(dir, "mmcblk0p8"), device, 0o600))
	config := fmt.Sprintf("%[1]s 0x0 %#[2]x\n%[1]s 0x1000 %#[2]x\n", filepath.Join(dir, "mmcblk0p8"), ubootSize)
	check(t, os.WriteFile(filepath.Join(dir, "fw_env.config"), []byte(config), 0o600))
}

func ubootIn(fs hostfs.FS, dir string) Control {
	paths, offsets, size, err := machineIn(dir).UBootCopies()
	if err != nil {
		panic(err) // a test has removed its file
	}
	u := &UBoot{FS: fs, Boot: filepath.Join(dir, "esp")}
	for i := range paths {
		u.Env = append(u.Env, ubootenv.Location{Path: paths[i], Offset: offsets[i], Size: size})
	}
	return u
}

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
