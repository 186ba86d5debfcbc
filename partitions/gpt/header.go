package gpt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/proa-os/proa/partitions"
)

// Signature is what the header of a table begins with.
const Signature = "EFI PART"

// Bounds of what a header may say (UEFI Specification 2.10, section 5.3.2).
// They hold before anything is allocated.
const (
	revision       = 0x00010000
	leastHeader    = 92    // bytes
	leastEntry     = 128   // bytes; others are 128 times a power of two
	mostEntry      = 4096  // bytes; no table in the field goes beyond 128
	mostEntries    = 1024  // no table in the field goes beyond 128
	entriesReserve = 16384 // bytes that the specification keeps for the entries
	leastSectors   = 4     // MBR, two headers, something between
)

// disk is a disk seen as sectors.
type disk struct {
	r       io.ReaderAt
	sector  int64
	sectors uint64
}

// header is one copy of the table's header.
type header struct {
	my, alternate           uint64 // sectors
	firstUsable, lastUsable uint64 // sectors, both inclusive
	diskGUID                partitions.GUID
	entries                 uint64 // first sector of the entries
	count, entrySize        uint32
	entriesCRC              uint32
}

// parsed is one whole copy of the table.
type parsed struct {
	header     header
	raw        []byte // the entries
	partitions []partitions.Partition
}

// agrees reports whether the copies describe the same partitions.
func (p parsed) agrees(q parsed) bool {
	return p.header.diskGUID == q.header.diskGUID &&
		p.header.entriesCRC == q.header.entriesCRC &&
		p.header.count == q.header.count &&
		p.header.firstUsable == q.header.firstUsable &&
		p.header.lastUsable == q.header.lastUsable
}

// checkProtectiveMBR wants what Linux wants: the boot signature and an entry
// of type 0xEE that begins at sector 1.
func (d disk) checkProtectiveMBR() error {
	mbr := make([]byte, 512)
	if err := d.readAt(mbr, 0); err != nil {
		return err
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return fmt.Errorf("%w: no protective MBR: no boot signature", ErrNoTable)
	}
	for entry := 446; entry < 510; entry += 16 {
		if mbr[entry+4] == 0xee && binary.LittleEndian.Uint32(mbr[entry+8:]) == 1 {
			return nil
		}
	}
	return fmt.Errorf("%w: no protective MBR: no entry of type 0xee for sector 1", ErrNoTable)
}

// readCopy reads and checks the copy whose header is in the given sector.
func (d disk) readCopy(at uint64) (parsed, error) {
	raw := make([]byte, d.sector)
	if err := d.readAt(raw, at); err != nil {
		return parsed{}, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return parsed{}, err
	}
	if err := d.checkHeader(h, at); err != nil {
		return parsed{}, err
	}
	entries := make([]byte, int64(h.count)*int64(h.entrySize))
	if err := d.readAt(entries, h.entries); err != nil {
		return parsed{}, err
	}
	if sum := crc32.ChecksumIEEE(entries); sum != h.entriesCRC {
		return parsed{}, fmt.Errorf("checksum of the entries %08x: want %08x", sum, h.entriesCRC)
	}
	found, err := d.parseEntries(h, entries)
	if err != nil {
		return parsed{}, err
	}
	return parsed{header: h, raw: entries, partitions: found}, nil
}

// parseHeader checks what can be checked within the sector itself.
func parseHeader(raw []byte) (header, error) {
	le := binary.LittleEndian
	if !bytes.HasPrefix(raw, []byte(Signature)) {
		return header{}, fmt.Errorf("%w: no signature %q", ErrNoTable, Signature)
	}
	if v := le.Uint32(raw[8:]); v != revision {
		return header{}, fmt.Errorf("revision %#08x: want %#08x", v, revision)
	}
	size := le.Uint32(raw[12:])
	if size < leastHeader || int64(size) > int64(len(raw)) {
		return header{}, fmt.Errorf("header of %d bytes: want %d to %d", size, leastHeader, len(raw))
	}
	want := le.Uint32(raw[16:])
	blanked := bytes.Clone(raw[:size])
	clear(blanked[16:20])
	if sum := crc32.ChecksumIEEE(blanked); sum != want {
		return header{}, fmt.Errorf("checksum of the header %08x: want %08x", sum, want)
	}
	h := header{
		my:          le.Uint64(raw[24:]),
		alternate:   le.Uint64(raw[32:]),
		firstUsable: le.Uint64(raw[40:]),
		lastUsable:  le.Uint64(raw[48:]),
		diskGUID:    partitions.GUIDFromDisk([16]byte(raw[56:72])),
		entries:     le.Uint64(raw[72:]),
		count:       le.Uint32(raw[80:]),
		entrySize:   le.Uint32(raw[84:]),
		entriesCRC:  le.Uint32(raw[88:]),
	}
	if h.count < 1 || h.count > mostEntries {
		return header{}, fmt.Errorf("%d entries: want 1 to %d", h.count, mostEntries)
	}
	if h.entrySize < leastEntry || h.entrySize > mostEntry || h.entrySize&(h.entrySize-1) != 0 {
		return header{}, fmt.Errorf("entries of %d bytes: want a power of two from %d to %d", h.entrySize, leastEntry, mostEntry)
	}
	return h, nil
}

// checkHeader checks that the header describes this disk and its own place.
// Every comparison is arranged so that no sum can overflow.
func (d disk) checkHeader(h header, at uint64) error {
	if h.my != at {
		return fmt.Errorf("header in sector %d says that it is in sector %d", at, h.my)
	}
	primary := at == 1
	if primary && (h.alternate <= 1 || h.alternate >= d.sectors) {
		return fmt.Errorf("backup header in sector %d: want 2 to %d", h.alternate, d.sectors-1)
	}
	if !primary && h.alternate != 1 {
		return fmt.Errorf("primary header in sector %d: want 1", h.alternate)
	}
	backup := max(h.my, h.alternate)
	least := 2 + uint64(entriesReserve/d.sector)
	if h.firstUsable < least || h.firstUsable > h.lastUsable || h.lastUsable >= backup {
		return fmt.Errorf("usable sectors %d to %d: want them within %d to %d", h.firstUsable, h.lastUsable, least, backup-1)
	}
	from, to := uint64(2), h.firstUsable
	if !primary {
		from, to = h.lastUsable+1, h.my
	}
	length := (uint64(h.count)*uint64(h.entrySize) + uint64(d.sector) - 1) / uint64(d.sector)
	if h.entries < from || h.entries > to || to-h.entries < length {
		return fmt.Errorf("%d sectors of entries from sector %d: want them within %d to %d", length, h.entries, from, to-1)
	}
	return nil
}

func (d disk) readAt(p []byte, sector uint64) error {
	if n, err := d.r.ReadAt(p, int64(sector)*d.sector); n < len(p) {
		return fmt.Errorf("reading sector %d: %w", sector, err)
	}
	return nil
}
