// Package bootcount is the record of the boots that nobody confirmed: one
// sector of the state partition, far from the journal's two copies.
//
// proa-init counts a boot before it opens the slot (Record.Begin), and the
// agent confirms it when the system is up (Record.Confirm). A committed slot that
// resets the machine again and again is noticed by that, whatever it is that
// resets it. Each write replaces the whole sector, so a power cut leaves the old
// record or the new one, and a record that cannot be read is an empty one:
// nothing depends on it but how soon a slot is read from end to end.
package bootcount

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/proa-os/proa/partitions"
)

const (
	// Offset is where the record is in the state partition, in bytes.
	Offset = 256 << 10
	// Size is the record's length in bytes.
	Size = partitions.SectorSize
	// Most is where counting ends: more says no more.
	Most = 250
)

var magic = [8]byte{'p', 'r', 'o', 'a', 'b', 'o', 'o', 't'}

// The places in the record, after the magic: for each slot the root hash that
// is counted and the count; at the end a CRC-32 (IEEE) of what is before it.
const (
	entrySize = 32 + 1
	sumAt     = Size - 4
)

// Record is the boots in a row of each slot that nobody confirmed.
type Record struct {
	slots [2]struct {
		root  [32]byte
		count uint8
	}
}

func index(slot partitions.Slot) int {
	if slot == partitions.SlotB {
		return 1
	}
	return 0
}

// ErrNone is the error of reading where there is no record: a new machine, or
// damage.
var ErrNone = errors.New("no record of boots")

// Read reads the record from the state partition. With any error the record is
// an empty one.
func Read(state io.ReaderAt) (Record, error) {
	raw := make([]byte, Size)
	if n, err := state.ReadAt(raw, Offset); n < Size {
		return Record{}, fmt.Errorf("record of boots: %w", err)
	}
	return parse(raw)
}

func parse(raw []byte) (Record, error) {
	if len(raw) != Size || !bytes.Equal(raw[:8], magic[:]) || binary.LittleEndian.Uint32(raw[sumAt:]) != crc32.ChecksumIEEE(raw[:sumAt]) {
		return Record{}, ErrNone
	}
	var r Record
	for i := range r.slots {
		at := raw[len(magic)+i*entrySize:]
		copy(r.slots[i].root[:], at)
		r.slots[i].count = min(at[32], Most)
	}
	return r, nil
}

// Bytes is the record as it is stored.
func (r Record) Bytes() []byte {
	raw := make([]byte, Size)
	copy(raw, magic[:])
	for i, s := range r.slots {
		at := raw[len(magic)+i*entrySize:]
		copy(at, s.root[:])
		at[32] = s.count
	}
	binary.LittleEndian.PutUint32(raw[sumAt:], crc32.ChecksumIEEE(raw[:sumAt]))
	return raw
}

// Unconfirmed is how many boots in a row of the slot, with this root hash,
// nobody confirmed.
func (r Record) Unconfirmed(slot partitions.Slot, root [32]byte) int {
	if s := r.slots[index(slot)]; s.root == root {
		return int(s.count)
	}
	return 0
}

// Begin is the record with one more boot of the slot.
func (r Record) Begin(slot partitions.Slot, root [32]byte) Record {
	return r.with(slot, root, min(r.Unconfirmed(slot, root)+1, Most))
}

// Confirm is the record after a boot of the slot was confirmed.
func (r Record) Confirm(slot partitions.Slot, root [32]byte) Record { return r.with(slot, root, 0) }

func (r Record) with(slot partitions.Slot, root [32]byte, count int) Record {
	s := &r.slots[index(slot)]
	s.root, s.count = root, uint8(count)
	return r
}
