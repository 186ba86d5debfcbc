// Package replay makes the states that a disk can be in after its power was
// cut, from what it was told: see Log.Each. A disk keeps what it completed
// before the last flush, and of what came after it any part, in any order,
// down to single sectors.
package replay

import (
	"fmt"
	"hash/maphash"
	"io"

	"github.com/proa-os/proa/torture/writelog"
)

const sectorSize = writelog.SectorSize

// Disk is a disk in memory: a base that is read, and sectors of a log on top
// of it.
type Disk struct {
	base    io.ReaderAt
	writes  []writelog.Entry
	sources []uint32 // by sector: 0 for the base, else 1 + the number of a write
	seed    maphash.Seed
}

// NewDisk is a disk of size bytes before any of the writes.
func NewDisk(base io.ReaderAt, size int64, writes []writelog.Entry) (*Disk, error) {
	if size%sectorSize != 0 {
		return nil, fmt.Errorf("a disk of %d bytes: want whole sectors", size)
	}
	d := &Disk{base: base, writes: writes, sources: make([]uint32, size/sectorSize), seed: maphash.MakeSeed()}
	for i, w := range writes {
		if w.Flush && w.Sectors > 0 || w.FUA {
			return nil, fmt.Errorf("entry %d: a write that flushes: QEMU's virtio disks know none", i)
		}
		if w.Sector+w.Sectors > size/sectorSize {
			return nil, fmt.Errorf("entry %d: %d sectors from %d: the disk has %d", i, w.Sectors, w.Sector, size/sectorSize)
		}
	}
	return d, nil
}

// Size is in bytes.
func (d *Disk) Size() int64 { return int64(len(d.sources)) * sectorSize }

// ReadAt implements io.ReaderAt.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= d.Size() {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), d.Size()-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		first := at / sectorSize
		source := d.sources[first]
		// As far as the base, or one write, goes on.
		end := first + 1
		for end*sectorSize < off+int64(len(p)) && d.sources[end] == source {
			end++
		}
		piece := p[done:min(len(p), int(end*sectorSize-off))]
		if err := d.read(piece, at, source); err != nil {
			return done, err
		}
		done += len(piece)
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

func (d *Disk) read(p []byte, at int64, source uint32) error {
	if source == 0 {
		_, err := d.base.ReadAt(p, at)
		return err
	}
	w := d.writes[source-1]
	if w.Discard {
		clear(p) // what QEMU makes of it
		return nil
	}
	copy(p, w.Data[at-w.Sector*sectorSize:])
	return nil
}

// Fingerprint tells contents of a part of the disk apart: two states that have
// the same one are the same there. Offset and size are bytes, the part is
// widened to whole sectors.
func (d *Disk) Fingerprint(offset, size int64) uint64 {
	first, end := offset/sectorSize, (offset+size+sectorSize-1)/sectorSize
	var h maphash.Hash
	h.SetSeed(d.seed)
	var raw [4096]byte
	n := 0
	for _, source := range d.sources[first:min(end, int64(len(d.sources)))] {
		raw[n], raw[n+1], raw[n+2], raw[n+3] = byte(source), byte(source>>8), byte(source>>16), byte(source>>24)
		if n += 4; n == len(raw) {
			h.Write(raw[:])
			n = 0
		}
	}
	h.Write(raw[:n])
	return h.Sum64()
}

// Changed calls do for every piece that differs from the base, in order.
func (d *Disk) Changed(do func(offset int64, content []byte) error) error {
	for first := int64(0); first < int64(len(d.sources)); {
		source := d.sources[first]
		end := first + 1
		for end < int64(len(d.sources)) && d.sources[end] == source {
			end++
		}
		if source != 0 {
			content := make([]byte, (end-first)*sectorSize)
			if err := d.read(content, first*sectorSize, source); err != nil {
				return err
			}
			if err := do(first*sectorSize, content); err != nil {
				return err
			}
		}
		first = end
	}
	return nil
}

// part is a range of sectors of one write.
type part struct {
	write      int
	from, till int64 // sectors from its start
}

func (d *Disk) whole(write int) part { return part{write, 0, d.writes[write].Sectors} }

// apply puts the part onto the disk and returns what undoes it.
func (d *Disk) apply(p part) (undo func()) {
	w := d.writes[p.write]
	sectors := d.sources[w.Sector+p.from : w.Sector+p.till]
	before := make([]uint32, len(sectors))
	copy(before, sectors)
	for i := range sectors {
		sectors[i] = uint32(p.write) + 1
	}
	return func() { copy(sectors, before) }
}

func (d *Disk) put(p part) {
	w := d.writes[p.write]
	for i := w.Sector + p.from; i < w.Sector+p.till; i++ {
		d.sources[i] = uint32(p.write) + 1
	}
}
