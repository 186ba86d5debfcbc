package installer

import (
	"fmt"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/verity"
)

// The rule by which slots become larger than the release's layout says: each gets
// this part of the disk, but no more than so many times what the layout says.
const (
	slotPart = 16
	slotMost = 4
)

// TooSmallError says that a disk cannot hold a release.
type TooSmallError struct {
	Disk         string
	Have, Needed int64 // bytes
}

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("disk %s of %s is too small: the release needs %s", e.Disk, inWords(e.Have), inWords(e.Needed))
}

// lay is the layout of a disk: that of the release, with a boot partition that holds
// the files and has the disk's sectors, slots by the rule, and var to the end.
func lay(l manifests.Layout, r manifests.Release, files map[string]diskimage.Source, disk Disk) (partitions.Layout, error) {
	others := int64(0)
	for _, file := range files {
		others += file.Size
	}
	kernel := files[esp.UKIPath(partitions.SlotA)].Size
	blocks := r.Root.Blocks
	sizes := partitions.Sizes{
		ESP:    max(l.ESP, diskimage.NeededESP(kernel, others-kernel), diskimage.LeastESP(disk.SectorSize)),
		Root:   max(l.Root, int64(blocks)*verity.BlockSize),
		Verity: max(l.Verity, verity.TreeSize(blocks)),
		Var:    l.Var,
	}
	// What a disk is derived from its own number, two disks of one machine are told
	// apart by.
	seed := l.Seed
	if !disk.File && disk.Serial != "" {
		seed += "\x00" + disk.Serial
	}
	least, err := plan(seed, r.Arch, sizes, disk)
	if err != nil {
		return partitions.Layout{}, err
	}
	larger := sizes
	larger.Root = min(max(sizes.Root, disk.Size/slotPart), slotMost*sizes.Root)
	larger.Verity = max(sizes.Verity, verity.TreeSize(uint64((larger.Root+partitions.Alignment)/verity.BlockSize)))
	if larger.Root == sizes.Root {
		return least, nil
	}
	if roomy, err := plan(seed, r.Arch, larger, disk); err == nil {
		return roomy, nil
	}
	return least, nil
}

// plan gives var whatever is left.
func plan(seed string, arch manifests.Arch, sizes partitions.Sizes, disk Disk) (partitions.Layout, error) {
	layout, err := partitions.Plan(seed, string(arch), sizes)
	if err != nil {
		return partitions.Layout{}, err
	}
	last := &layout.Partitions[len(layout.Partitions)-1]
	end := gpt.VarEnd(disk.Size, disk.SectorSize)
	if end < last.Start+last.Size {
		needed := layout.DiskSize
		return partitions.Layout{}, &TooSmallError{disk.Path, disk.Size, needed}
	}
	last.Size = end - last.Start
	layout.DiskSize = disk.Size
	return layout, nil
}

func sameLayout(table gpt.Table, layout partitions.Layout) bool {
	return table.DiskGUID == layout.DiskGUID && slices.Equal(table.Partitions, layout.Partitions)
}

// inWords is a size for people.
func inWords(n int64) string {
	const mib, gib = 1 << 20, 1 << 30
	switch {
	case n >= 10*gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%d MiB", (n+mib-1)/mib)
	}
	return fmt.Sprintf("%d bytes", n)
}
