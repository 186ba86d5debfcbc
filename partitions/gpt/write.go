package gpt

import (
	"errors"
	"fmt"
	"io"

	"github.com/proa-os/proa/partitions"
)

// Disk is what tables are written to: a block device, or the file of a disk
// image.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Write gives a disk of layout.DiskSize bytes, with sectors of 512 or 4096
// bytes, the layout's table. The disk must have none: see Erase. Both copies
// are durable before the protective MBR makes them count, in one sector, so a
// power cut leaves no table or the whole of it.
//
// It refuses partitions that overlap, are outside of the disk or not in whole
// sectors, before it writes anything.
func Write(to Disk, layout partitions.Layout, sectorSize int64) error {
	d, err := writable(to, layout.DiskSize, sectorSize)
	if err != nil {
		return err
	}
	if d.checkProtectiveMBR() == nil {
		return errors.New("disk has a partition table already: want it erased before another one is written")
	}
	raw, err := d.encodeEntries(layout.Partitions)
	if err != nil {
		return err
	}
	h := d.primaryHeader(layout.DiskGUID, raw, leastEntry, 2)
	for _, copied := range []header{h.backup(), h} {
		if err := d.check(copied, raw); err != nil {
			return err
		}
	}
	writes := append(d.copyOf(h.backup(), raw, " of the backup copy"), d.copyOf(h, raw, "")...)
	return d.inOrder(to, append(writes, write{"the protective MBR", 0, d.protectiveMBR()}))
}

// Erase takes the table off a disk of diskSize bytes, whatever the size of its
// sectors: first the protective MBR, so that a power cut leaves the whole table
// or none, then the headers of both copies.
func Erase(from Disk, diskSize int64) error {
	d, err := writable(from, diskSize, 512)
	if err != nil {
		return err
	}
	end := uint64(diskSize/4096*4096-4096) / 512
	return d.inOrder(from, []write{
		{"the first sector", 0, make([]byte, 512)},
		{"the headers", 1, make([]byte, 8192-512)},
		{"the header at the end", d.sectors - 1, make([]byte, 512)},
		{"the header at the end, in large sectors", end, make([]byte, 4096)},
	})
}

// writable is a disk that is large enough for a table.
func writable(r io.ReaderAt, size, sectorSize int64) (disk, error) {
	if sectorSize != 512 && sectorSize != 4096 {
		return disk{}, fmt.Errorf("sectors of %d bytes: want 512 or 4096", sectorSize)
	}
	// The MBR, two headers, two lists of entries, and something between.
	least := 3*sectorSize + 2*entriesReserve + sectorSize
	if size < least {
		return disk{}, fmt.Errorf("disk of %d bytes: want at least %d for a partition table", size, least)
	}
	return disk{r: r, sector: sectorSize, sectors: uint64(size / sectorSize)}, nil
}

// write is content for a sector and those after it.
type write struct {
	what   string
	sector uint64
	data   []byte
}

// copyOf are the writes of one copy of a table.
func (d disk) copyOf(h header, raw []byte, what string) []write {
	return []write{{"the entries" + what, h.entries, raw}, {"the header" + what, h.my, d.encode(h)}}
}

// inOrder makes each write durable before the next one begins.
func (d disk) inOrder(to Disk, writes []write) error {
	for _, w := range writes {
		if _, err := to.WriteAt(w.data, int64(w.sector)*d.sector); err != nil {
			return fmt.Errorf("writing %s of the partition table: %w", w.what, err)
		}
		if err := to.Sync(); err != nil {
			return fmt.Errorf("making %s of the partition table durable: %w", w.what, err)
		}
	}
	return nil
}
