package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/partitions"
)

const (
	loaderPartition = "LoaderDevicePartUUID" // the GUID of the partition that the loader was started from
	bootCurrent     = "BootCurrent"          // the number of the boot option that the firmware took
)

// originWait is how long to wait for the disk that the loader came from, when
// another one with the right slot is there.
const originWait = 3 * time.Second

// origin is where the boot loader came from, as far as that is known. All
// machines of a product have the same GUIDs, so the partition's tells a disk of
// ours from others, and the way to the disk tells two of ours apart.
type origin struct {
	partition partitions.GUID // of the boot partition; zero: not known
	path      []pciFunction   // to the disk; none: not known
}

// readOrigin asks what the boot loader and the firmware left. What cannot be
// read is not known.
func readOrigin(store variables) (o origin) {
	if raw, err := store.read(loaderPartition, loaderVendor); err == nil {
		o.partition, _ = partitions.ParseGUID(decodeUTF16(raw))
	}
	current, err := store.read(bootCurrent, globalVendor)
	if err != nil || len(current) != 2 {
		return o
	}
	name := fmt.Sprintf("Boot%04X", binary.LittleEndian.Uint16(current))
	if option, err := store.read(name, globalVendor); err == nil {
		o.path, _ = optionPath(option)
	}
	return o
}

// likeness is how much of what is known of the loader's disk is true of another.
type likeness int

const (
	another       likeness = iota // another partition, or nothing is known
	samePartition                 // the partition's GUID is the loader's
	sameDisk                      // and so is the way to the disk
)

// likens compares a disk with the loader's.
func (o origin) likens(d disk, sysBlock string) likeness {
	if !o.on(d) {
		return another
	}
	if len(o.path) > 0 && slices.Equal(o.path, pciPath(sysBlock, d.name)) {
		return sameDisk
	}
	return samePartition
}

// on reports whether the disk has the partition that the loader came from, which
// need not be one of ours.
func (o origin) on(d disk) bool {
	return !o.partition.IsZero() && slices.ContainsFunc(d.table.Partitions, func(p partitions.Partition) bool { return p.GUID == o.partition })
}

// sorted puts the matches on the disk that the loader came from in front, and
// those that cannot be told apart in the order of their places in the machine:
// what the kernel found first may be another one at the next boot, which then
// would have another /var.
func (o origin) sorted(matches []found, sysBlock string) []found {
	matches = slices.Clone(matches)
	slices.SortStableFunc(matches, func(x, y found) int {
		return cmp.Or(
			cmp.Compare(o.likens(y.disk, sysBlock), o.likens(x.disk, sysBlock)),
			cmp.Compare(place(sysBlock, x.disk.name), place(sysBlock, y.disk.name)),
		)
	})
	return matches
}

// twins are the other disks with the same boot partition, by their GUIDs.
func twins(d disk, disks []disk) (paths []string) {
	esp, ok := d.partition(partitions.RoleESP)
	for _, other := range disks {
		if p, have := other.partition(partitions.RoleESP); ok && have && other.name != d.name && p.GUID == esp.GUID {
			paths = append(paths, other.path())
		}
	}
	return paths
}

// awaited reports whether the disk that the loader came from is still to come:
// none has its partition; or none of those that have it is at its place, where the
// kernel knows a controller and no disk yet.
func (o origin) awaited(disks []disk, best found, sysBlock, sysPCI string) bool {
	if o.partition.IsZero() {
		return false
	}
	if !slices.ContainsFunc(disks, o.on) {
		return true
	}
	if len(o.path) == 0 || o.likens(best.disk, sysBlock) == sameDisk {
		return false
	}
	return isAt(o.path, sysPCI) && !isAt(o.path, sysBlock)
}

// isAt reports whether something in a folder of links into sysfs is at the path.
func isAt(path []pciFunction, folder string) bool {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return slices.Equal(path, pciPath(folder, e.Name())) })
}

// place is where sysfs has a block device, or a PCI function, among all devices.
func place(folder, name string) string {
	real, err := filepath.EvalSymlinks(filepath.Join(folder, name))
	if err != nil {
		return name
	}
	return real
}

// pciPath is the PCI functions on the way to a device, from the root on.
func pciPath(folder, name string) (path []pciFunction) {
	for part := range strings.SplitSeq(place(folder, name), "/") {
		if f, ok := parsePCI(part); ok {
			path = append(path, f)
		}
	}
	return path
}

// parsePCI reads the name of a PCI function's folder in sysfs, such as
// "0000:00:1f.2": domain, bus, device and function in hexadecimal.
func parsePCI(name string) (pciFunction, bool) {
	numbers := strings.FieldsFunc(name, func(r rune) bool { return r == ':' || r == '.' })
	if len(numbers) != 4 || strings.Count(name, ":") != 2 || len(numbers[1]) != 2 || len(numbers[2]) != 2 || len(numbers[3]) != 1 {
		return pciFunction{}, false
	}
	for _, n := range numbers {
		if _, err := strconv.ParseUint(n, 16, 32); err != nil {
			return pciFunction{}, false
		}
	}
	device, _ := strconv.ParseUint(numbers[2], 16, 8)
	function, _ := strconv.ParseUint(numbers[3], 16, 8)
	return pciFunction{byte(device), byte(function)}, true
}
