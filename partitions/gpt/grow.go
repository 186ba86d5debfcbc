package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/proa-os/proa/partitions"
)

// VarEnd is where var ends, in bytes, on a disk of diskSize bytes with sectors of
// sectorSize bytes: at the last whole MiB before the backup copy of the table.
func VarEnd(diskSize, sectorSize int64) int64 {
	backup := entriesReserve + sectorSize
	return (diskSize/sectorSize*sectorSize - backup) / partitions.Alignment * partitions.Alignment
}

// Grow makes the table of a disk whole that is larger than its table says, as
// after an image was copied to it: the backup copy comes to the new end, and var
// gets what is there to VarEnd, if it is the last partition. A copy that is
// damaged is made anew from the other one. It returns the table as it is then,
// and whether anything was written; where there is no var, or something behind it,
// nothing is.
//
// A power cut at any write leaves a whole primary copy, the old one or the new
// one, if there was one before: the backup copy is durable first, the new entries
// go to a place beside the old ones, and the header that points to them is one
// sector; then the same once more, back to the usual place. (Firmware would make do
// with the backup copy; Linux would not.) Run again, it finishes.
func Grow(on Disk, diskSize int64) (Table, bool, error) {
	before, err := Read(on, diskSize)
	if err != nil {
		return Table{}, false, err
	}
	last, ok := before.Find(partitions.RoleVar)
	for _, p := range before.Partitions {
		ok = ok && p.Start <= last.Start
	}
	if !ok {
		return before, false, nil
	}
	c := readCopies(on, diskSize, before.SectorSize)
	d := c.disk
	mbr, stale, err := d.staleMBR()
	if err != nil {
		return before, false, err
	}
	whole := before.Damaged == ""
	if whole && c.primary.header.alternate == d.sectors-1 && c.primary.header.entries == 2 {
		if !stale {
			return before, false, nil
		}
		return before, true, d.inOrder(on, []write{{"the protective MBR", 0, mbr}})
	}
	writes, err := d.growing(c, before, last)
	if err != nil {
		return before, false, fmt.Errorf("growing the partition table: %w", err)
	}
	if stale {
		writes = append(writes, write{"the protective MBR", 0, mbr})
	}
	if err := d.inOrder(on, writes); err != nil {
		return before, true, err
	}
	after, err := ReadSectors(on, diskSize, d.sector)
	if err == nil && after.Damaged != "" {
		err = errors.New(after.Damaged)
	}
	if err != nil {
		return after, true, fmt.Errorf("reading the new partition table back: %w", err)
	}
	return after, true, nil
}

// growing are the writes that bring both copies to where they belong. The primary
// one goes by way of a place beside its entries, so that each of its two headers
// points to entries that are durable.
func (d disk) growing(c copies, before Table, last partitions.Partition) ([]write, error) {
	used := c.primary
	if c.primaryErr != nil {
		used = c.backup
	}
	raw := bytes.Clone(used.raw)
	if end := VarEnd(before.DiskSize, d.sector); c.primaryErr == nil && used.header.alternate < d.sectors-1 && end > last.Start+last.Size {
		entry := raw[(last.Number-1)*int(used.header.entrySize):]
		binary.LittleEndian.PutUint64(entry[40:], uint64(end/d.sector)-1)
	}
	place := uint64(2)
	if c.primaryErr == nil {
		place = used.header.entries
	}
	beside := d.primaryHeader(used.header.diskGUID, raw, used.header.entrySize, place+d.sectorsOf(len(raw)))
	if first := byStart(before.Partitions)[0].Start; int64(beside.firstUsable)*d.sector > first {
		return nil, fmt.Errorf("no room for a second list of entries before the first partition at byte %d", first)
	}
	h := d.primaryHeader(used.header.diskGUID, raw, used.header.entrySize, 2)
	for _, copied := range []header{h.backup(), beside, h} {
		if err := d.check(copied, raw); err != nil {
			return nil, err
		}
	}
	backup := d.copyOf(h.backup(), raw, " of the backup copy")
	// Which entries count now is where the new ones must not be written first.
	primary := append(d.copyOf(beside, raw, " beside the old ones"), d.copyOf(h, raw, "")...)
	if c.primaryErr != nil { // the backup copy is the only one that is whole
		return append(primary, backup...), nil
	}
	return append(backup, primary...), nil
}

// staleMBR is the first sector with a protective entry of the disk's length, and
// whether the entry has another length now. Boot code and other entries stay.
func (d disk) staleMBR() (mbr []byte, stale bool, err error) {
	mbr = make([]byte, d.sector)
	if err := d.readAt(mbr, 0); err != nil {
		return nil, false, err
	}
	for entry := bootCodeEnd; entry < 510; entry += 16 {
		length := mbr[entry+12:]
		if mbr[entry+4] == 0xee && binary.LittleEndian.Uint32(mbr[entry+8:]) == 1 && binary.LittleEndian.Uint32(length) != d.mbrSectors() {
			binary.LittleEndian.PutUint32(length, d.mbrSectors())
			return mbr, true, nil
		}
	}
	return mbr, false, nil
}
