// Package journal keeps the updater's notes on the state partition: what it
// was doing, which slot it had prepared, how the last trial ended, and which
// releases this host refuses.
//
// The notes are advice. Which slot leads is said by the boot loader's
// configuration and by nothing here, so a lost journal loses history, never
// the machine.
//
// On the medium there are two copies, 4 KiB each, at 0 and at CopyDistance. A
// write replaces the older copy, so a cut leaves the newer one. The format of
// a copy, numbers little-endian: 8 bytes of magic, 8 bytes of sequence number,
// 4 bytes of length, 12 bytes of zero, the record as JSON, zeros up to the
// last 32 bytes, and there the SHA-256 of everything before.
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/proa-os/proa/updater/hostfs"
)

const (
	// CopySize is the length of one copy in bytes.
	CopySize = 4096
	// CopyDistance is where the second copy starts.
	CopyDistance = 512 << 10

	headerSize  = 32
	payloadMost = CopySize - headerSize - sha256.Size
)

var magic = [8]byte{'p', 'r', 'o', 'a', 'j', 'n', 'l', 1}

// Journal is the state partition.
type Journal struct{ f hostfs.File }

// New is the journal in f, the state partition.
func New(f hostfs.File) *Journal { return &Journal{f} }

// Read is the newest record that is whole. Found is false when neither copy
// is: a new, zeroed or foreign partition, which is an ordinary state. The
// error is that of the medium.
func (j *Journal) Read() (record Record, found bool, err error) {
	record, _, _, found, err = j.newest()
	return record, found, err
}

// newest also gives the sequence number and the number of the copy.
func (j *Journal) newest() (record Record, sequence uint64, at int, found bool, err error) {
	var faults []error
	for i := range 2 {
		raw := make([]byte, CopySize)
		if n, err := j.f.ReadAt(raw, int64(i)*CopyDistance); n != CopySize {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			faults = append(faults, err)
			continue
		}
		r, seq, err := decode(raw)
		if err != nil {
			continue
		}
		if !found || seq > sequence {
			record, sequence, at, found = r, seq, i, true
		}
	}
	// One bad sector is what the other copy is for.
	if !found && len(faults) > 0 {
		return Record{}, 0, 0, false, fmt.Errorf("reading the journal: %w", errors.Join(faults...))
	}
	return record, sequence, at, found, nil
}

// Write replaces the older copy with record, syncs, and reads it back from
// the medium. When it returns nil the record survives a power cut; otherwise
// the one before it does.
func (j *Journal) Write(record Record) error {
	_, sequence, at, found, err := j.newest()
	if err != nil {
		return err
	}
	if sequence == math.MaxUint64 {
		sequence, found = 0, false // only an attacker or decay gets there; begin again
		if err := j.clear(); err != nil {
			return err
		}
	}
	target := 0
	if found {
		target = 1 - at
	}
	raw, err := encode(record, sequence+1)
	if err != nil {
		return err
	}
	return j.put(raw, int64(target)*CopyDistance)
}

func (j *Journal) put(raw []byte, off int64) error {
	if _, err := j.f.WriteAt(raw, off); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	if err := j.f.Drop(off, CopySize); err != nil {
		return err
	}
	back := make([]byte, CopySize)
	if _, err := j.f.ReadAt(back, off); err != nil {
		return fmt.Errorf("reading the journal back: %w", err)
	}
	if !bytes.Equal(back, raw) {
		return errors.New("reading the journal back: the medium did not keep what was written")
	}
	return nil
}

func (j *Journal) clear() error {
	for i := range 2 {
		if err := j.put(make([]byte, CopySize), int64(i)*CopyDistance); err != nil {
			return err
		}
	}
	return nil
}

func encode(record Record, sequence uint64) ([]byte, error) {
	payload, err := record.fit(payloadMost)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, CopySize)
	copy(raw, magic[:])
	binary.LittleEndian.PutUint64(raw[8:], sequence)
	binary.LittleEndian.PutUint32(raw[16:], uint32(len(payload)))
	copy(raw[headerSize:], payload)
	sum := sha256.Sum256(raw[:CopySize-sha256.Size])
	copy(raw[CopySize-sha256.Size:], sum[:])
	return raw, nil
}

func decode(raw []byte) (Record, uint64, error) {
	if len(raw) != CopySize || !bytes.Equal(raw[:8], magic[:]) {
		return Record{}, 0, errors.New("journal: no record here")
	}
	body := raw[:CopySize-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], raw[len(body):]) {
		return Record{}, 0, errors.New("journal: checksum differs")
	}
	length := binary.LittleEndian.Uint32(raw[16:])
	if length > payloadMost {
		return Record{}, 0, fmt.Errorf("journal: record of %d bytes: want at most %d", length, payloadMost)
	}
	var record Record
	// Unknown fields are left alone: an older agent must be able to read what a
	// newer one wrote, since the machine may go back to it.
	if err := json.Unmarshal(body[headerSize:headerSize+length], &record); err != nil {
		return Record{}, 0, fmt.Errorf("journal: %w", err)
	}
	if err := record.check(); err != nil {
		return Record{}, 0, err
	}
	return record, binary.LittleEndian.Uint64(raw[8:]), nil
}
