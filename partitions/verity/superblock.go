package verity

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Superblock is the description at the start of a stored tree. It is for
// showing and for veritysetup, never a source of trust.
type Superblock struct {
	UUID   [16]byte // in the byte order of its text
	Blocks uint64   // data blocks
	Salt   []byte
}

// The fields of struct verity_sb (cryptsetup, lib/verity/verity.c), all
// little-endian; what is between and after them is zero.
const (
	sbMagic     = "verity\x00\x00"
	sbVersion   = 8  // uint32: 1
	sbHashType  = 12 // uint32: 1
	sbUUID      = 16
	sbAlgorithm = 32 // 32 bytes, zero-terminated
	sbDataBlock = 64 // uint32
	sbHashBlock = 68 // uint32
	sbBlocks    = 72 // uint64
	sbSaltSize  = 80 // uint16
	sbSalt      = 88 // 256 bytes
	sbEnd       = 512
)

const algorithm = "sha256"

// encode is the superblock in a whole block, as it is on disk.
func (s Superblock) encode() []byte {
	b := make([]byte, BlockSize)
	copy(b, sbMagic)
	binary.LittleEndian.PutUint32(b[sbVersion:], 1)
	binary.LittleEndian.PutUint32(b[sbHashType:], 1)
	copy(b[sbUUID:], s.UUID[:])
	copy(b[sbAlgorithm:], algorithm)
	binary.LittleEndian.PutUint32(b[sbDataBlock:], BlockSize)
	binary.LittleEndian.PutUint32(b[sbHashBlock:], BlockSize)
	binary.LittleEndian.PutUint64(b[sbBlocks:], s.Blocks)
	binary.LittleEndian.PutUint16(b[sbSaltSize:], uint16(len(s.Salt)))
	copy(b[sbSalt:], s.Salt)
	return b
}

// ParseSuperblock reads a superblock from the first 512 bytes or more of a
// stored tree. It accepts only what this package writes: version 1, hash type
// 1, SHA-256, blocks of 4096 bytes, MinBlocks to MaxBlocks data blocks, zeros
// wherever there is no field.
func ParseSuperblock(b []byte) (Superblock, error) {
	if len(b) < sbEnd {
		return Superblock{}, fmt.Errorf("verity superblock of %d bytes: want at least %d", len(b), sbEnd)
	}
	if len(b) > BlockSize {
		b = b[:BlockSize]
	}
	if !bytes.HasPrefix(b, []byte(sbMagic)) {
		return Superblock{}, fmt.Errorf("verity superblock: magic %q: want %q", b[:len(sbMagic)], sbMagic)
	}
	for _, field := range []struct {
		name   string
		offset int
		want   uint32
	}{
		{"version", sbVersion, 1},
		{"hash type", sbHashType, 1},
		{"data block size", sbDataBlock, BlockSize},
		{"hash block size", sbHashBlock, BlockSize},
	} {
		if got := binary.LittleEndian.Uint32(b[field.offset:]); got != field.want {
			return Superblock{}, fmt.Errorf("verity superblock: %s %d: want %d", field.name, got, field.want)
		}
	}
	saltSize := binary.LittleEndian.Uint16(b[sbSaltSize:])
	if saltSize > SaltMost {
		return Superblock{}, fmt.Errorf("verity superblock: salt of %d bytes: want at most %d", saltSize, SaltMost)
	}
	s := Superblock{
		UUID:   [16]byte(b[sbUUID:]),
		Blocks: binary.LittleEndian.Uint64(b[sbBlocks:]),
		Salt:   bytes.Clone(b[sbSalt : sbSalt+int(saltSize)]),
	}
	if err := check(s.Blocks, s.Salt); err != nil {
		return Superblock{}, fmt.Errorf("verity superblock: %w", err)
	}
	// One superblock has one spelling: the algorithm, the padding of every
	// field and the rest of the block are compared this way.
	if want := s.encode(); !bytes.Equal(want[:len(b)], b) {
		return Superblock{}, fmt.Errorf("verity superblock: want algorithm %q and zeros outside of the fields", algorithm)
	}
	return s, nil
}
