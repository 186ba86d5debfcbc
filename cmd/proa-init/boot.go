package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
)

const sysroot = "/sysroot"

// boot is the way from the kernel to /sbin/init. Each field is set by one
// step, and read by later ones only.
type boot struct {
	log *kernelLog

	line     string          // read command line: the whole of it
	options  cmdline.Boot    // read command line
	selected partitions.Slot // load modules: which UKI the boot loader took; 0 if it does not say
	disks    []disk          // find root; also those without a match
	found    *found          // find root
	medium   liveMedium      // find medium, in a live system
	twins    []string        // find root: paths of other disks with the same GUIDs
	next     partitions.Slot // the slot that the boot loader was asked to try next, since this one cannot be booted
	rootOpen bool            // open root: the slot is good, as far as that can be told

	unconfirmed int  // count boot: boots of the slot in a row before this one that did not come up
	damaged     bool // count boot: the slot is corrupt somewhere
	fallbacks   int  // open root: boots in a row before this one that gave up their slot

	forgotten bool   // mount var: a factory reset was done
	varKeeps  bool   // mount var: what is written there outlives this boot
	varSealed bool   // mount var: it is encrypted, and the TPM gave out its key
	keyClosed bool   // mount var: the TPM gives no key to what runs later
	varFault  string // mount var: why what is written there does not outlive this boot
	etcKeeps  bool   // mount etc: likewise
}

// run does not return when all goes well.
func (b *boot) run() error {
	started := time.Now()
	err := b.follow(started, []step{
		{"mount kernel file systems", b.mountKernel},
		{"read command line", b.readCommandLine},
		{"load modules", b.loadModules},
		{"arm watchdog", b.armWatchdog},
	})
	if err != nil {
		return err
	}
	if b.options.Live {
		return b.follow(started, b.liveSteps())
	}
	return b.follow(started, []step{
		{"find root", b.findRoot},
		{"count boot", b.countBoot},
		{"open root", b.openRoot},
		{"grow disk", b.growDisk},
		{"mount var", b.mountVar},
		{"mount etc", b.mountEtc},
		{"record boot", b.record},
		{"configure", b.configureUnlessClosed},
		{"switch root", b.switchRoot},
	})
}

// step is one of those from the kernel to /sbin/init.
type step struct {
	name string
	run  func() error
}

// follow takes the steps in their order.
func (b *boot) follow(started time.Time, steps []step) error {
	for i, step := range steps {
		b.log.info("%d/%d %s (%d ms)", i+1, len(steps), step.name, time.Since(started).Milliseconds())
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// moved are the mounts that /sbin/init finds in its root.
var moved = []string{"dev", "proc", "sys", "run"}

func (b *boot) mountKernel() error {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []struct {
		kind, at string
		flags    uintptr
		options  string
	}{
		{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755"},
		{"proc", "/proc", quiet, ""},
		{"sysfs", "/sys", quiet, ""},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	} {
		if err := mount(m.kind, m.at, m.kind, m.flags, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return b.log.open()
}

func (b *boot) readCommandLine() error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	b.line = string(line)
	b.options, err = cmdline.Parse(b.line)
	return err
}

// record leaves a note for the agent, which checks it against the command line
// and device-mapper before it believes it.
func (b *boot) record() error {
	keeps := func(keeps bool) string {
		if keeps {
			return "persistent"
		}
		return "volatile"
	}
	selected := ""
	if b.selected != 0 {
		selected = b.selected.String()
	}
	note, err := json.Marshal(struct {
		Slot        partitions.Slot `json:"slot"`
		Selected    string          `json:"selected,omitempty"`
		Fallbacks   int             `json:"fallbacks"`
		Unconfirmed int             `json:"unconfirmed"`
		Damaged     bool            `json:"damaged,omitempty"`
		RootHash    string          `json:"rootHash"`
		Salt        string          `json:"salt"`
		Blocks      uint64          `json:"blocks"`
		Disk        string          `json:"disk"`
		Twins       []string        `json:"twins,omitempty"`
		Var         string          `json:"var"`
		VarSealed   bool            `json:"varSealed,omitempty"`
		VarFault    string          `json:"varFault,omitempty"`
		Etc         string          `json:"etc"`
		Reset       bool            `json:"factoryReset,omitempty"`
		InitVersion string          `json:"initVersion"`
	}{
		Slot:        b.found.slot,
		Selected:    selected,
		Fallbacks:   b.fallbacks,
		Unconfirmed: b.unconfirmed,
		Damaged:     b.damaged,
		RootHash:    hex.EncodeToString(b.options.Root.Hash[:]),
		Salt:        hex.EncodeToString(b.options.Root.Salt),
		Blocks:      b.options.Root.Blocks,
		Disk:        b.found.disk.path(),
		Twins:       b.twins,
		Var:         keeps(b.varKeeps),
		VarSealed:   b.varSealed,
		VarFault:    b.varFault,
		Etc:         keeps(b.etcKeeps),
		Reset:       b.forgotten,
		InitVersion: version,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll("/run/proa", 0o755); err != nil {
		return err
	}
	return os.WriteFile("/run/proa/boot.json", append(note, '\n'), 0o644)
}

// configureUnlessClosed asks nobody how a machine is to be configured whose encrypted
// /var is closed: it has been told, and who closed it must not be who tells it now.
func (b *boot) configureUnlessClosed() error {
	if b.options.VarTPM2 && !b.varKeeps {
		b.log.fault("/var is to be encrypted and is not open: the machine is not configured")
		return nil
	}
	return b.configure()
}

// switchRoot makes the mounted root the root of everything, frees the memory
// of the initrd, and becomes /sbin/init.
func (b *boot) switchRoot() error {
	for _, name := range moved {
		if err := mount("/"+name, filepath.Join(sysroot, name), "", unix.MS_MOVE, ""); err != nil {
			return err
		}
	}
	if err := emptyRoot(); err != nil {
		b.log.info("freeing the initrd: %v", err)
	}
	if err := unix.Chdir(sysroot); err != nil {
		return fmt.Errorf("changing to %s: %w", sysroot, err)
	}
	if err := mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("changing root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("changing to the new root: %w", err)
	}
	b.log.info("starting %s", initPath)
	args := append([]string{initPath}, os.Args[1:]...)
	return fmt.Errorf("starting %s: %w", initPath, unix.Exec(initPath, args, os.Environ()))
}

// emptyRoot deletes what is in the initrd's own file system, and nothing that
// is mounted on it.
func emptyRoot() error {
	var root unix.Stat_t
	if err := unix.Lstat("/", &root); err != nil {
		return err
	}
	return removeOn("/", root.Dev)
}

// removeOn removes what is in the folder, as far as it is on the device.
func removeOn(folder string, device uint64) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var faults []error
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Dev != device {
			continue
		}
		if entry.IsDir() {
			faults = append(faults, removeOn(path, device))
		}
		// A mount point is busy and stays.
		if err := os.Remove(path); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// mount is mount(2) with an error that says what was mounted where.
func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}
	return nil
}
