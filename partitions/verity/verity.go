// Package verity computes, stores and checks dm-verity hash trees: SHA-256,
// data and hash blocks of 4096 bytes, salt before the block (hash type 1), no
// forward error correction. What it stores is byte for byte what
// "veritysetup format" writes to a separate hash device: a superblock in the
// first block, then the tree, its top block first.
//
// To make a tree, hash an image with HashImage, or fill a Builder as the image
// arrives, and Store the Tree. To find out whether a partition holds the tree
// of a root hash, ask Root.Holds, which reads one block. To check everything,
// Verify.
//
// The package never trusts a stored superblock: what dm-verity needs is in
// Root, and a Root comes from a signed place. Formats: cryptsetup,
// lib/verity/verity.c and verity_hash.c; the kernel's
// Documentation/admin-guide/device-mapper/verity.rst.
package verity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// The fixed measures, in bytes.
const (
	BlockSize = 4096 // of data and of hash blocks
	HashSize  = sha256.Size

	// TopOffset is where the tree's top block is in a verity partition: right
	// after the superblock's block, however large the tree.
	TopOffset = BlockSize

	// HashStartBlock is the same place in blocks, as dm-verity's table wants it.
	HashStartBlock = TopOffset / BlockSize
)

// The least and most data blocks. A single block would have no tree, only a
// root hash, so nothing on disk to find a slot by; 2^32 blocks (16 TiB) is what
// EROFS can address.
const (
	MinBlocks = 2
	MaxBlocks = 1 << 32
)

// SaltMost is the longest salt that a superblock can hold, in bytes.
const SaltMost = 256

const hashesPerBlock = BlockSize / HashSize

// Root is what it takes to check an image: the root hash and the parameters it
// was computed with.
type Root struct {
	Hash   [HashSize]byte
	Salt   []byte // at most SaltMost bytes
	Blocks uint64 // data blocks, MinBlocks to MaxBlocks
}

// ParseRoot reads a root from its text: 64 hex digits, the salt in hex digits,
// decimal data blocks, as on the kernel command line.
func ParseRoot(hash, salt, blocks string) (Root, error) {
	var root Root
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != HashSize {
		return Root{}, fmt.Errorf("root hash %.80q: want %d hex digits", hash, 2*HashSize)
	}
	copy(root.Hash[:], raw)
	if root.Salt, err = hex.DecodeString(salt); err != nil {
		return Root{}, fmt.Errorf("salt %.80q: want hex digits", salt)
	}
	if root.Blocks, err = strconv.ParseUint(blocks, 10, 64); err != nil {
		return Root{}, fmt.Errorf("data blocks %.80q: want a decimal number", blocks)
	}
	if err := check(root.Blocks, root.Salt); err != nil {
		return Root{}, err
	}
	return root, nil
}

// Size is the bytes of data that r covers.
func (r Root) Size() int64 { return int64(r.Blocks) * BlockSize }

// MatchesTop reports whether block is the top block of r's tree.
func (r Root) MatchesTop(block []byte) bool {
	return len(block) == BlockSize && string(LeafHashes(nil, r.Salt, block)) == string(r.Hash[:])
}

// Holds reports whether the verity partition p, read from its start, has the
// top block of r's tree. An error means that p could not be read; a partition
// too short for a top block holds nothing.
func (r Root) Holds(p io.ReaderAt) (bool, error) {
	block := make([]byte, BlockSize)
	n, err := p.ReadAt(block, TopOffset)
	if n < BlockSize {
		if err == io.EOF {
			return false, nil
		}
		return false, fmt.Errorf("reading the top verity block: %w", err)
	}
	return r.MatchesTop(block), nil
}

// TreeSize is the bytes of a stored tree over the given number of data blocks,
// its superblock included.
func TreeSize(blocks uint64) int64 {
	size := int64(BlockSize)
	for _, n := range levelBlocks(blocks) {
		size += int64(n) * BlockSize
	}
	return size
}

// LeafHashes appends to dst the hash of each 4096-byte block of data, 32 bytes
// each, and returns the extended slice. The length of data must be a multiple
// of BlockSize; it panics otherwise, since a caller has a bug then.
func LeafHashes(dst, salt, data []byte) []byte {
	if len(data)%BlockSize != 0 {
		panic(fmt.Sprintf("verity: %d bytes are not whole blocks of %d", len(data), BlockSize))
	}
	h := sha256.New()
	for ; len(data) > 0; data = data[BlockSize:] {
		h.Reset()
		h.Write(salt)
		h.Write(data[:BlockSize])
		dst = h.Sum(dst)
	}
	return dst
}

// check refuses what no Root may have.
func check(blocks uint64, salt []byte) error {
	if blocks < MinBlocks || blocks > MaxBlocks {
		return fmt.Errorf("verity tree over %d data blocks: want %d to %d", blocks, MinBlocks, MaxBlocks)
	}
	if len(salt) > SaltMost {
		return fmt.Errorf("verity salt of %d bytes: want at most %d", len(salt), SaltMost)
	}
	return nil
}

// levelBlocks is the number of hash blocks in each level, from level 0 (the
// one that holds the leaf hashes) to the top, which has one.
func levelBlocks(blocks uint64) []uint64 {
	var levels []uint64
	for n := blocks; n > 1; {
		n = (n + hashesPerBlock - 1) / hashesPerBlock
		levels = append(levels, n)
	}
	return levels
}
