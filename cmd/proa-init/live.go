package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/devmapper"
	"github.com/proa-os/proa/partitions/verity"
)

// What a live system finds and has: see package formats, which makes its media.
const (
	broughtFolder = "/proa-live"          // in the initrd: the installer, and what it installs
	liveFolder    = "/run/proa/live"      // where that is in the running system
	unitFolder    = "/run/systemd/system" // where units are that belong to one boot

	// The root image and its hash tree: in broughtFolder for a system from the
	// network, and in any case in liveFolder, as links to devices.
	rootFile   = "root.erofs"
	verityFile = "root.verity"
	unitsName  = "units"
)

// liveMedium is where a live system's root is, as paths of block devices.
type liveMedium struct{ root, verity string }

// liveSteps are those of a live system after its modules are there: the root is
// on the medium that was booted or came with the initrd, and no disk of the machine
// is looked at for anything.
func (b *boot) liveSteps() []step {
	return []step{
		{"find medium", b.findMedium},
		{"open root", b.openMedium},
		{"mount var", b.mountLiveVar},
		{"mount etc", b.mountEtc},
		{"hand over medium", b.handOver},
		{"switch root", b.switchRoot},
	}
}

// findMedium waits for the medium with the root, and makes devices of it.
func (b *boot) findMedium() error {
	if _, err := os.Stat(filepath.Join(broughtFolder, rootFile)); err == nil {
		b.log.info("root came with the initrd")
		return b.loopBrought()
	}
	for start := time.Now(); ; time.Sleep(pollInterval) {
		media, notes := scan("/sys/block", "/dev", func(name string) bool {
			return !isVirtual(name) || strings.HasPrefix(name, "sr")
		})
		found, reasons := chooseMedium(media, b.options.Root)
		for _, d := range media {
			d.file.Close()
		}
		if found != nil {
			b.log.info("root is on %s", found.disk.path())
			return b.cutMedium(*found)
		}
		if time.Since(start) > b.options.RootWait {
			return fmt.Errorf("no medium holds root hash %x: %s", b.options.Root.Hash, strings.Join(append(reasons, notes...), "; "))
		}
	}
}

// chooseMedium is the first of the media with the root. Two of them are as good as
// one: nothing is written there.
func chooseMedium(media []disk, root verity.Root) (*found, []string) {
	var reasons []string
	for _, d := range media {
		f, err := matchPair(d, partitions.RoleLiveRoot, partitions.RoleLiveVerity, root)
		if err == nil {
			return &f, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", d.path(), err))
	}
	return nil, reasons
}

// cutMedium makes devices of the two partitions. The kernel has none for those of
// an optical disc; the same way goes for all.
func (b *boot) cutMedium(f found) error {
	var err error
	if b.medium.root, err = devmapper.CreateLinear("live-root", f.disk.path(), f.root.Start, b.options.Root.Size()); err != nil {
		return err
	}
	b.medium.verity, err = devmapper.CreateLinear("live-verity", f.disk.path(), f.verity.Start, verity.TreeSize(b.options.Root.Blocks))
	return err
}

// loopBrought makes devices of the files.
func (b *boot) loopBrought() error {
	var err error
	if b.medium.root, err = loop(filepath.Join(broughtFolder, rootFile)); err != nil {
		return err
	}
	b.medium.verity, err = loop(filepath.Join(broughtFolder, verityFile))
	return err
}

// loop makes a read-only block device of a file, which keeps its content when the
// initrd is emptied.
func loop(path string) (device string, err error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("making a device of %s: %w", path, err) }
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return fail(err)
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return fail(fmt.Errorf("LOOP_CTL_GET_FREE: %w", err))
	}
	file, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	device = fmt.Sprintf("/dev/loop%d", number)
	node, err := os.Open(device)
	if err != nil {
		return fail(err)
	}
	defer node.Close()
	config := unix.LoopConfig{Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY}}
	if err := unix.IoctlLoopConfigure(int(node.Fd()), &config); err != nil {
		return fail(fmt.Errorf("LOOP_CONFIGURE: %w", err))
	}
	return device, nil
}

func (b *boot) openMedium() error { return b.openVerity(b.medium.root, b.medium.verity) }

// mountLiveVar has /var in memory, which is as it should be.
func (b *boot) mountLiveVar() error { return overlay(varTarget, "/run/proa/var") }

// handOver gives the running system what the initrd brought, and says where the
// root came from. There is no note for the agent, whose units then leave a live
// system alone.
func (b *boot) handOver() error {
	if err := b.handOverFrom(broughtFolder, liveFolder, unitFolder); err != nil {
		// It runs nevertheless, and only cannot be installed.
		b.log.fault("%v", err)
	}
	return nil
}

func (b *boot) handOverFrom(brought, live, units string) error {
	if err := os.MkdirAll(live, 0o755); err != nil {
		return err
	}
	for name, device := range map[string]string{rootFile: b.medium.root, verityFile: b.medium.verity} {
		if err := os.Symlink(device, filepath.Join(live, name)); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(brought)
	if err != nil {
		return err
	}
	var faults []error
	for _, entry := range entries {
		from := filepath.Join(brought, entry.Name())
		switch entry.Name() {
		case rootFile, verityFile:
		case unitsName:
			faults = append(faults, moveTree(from, units))
		default:
			faults = append(faults, moveTree(from, filepath.Join(live, entry.Name())))
		}
	}
	return errors.Join(faults...)
}

// moveTree moves files, links and folders to another file system, one by one, so
// that there is little in memory twice.
func moveTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		return moveFile(path, target)
	})
}

func moveFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Remove(from))
}
