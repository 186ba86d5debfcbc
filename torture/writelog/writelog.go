// Package writelog reads what a disk was told, write by write: logs in the
// format of the kernel's dm-log-writes target
// (Documentation/admin-guide/device-mapper/log-writes.rst), as QEMU's driver
// blklogwrites makes them. Both put an entry into the log when the disk has
// completed it.
//
// A log is a super block of one sector, then entries: a header of one sector,
// and the data. It has no end of its own while it is written: the first header
// that is all zero is taken for it.
package writelog

import (
	"encoding/binary"
	"fmt"
	"io"
)

// SectorSize is that of the logs that are read, in bytes.
const SectorSize = 512

// DataMost is the most that one entry may carry, in bytes: far above what any
// disk is told at once.
const DataMost = 64 << 20

const (
	magic   = 0x6a736677736872
	version = 1

	flagFlush   = 1 << 0
	flagFUA     = 1 << 1
	flagDiscard = 1 << 2
	flagMark    = 1 << 3
	flagsKnown  = flagFlush | flagFUA | flagDiscard | flagMark
)

// Entry is one thing that the disk was told.
type Entry struct {
	Sector  int64  // the first, of SectorSize bytes
	Sectors int64  // how many
	Flush   bool   // everything before it is durable
	FUA     bool   // it is itself durable
	Discard bool   // the sectors may hold anything from now on
	Data    []byte // what was written: SectorSize times Sectors, or nothing
}

// Reader reads a log from its start. It can go on where it stopped, when the log
// has grown.
type Reader struct {
	log   io.ReaderAt
	size  int64 // bytes
	next  int64 // where the next entry begins, in bytes; 0 before the super block was read
	count int
}

// NewReader reads a log in the size bytes of r.
func NewReader(r io.ReaderAt, size int64) *Reader { return &Reader{log: r, size: size} }

// Count is how many entries were read or skipped so far.
func (r *Reader) Count() int { return r.count }

// Next is the next entry; io.EOF means that there is none yet. Marks are passed
// over.
func (r *Reader) Next() (Entry, error) {
	for {
		e, flags, length, err := r.header()
		if err != nil {
			return Entry{}, err
		}
		if flags&flagMark == 0 && length > 0 {
			e.Data = make([]byte, length)
			if _, err := r.log.ReadAt(e.Data, r.next+SectorSize); err != nil {
				return Entry{}, fmt.Errorf("entry %d: its data: %w", r.count, err)
			}
		}
		r.pass(length)
		if flags&flagMark == 0 {
			return e, nil
		}
	}
}

// Skip passes over every entry that is there.
func (r *Reader) Skip() error {
	for {
		_, _, length, err := r.header()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r.pass(length)
	}
}

// pass moves behind an entry with so many bytes of data.
func (r *Reader) pass(length int64) {
	r.next += SectorSize + (length+SectorSize-1)/SectorSize*SectorSize
	r.count++
}

// header reads the next entry's header, and moves nowhere.
func (r *Reader) header() (e Entry, flags uint64, length int64, err error) {
	if r.next == 0 {
		if err := r.super(); err != nil {
			return Entry{}, 0, 0, err
		}
	}
	var raw [32]byte
	if r.next > r.size-SectorSize {
		return Entry{}, 0, 0, io.EOF
	}
	if _, err := r.log.ReadAt(raw[:], r.next); err != nil {
		return Entry{}, 0, 0, fmt.Errorf("entry %d: %w", r.count, err)
	}
	if raw == [32]byte{} {
		return Entry{}, 0, 0, io.EOF
	}
	sector, sectors := binary.LittleEndian.Uint64(raw[0:]), binary.LittleEndian.Uint64(raw[8:])
	flags = binary.LittleEndian.Uint64(raw[16:])
	data := binary.LittleEndian.Uint64(raw[24:]) // of a mark; writes say it by their sectors, discards have none
	const most = 1 << 54                         // sectors whose bytes can be counted
	switch {
	case flags&^flagsKnown != 0:
		err = fmt.Errorf("flags %#x: want those of dm-log-writes", flags)
	case sector > most || sectors > most:
		err = fmt.Errorf("%d sectors from sector %d: want less than 2^54", sectors, sector)
	case flags&(flagMark|flagDiscard) == 0:
		data = sectors * SectorSize
	case flags&flagDiscard != 0:
		data = 0
	}
	switch {
	case err != nil:
	case data > DataMost:
		err = fmt.Errorf("%d bytes of data: want %d at most", data, DataMost)
	case r.next+SectorSize+int64(data) > r.size:
		err = fmt.Errorf("its %d bytes of data are beyond the end of the log", data)
	}
	if err != nil {
		return Entry{}, 0, 0, fmt.Errorf("entry %d: %w", r.count, err)
	}
	return Entry{
		Sector: int64(sector), Sectors: int64(sectors),
		Flush: flags&flagFlush != 0, FUA: flags&flagFUA != 0, Discard: flags&flagDiscard != 0,
	}, flags, int64(data), nil
}

// super reads the super block. QEMU writes it late: as long as it is all zero,
// the entries are believed.
func (r *Reader) super() error {
	var raw [28]byte
	if r.size < SectorSize {
		return fmt.Errorf("a log of %d bytes: want at least %d", r.size, SectorSize)
	}
	if _, err := r.log.ReadAt(raw[:], 0); err != nil {
		return fmt.Errorf("super block: %w", err)
	}
	switch {
	case raw == [28]byte{}:
	case binary.LittleEndian.Uint64(raw[0:]) != magic:
		return fmt.Errorf("super block: not that of a dm-log-writes log")
	case binary.LittleEndian.Uint64(raw[8:]) != version:
		return fmt.Errorf("super block: version %d: want %d", binary.LittleEndian.Uint64(raw[8:]), version)
	case binary.LittleEndian.Uint32(raw[24:]) != SectorSize:
		return fmt.Errorf("super block: sectors of %d bytes: want %d", binary.LittleEndian.Uint32(raw[24:]), SectorSize)
	}
	r.next = SectorSize
	return nil
}
