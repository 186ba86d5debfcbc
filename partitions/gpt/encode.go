package gpt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"unicode/utf16"

	"github.com/proa-os/proa/partitions"
)

// What tables have that are made here: 128 entries of 128 bytes, as everybody's.
const (
	entryCount  = 128
	nameUnits   = 36 // UTF-16 code units
	bootCodeEnd = 446
)

// encodeEntries makes the list of entries for partitions on a disk of sectors
// of d's size.
func (d disk) encodeEntries(all []partitions.Partition) ([]byte, error) {
	le := binary.LittleEndian
	raw := make([]byte, entryCount*leastEntry)
	for _, p := range all {
		if p.Number < 1 || p.Number > entryCount {
			return nil, fmt.Errorf("partition %d: want a number from 1 to %d", p.Number, entryCount)
		}
		if p.Start%d.sector != 0 || p.Size%d.sector != 0 || p.Start <= 0 || p.Size <= 0 {
			return nil, fmt.Errorf("partition %d at byte %d with %d bytes: want whole sectors of %d bytes", p.Number, p.Start, p.Size, d.sector)
		}
		if p.Type.IsZero() || p.GUID.IsZero() {
			return nil, fmt.Errorf("partition %d: want a type and a GUID", p.Number)
		}
		name := utf16.Encode([]rune(string(p.Role)))
		if len(name) > nameUnits || slices.Contains(name, 0) {
			return nil, fmt.Errorf("partition %d with the name %q: want at most %d characters, and no zeros", p.Number, p.Role, nameUnits)
		}
		entry := raw[(p.Number-1)*leastEntry:][:leastEntry]
		if !bytes.Equal(entry, make([]byte, leastEntry)) {
			return nil, fmt.Errorf("two partitions with the number %d", p.Number)
		}
		kind, guid := p.Type.Disk(), p.GUID.Disk()
		copy(entry, kind[:])
		copy(entry[16:], guid[:])
		le.PutUint64(entry[32:], uint64(p.Start/d.sector))
		le.PutUint64(entry[40:], uint64((p.Start+p.Size)/d.sector-1))
		for i, unit := range name {
			le.PutUint16(entry[56+2*i:], unit)
		}
	}
	return raw, nil
}

// sectorsOf is how many sectors hold n bytes.
func (d disk) sectorsOf(n int) uint64 { return (uint64(n) + uint64(d.sector) - 1) / uint64(d.sector) }

// primaryHeader is the header of a table that has its entries in the sector
// entriesAt and on, and its backup copy at the end of the disk.
func (d disk) primaryHeader(guid partitions.GUID, raw []byte, entrySize uint32, entriesAt uint64) header {
	return header{
		my:          1,
		alternate:   d.sectors - 1,
		firstUsable: max(entriesAt+d.sectorsOf(len(raw)), 2+entriesReserve/uint64(d.sector)),
		lastUsable:  d.sectors - 2 - max(d.sectorsOf(len(raw)), entriesReserve/uint64(d.sector)),
		diskGUID:    guid,
		entries:     entriesAt,
		count:       uint32(len(raw)) / entrySize,
		entrySize:   entrySize,
		entriesCRC:  crc32.ChecksumIEEE(raw),
	}
}

// backup is the header of the copy at the end of the disk, whose entries stand
// before it.
func (h header) backup() header {
	h.my, h.alternate = h.alternate, h.my
	h.entries = h.lastUsable + 1
	return h
}

// encode makes the header's sector.
func (d disk) encode(h header) []byte {
	le := binary.LittleEndian
	raw := make([]byte, d.sector)
	copy(raw, Signature)
	le.PutUint32(raw[8:], revision)
	le.PutUint32(raw[12:], leastHeader)
	le.PutUint64(raw[24:], h.my)
	le.PutUint64(raw[32:], h.alternate)
	le.PutUint64(raw[40:], h.firstUsable)
	le.PutUint64(raw[48:], h.lastUsable)
	guid := h.diskGUID.Disk()
	copy(raw[56:], guid[:])
	le.PutUint64(raw[72:], h.entries)
	le.PutUint32(raw[80:], h.count)
	le.PutUint32(raw[84:], h.entrySize)
	le.PutUint32(raw[88:], h.entriesCRC)
	le.PutUint32(raw[16:], crc32.ChecksumIEEE(raw[:leastHeader]))
	return raw
}

// protectiveMBR is the sector that tells tools which do not know GPT that the
// disk is in use (UEFI Specification 2.10, section 5.2.3).
func (d disk) protectiveMBR() []byte {
	raw := make([]byte, d.sector)
	entry := raw[bootCodeEnd:]
	copy(entry[1:], []byte{0x00, 0x02, 0x00}) // sector 1 in cylinders, heads and sectors
	entry[4] = 0xee
	copy(entry[5:], []byte{0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(entry[8:], 1)
	binary.LittleEndian.PutUint32(entry[12:], d.mbrSectors())
	raw[510], raw[511] = 0x55, 0xaa
	return raw
}

// mbrSectors is the length that the protective MBR gives the disk after it.
func (d disk) mbrSectors() uint32 { return uint32(min(d.sectors-1, math.MaxUint32)) }

// check reads a copy of a table as everybody will, before it is written.
func (d disk) check(h header, raw []byte) error {
	if err := d.checkHeader(h, h.my); err != nil {
		return err
	}
	_, err := d.parseEntries(h, raw)
	return err
}
