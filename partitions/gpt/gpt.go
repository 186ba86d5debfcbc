// Package gpt reads and writes GUID partition tables. It distrusts every byte of
// those that it reads: a table that it returns has been checked so far that its
// offsets may be used to read and write without a further look.
//
// The format is that of the UEFI Specification 2.10, chapter 5. A table is written
// when a machine is installed, and once more where its disk has grown; an update
// does not change it. Whatever is written is cut by no power failure into
// something that is half there: see Write and Grow.
package gpt

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/proa-os/proa/partitions"
)

// ErrNoTable is wrapped by the error of a disk on which there is no trace of a
// GUID partition table: blank, or partitioned in another way.
var ErrNoTable = errors.New("no GUID partition table")

// ErrOthers is wrapped by Table.Backup where the backup copy is whole and has another
// disk's or other partitions than the primary one: somebody has changed one of them.
var ErrOthers = errors.New("differs from the primary copy in its partitions")

// Table is the checked table of a disk.
type Table struct {
	DiskGUID   partitions.GUID
	SectorSize int64 // bytes, 512 or 4096
	DiskSize   int64 // bytes of the disk that was read

	// Partitions are the entries in use, by number. Their offsets are inside the
	// usable area, do not overlap, and are in bytes. An entry's GPT name is its
	// Role, also where that is none of proa's.
	Partitions []partitions.Partition

	// Primary and Backup are what is wrong with each copy of the table; nil means
	// that the copy is whole. At most one of them is set.
	Primary, Backup error

	// Damaged is empty while both copies are whole and agree; otherwise it says
	// for people what is wrong, and which copy was used.
	Damaged string
}

// Read reads the table of a disk of diskSize bytes and finds out by itself
// whether its sectors have 512 or 4096 bytes. A damaged primary copy is made
// up for by the backup copy at the end of the disk, and Table.Damaged says so.
// A disk that has grown since it was written (an image copied to a larger
// disk) is accepted: its backup copy is where the primary one says.
func Read(r io.ReaderAt, diskSize int64) (Table, error) {
	small := readCopies(r, diskSize, 512)
	if small.primaryErr != nil && small.backupErr != nil {
		large := readCopies(r, diskSize, 4096)
		if large.primaryErr == nil || large.backupErr == nil || small.absent() && !large.absent() {
			return large.table()
		}
	}
	return small.table()
}

// ReadSectors is Read for a disk whose sector size in bytes is known.
func ReadSectors(r io.ReaderAt, diskSize, sectorSize int64) (Table, error) {
	if sectorSize != 512 && sectorSize != 4096 {
		return Table{}, fmt.Errorf("sectors of %d bytes: want 512 or 4096", sectorSize)
	}
	return readCopies(r, diskSize, sectorSize).table()
}

// ReadDisk is Read for an open disk image or block device, which tells its own
// size. It moves the read position.
func ReadDisk(disk interface {
	io.ReaderAt
	io.Seeker
}) (Table, error) {
	size, err := disk.Seek(0, io.SeekEnd)
	if err != nil {
		return Table{}, fmt.Errorf("finding the size of the disk: %w", err)
	}
	return Read(disk, size)
}

// Find is the partition that has both the GPT name and the partition type of
// the role, for any architecture that proa knows. Which root may run is for
// the root hash to say, not for the table.
func (t Table) Find(role partitions.Role) (partitions.Partition, bool) {
	for _, arch := range []string{"amd64", "arm64"} {
		if p, ok := t.FindFor(role, arch); ok {
			return p, true
		}
	}
	return partitions.Partition{}, false
}

// FindFor is the partition that has both the GPT name and the partition type
// of the role on arch, "amd64" or "arm64".
func (t Table) FindFor(role partitions.Role, arch string) (partitions.Partition, bool) {
	kind, ok := typeOf(role, arch)
	if !ok {
		return partitions.Partition{}, false
	}
	for _, p := range t.Partitions {
		if p.Role == role && p.Type == kind {
			return p, true
		}
	}
	return partitions.Partition{}, false
}

// typeOf is the partition type of a role of proa's; ok is false for others.
func typeOf(role partitions.Role, arch string) (kind partitions.GUID, ok bool) {
	switch role {
	case partitions.RoleESP:
		return partitions.TypeESP, true
	case partitions.RoleRootA, partitions.RoleRootB, partitions.RoleLiveRoot:
		return partitions.TypeRoot(arch), true
	case partitions.RoleVerityA, partitions.RoleVerityB, partitions.RoleLiveVerity:
		return partitions.TypeVerity(arch), true
	case partitions.RoleState:
		return partitions.TypeState, true
	case partitions.RoleVar:
		return partitions.TypeVar, true
	}
	return partitions.GUID{}, false
}

// copies are the two copies of a disk's table, read with one sector size.
type copies struct {
	disk                  disk
	primary, backup       parsed
	primaryErr, backupErr error
}

func readCopies(r io.ReaderAt, diskSize, sectorSize int64) copies {
	c := copies{disk: disk{r: r, sector: sectorSize, sectors: uint64(max(diskSize, 0) / sectorSize)}}
	if c.disk.sectors < leastSectors {
		c.primaryErr = fmt.Errorf("%w on a disk of %d bytes: too small for one", ErrNoTable, diskSize)
		c.backupErr = c.primaryErr
		return c
	}
	// Firmware and the kernel ignore the table of a disk without it: a stale
	// table under a newer MBR must not come alive here.
	if err := c.disk.checkProtectiveMBR(); err != nil {
		c.primaryErr, c.backupErr = err, err
		return c
	}
	c.primary, c.primaryErr = c.disk.readCopy(1)
	backupAt := c.disk.sectors - 1
	if c.primaryErr == nil {
		backupAt = c.primary.header.alternate
	}
	c.backup, c.backupErr = c.disk.readCopy(backupAt)
	return c
}

// absent reports whether there is no trace of a table, as against a bad one or
// a disk that cannot be read.
func (c copies) absent() bool {
	return errors.Is(c.primaryErr, ErrNoTable) && errors.Is(c.backupErr, ErrNoTable)
}

// table chooses the copy to use: the primary one if it is whole, as firmware
// and the kernel do.
func (c copies) table() (Table, error) {
	if c.primaryErr != nil && c.backupErr != nil {
		if c.absent() {
			return Table{}, c.primaryErr
		}
		return Table{}, fmt.Errorf("partition table: primary copy: %w; backup copy: %w", c.primaryErr, c.backupErr)
	}
	used := c.primary
	t := Table{Primary: c.primaryErr, Backup: c.backupErr}
	switch {
	case c.primaryErr != nil:
		used = c.backup
		t.Damaged = fmt.Sprintf("primary copy: %v; the backup copy was used", c.primaryErr)
	case c.backupErr == nil && !c.primary.agrees(c.backup):
		t.Backup = errors.New("differs from the primary copy")
		if !slices.Equal(c.primary.partitions, c.backup.partitions) || c.primary.header.diskGUID != c.backup.header.diskGUID {
			t.Backup = ErrOthers
		}
		fallthrough
	case c.backupErr != nil:
		t.Damaged = fmt.Sprintf("backup copy: %v; the primary copy was used", t.Backup)
	}
	t.DiskGUID = used.header.diskGUID
	t.SectorSize = c.disk.sector
	t.DiskSize = int64(c.disk.sectors) * c.disk.sector
	t.Partitions = used.partitions
	return t, nil
}
