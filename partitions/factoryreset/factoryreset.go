// Package factoryreset is the wish for a factory reset: one sector of the state
// partition, between the record of boots and the journal's second copy.
//
// The agent writes it (Request.Bytes), and proa-init grants it with the next
// boot: it makes the var partition blank, and clears the wish once that is on
// the disk (None). What is blank then is made anew as at a first boot. Each write
// replaces the whole sector, so a power cut leaves a wish or none, and a sector
// that cannot be read as one is none: nobody's data is forgotten for a damage.
package factoryreset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/proa-os/proa/partitions"
)

const (
	// Offset is where the wish is in the state partition, in bytes.
	Offset = 384 << 10
	// Size is its length in bytes.
	Size = partitions.SectorSize
)

var magic = [8]byte{'p', 'r', 'o', 'a', 'r', 's', 't', 1}

// The places in the sector: after the magic the time in seconds since 1970, at
// the end a CRC-32 (IEEE) of what is before it.
const (
	whenAt = 8
	sumAt  = Size - 4
)

// Request is a wish.
type Request struct {
	When time.Time // it was made, to the second, in UTC
}

// ErrNone is the error of reading where there is no wish.
var ErrNone = errors.New("no factory reset is asked for")

// Read reads the wish from the state partition; ErrNone where there is none.
func Read(state io.ReaderAt) (Request, error) {
	raw := make([]byte, Size)
	if n, err := state.ReadAt(raw, Offset); n < Size {
		return Request{}, fmt.Errorf("reading whether a factory reset is asked for: %w", err)
	}
	return parse(raw)
}

func parse(raw []byte) (Request, error) {
	if len(raw) != Size || !bytes.Equal(raw[:whenAt], magic[:]) || binary.LittleEndian.Uint32(raw[sumAt:]) != crc32.ChecksumIEEE(raw[:sumAt]) {
		return Request{}, ErrNone
	}
	return Request{When: time.Unix(int64(binary.LittleEndian.Uint64(raw[whenAt:])), 0).UTC()}, nil
}

// Bytes is the wish as it is stored.
func (r Request) Bytes() []byte {
	raw := make([]byte, Size)
	copy(raw, magic[:])
	binary.LittleEndian.PutUint64(raw[whenAt:], uint64(r.When.Unix()))
	binary.LittleEndian.PutUint32(raw[sumAt:], crc32.ChecksumIEEE(raw[:sumAt]))
	return raw
}

// None is what is stored where there is no wish.
func None() []byte { return make([]byte, Size) }
