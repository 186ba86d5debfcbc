package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/sysfs"
	"github.com/proa-os/proa/partitions/verity"
)

// disk is a whole disk with a partition table.
type disk struct {
	name  string // such as "vda" or "nvme0n1"
	file  diskFile
	table gpt.Table
}

// diskFile is what we do with a disk: read it.
type diskFile interface {
	io.ReaderAt
	io.Closer
}

func (d disk) path() string { return "/dev/" + d.name }

func (d disk) partition(role partitions.Role) (partitions.Partition, bool) {
	return d.table.FindFor(role, runtime.GOARCH)
}

// found is where the root file system is.
type found struct {
	disk   disk
	slot   partitions.Slot
	root   partitions.Partition
	verity partitions.Partition
}

// choose returns the slots whose verity partition has the top block of the
// root hash's tree, the preferred slot first, and why the other slots do not
// count. Nothing but the root hash decides.
func choose(disks []disk, root verity.Root, preferred partitions.Slot) (matches []found, reasons []string) {
	slots := partitions.Slots()
	if preferred == slots[1] {
		slots[0], slots[1] = slots[1], slots[0]
	}
	for _, d := range disks {
		for _, slot := range slots {
			f, err := match(d, slot, root)
			switch {
			case err != nil:
				reasons = append(reasons, fmt.Sprintf("slot %s of %s: %v", slot, d.path(), err))
			default:
				matches = append(matches, f)
			}
		}
	}
	return matches, reasons
}

var errNoSlot = errors.New("there is none")

// match says whether a slot belongs to the root hash; if not, the error does.
func match(d disk, slot partitions.Slot, root verity.Root) (found, error) {
	f, err := matchPair(d, slot.Root(), slot.Verity(), root)
	f.slot = slot
	return f, err
}

// matchPair is match for any two partitions.
func matchPair(d disk, rootRole, verityRole partitions.Role, root verity.Root) (found, error) {
	data, haveData := d.partition(rootRole)
	tree, haveTree := d.partition(verityRole)
	if !haveData || !haveTree {
		return found{}, errNoSlot
	}
	// The table is only as good as whoever wrote it: dm-verity must not be told
	// to read beyond a partition.
	if data.Size < root.Size() {
		return found{}, fmt.Errorf("root partition of %d bytes: want at least %d", data.Size, root.Size())
	}
	if want := verity.TreeSize(root.Blocks); tree.Size < want {
		return found{}, fmt.Errorf("verity partition of %d bytes: want at least %d", tree.Size, want)
	}
	holds, err := root.Holds(io.NewSectionReader(d.file, tree.Start, tree.Size))
	if err != nil {
		return found{}, err
	}
	if !holds {
		return found{}, errors.New("it holds another root hash")
	}
	return found{disk: d, root: data, verity: tree}, nil
}

// isProa reports whether the disk has a slot of ours, matching or not.
func (d disk) isProa() bool {
	_, a := d.partition(partitions.RoleVerityA)
	_, b := d.partition(partitions.RoleVerityB)
	return a || b
}

const (
	pollInterval = 50 * time.Millisecond

	// Once a disk of ours is there, another one with the right slot is unlikely,
	// and a trial that found no root should not keep the machine down.
	settleTime = 5 * time.Second
)

// findRoot waits for the disk that has the root; and, where another disk has it
// too, for the one that the boot loader came from.
func (b *boot) findRoot() error {
	start := time.Now()
	var seen, matched time.Time // when there was a disk of ours, and one with the root, for the first time
	from := readOrigin(efiVariables)
	for {
		var notes []string
		b.disks, notes = scanDisks("/sys/block", "/dev")
		matches, reasons := choose(b.disks, b.options.Root, b.selected)
		matches = from.sorted(matches, "/sys/block")
		if len(matches) > 0 {
			matched = firstTime(matched)
			if time.Since(matched) > originWait || !from.awaited(b.disks, matches[0], "/sys/block", "/sys/bus/pci/devices") {
				b.take(matches, from)
				return nil
			}
		} else if time.Since(start) > b.options.RootWait || !seen.IsZero() && time.Since(seen) > settleTime {
			reasons = append(reasons, notes...)
			if len(reasons) == 0 {
				reasons = []string{"there is no disk"}
			}
			return fmt.Errorf("no slot holds root hash %x: %s", b.options.Root.Hash, strings.Join(reasons, "; "))
		}
		if slices.ContainsFunc(b.disks, disk.isProa) {
			seen = firstTime(seen)
		}
		for _, d := range b.disks {
			d.file.Close()
		}
		time.Sleep(pollInterval)
	}
}

// firstTime is now, unless it has been before.
func firstTime(before time.Time) time.Time {
	if before.IsZero() {
		return time.Now()
	}
	return before
}

// take settles on the first match and tells of the others: a cloned disk that
// is still attached has the same root, but another /var.
func (b *boot) take(matches []found, from origin) {
	b.found = &matches[0]
	d := b.found.disk
	b.log.info("root is slot %s of %s", b.found.slot, d.path())
	if damaged := d.table.Damaged; damaged != "" {
		b.log.fault("partition table of %s: %s", d.path(), damaged)
	}
	for _, other := range matches[1:] {
		b.log.info("slot %s of %s holds the same release", other.slot, other.disk.path())
	}
	b.twins = twins(d, b.disks)
	if len(b.twins) > 0 && from.likens(d, "/sys/block") != sameDisk {
		b.log.fault("%s cannot be told from %s: taking it for the boot disk; detach what is not", d.path(), strings.Join(b.twins, ", "))
	}
	if !from.partition.IsZero() && !from.on(d) {
		b.log.info("the boot loader came from partition %s, which is not on %s", from.partition, d.path())
	}
}

// scanDisks opens every whole disk that has a partition table. The notes say
// what is wrong with the others and with damaged tables. Disks stay open.
func scanDisks(sysBlock, dev string) (disks []disk, notes []string) {
	return scan(sysBlock, dev, func(name string) bool { return !isVirtual(name) })
}

// scan is scanDisks for the devices whose names count.
func scan(sysBlock, dev string, counts func(name string) bool) (disks []disk, notes []string) {
	entries, err := os.ReadDir(sysBlock)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for _, entry := range entries {
		name := entry.Name()
		if !counts(name) {
			continue
		}
		file, err := os.Open(filepath.Join(dev, name))
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		table, err := gpt.ReadDisk(file)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", name, err))
			file.Close()
			continue
		}
		if table.Damaged != "" {
			notes = append(notes, fmt.Sprintf("%s: %s", name, table.Damaged))
		}
		disks = append(disks, disk{name: name, file: file, table: table})
	}
	return disks, notes
}

// isVirtual reports block devices that are no disks.
func isVirtual(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd", "mtdblock"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// nodeOf waits for the kernel's device of a partition and returns its path. It
// must be where our own reading of the table says.
func nodeOf(d disk, p partitions.Partition, sysBlock string, wait time.Duration) (string, error) {
	deadline := time.Now().Add(wait)
	for {
		name, err := findNode(d, p, sysBlock)
		if err == nil {
			path := "/dev/" + name
			if _, err = os.Stat(path); err == nil {
				return path, nil
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("partition %d (%s) of %s: %w", p.Number, p.Role, d.path(), err)
		}
		time.Sleep(pollInterval)
	}
}

// findNode finds a partition's name, such as "vda2", in /sys/block/vda.
func findNode(d disk, p partitions.Partition, sysBlock string) (string, error) {
	folder := filepath.Join(sysBlock, d.name)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		number := func(file string) (int64, error) { return sysfs.Number(filepath.Join(folder, entry.Name(), file)) }
		if n, err := number("partition"); err != nil || n != int64(p.Number) {
			continue
		}
		// The kernel counts in sectors of 512 bytes, whatever the disk's.
		start, err := number("start")
		if err != nil {
			return "", err
		}
		size, err := number("size")
		if err != nil {
			return "", err
		}
		if start != p.Start/512 || size != p.Size/512 {
			return "", fmt.Errorf("the kernel has it at sector %d with %d: want %d with %d", start, size, p.Start/512, p.Size/512)
		}
		return entry.Name(), nil
	}
	return "", errors.New("the kernel does not know it")
}
