// Package bootdisk is the disk that a host boots from: its partitions, by role,
// and the boot partition as a folder. The partition table is only read, and a
// partition is opened only where the table and the kernel agree on its place.
package bootdisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/sysfs"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/slots"
)

// Disk is the boot disk, known by its partition table.
type Disk struct {
	Table gpt.Table

	fs    hostfs.FS
	path  string
	arch  string
	block bool // a block device, whose partitions have devices of their own
}

// Open reads the table of the disk, a block device or a plain file.
func Open(fsys hostfs.FS, path, arch string) (*Disk, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", path, err)
	}
	table, err := gpt.Read(f, size)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", path, err)
	}
	return &Disk{fs: fsys, path: path, Table: table, arch: arch, block: info.Mode()&os.ModeDevice != 0}, nil
}

// Find is the partition with the role.
func (d *Disk) Find(role partitions.Role) (partitions.Partition, error) {
	p, ok := d.Table.FindFor(role, d.arch)
	if !ok {
		return partitions.Partition{}, fmt.Errorf("disk %s has no partition %s for %s", d.path, role, d.arch)
	}
	return p, nil
}

// OpenPartition opens the partition with the role. On a block device it is the
// partition's own device, so that the kernel too keeps writes inside; its
// place there must be the one that the table says.
func (d *Disk) OpenPartition(role partitions.Role, writable bool) (hostfs.File, error) {
	p, err := d.Find(role)
	if err != nil {
		return nil, err
	}
	path, start := d.path, p.Start
	if d.block {
		if path, err = d.device(p); err != nil {
			return nil, err
		}
		start = 0
	}
	open := d.fs.Open
	if writable {
		open = d.fs.OpenWritable
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if size, err := f.Size(); err != nil || size < start+p.Size {
		f.Close()
		return nil, fmt.Errorf("partition %s ends at %d, behind the end of %s at %d: %w", role, start+p.Size, path, size, errors.Join(err, os.ErrInvalid))
	}
	return hostfs.Section(f, start, p.Size), nil
}

// device is the path of a partition's device.
func (d *Disk) device(p partitions.Partition) (string, error) {
	real, err := filepath.EvalSymlinks(d.path)
	if err != nil {
		return "", err
	}
	name := filepath.Base(real)
	parts, err := filepath.Glob(filepath.Join("/sys/class/block", name, name+"*", "partition"))
	if err != nil {
		return "", err
	}
	for _, file := range parts {
		folder := filepath.Dir(file)
		if n, err := sysfs.Number(file); err != nil || n != int64(p.Number) {
			continue
		}
		const sysfsSector = 512 // whatever the disk's own sectors are
		start, err := sysfs.Number(filepath.Join(folder, "start"))
		if err != nil {
			return "", err
		}
		size, err := sysfs.Number(filepath.Join(folder, "size"))
		if err != nil {
			return "", err
		}
		if start*sysfsSector != p.Start || size*sysfsSector != p.Size {
			return "", fmt.Errorf("partition %d of %s is at %d with %d bytes for the kernel, and at %d with %d in the table: reboot first",
				p.Number, d.path, start*sysfsSector, size*sysfsSector, p.Start, p.Size)
		}
		return filepath.Join(filepath.Dir(real), filepath.Base(folder)), nil
	}
	return "", fmt.Errorf("the kernel knows no partition %d of %s", p.Number, d.path)
}

// Slot opens both partitions of a slot.
func (d *Disk) Slot(letter partitions.Slot, writable bool) (*slots.Slot, error) {
	root, err := d.OpenPartition(letter.Root(), writable)
	if err != nil {
		return nil, fmt.Errorf("slot %s: %w", letter, err)
	}
	tree, err := d.OpenPartition(letter.Verity(), writable)
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("slot %s: %w", letter, err)
	}
	return &slots.Slot{Letter: letter, Root: root, Tree: tree}, nil
}
