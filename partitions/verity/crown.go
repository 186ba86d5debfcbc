package verity

import (
	"context"
	"fmt"
	"io"
)

// Crown is a hash tree above its leaf level: 32 bytes of memory for each 128
// data blocks. It is what there is to keep of a tree whose leaf level, 128
// times as large, is on disk.
type Crown struct {
	root   Root
	levels [][]byte // from level 1 up; none when the leaf level is the top
}

// LeafOffset is where the leaf level of a stored tree over the given number of
// data blocks starts, in bytes from the superblock on. The hash of data block n
// is n*HashSize bytes behind it; zeros fill the level's last block.
func LeafOffset(blocks uint64) int64 { return levelOffset(blocks, 0) }

// leafBlocks is the number of hash blocks in the leaf level.
func leafBlocks(blocks uint64) uint64 { return (blocks + hashesPerBlock - 1) / hashesPerBlock }

// ReadCrown reads the leaf level of a stored tree, the superblock first in
// stored, and builds what belongs above it. Of what is stored above it looks at
// nothing. It calls visit, unless that is nil, with the level's hashes in
// order, without the zeros at the end, in pieces of any number of whole hashes.
func ReadCrown(ctx context.Context, stored io.ReaderAt, blocks uint64, salt []byte, visit func(hashes []byte) error) (*Crown, error) {
	if err := check(blocks, salt); err != nil {
		return nil, err
	}
	start, size := LeafOffset(blocks), int64(leafBlocks(blocks))*BlockSize
	// A wrong block count shows here, before memory is asked for.
	if err := readFull(stored, make([]byte, 1), start+size-1); err != nil {
		return nil, fmt.Errorf("verity leaf level over %d data blocks: %w", blocks, err)
	}
	hashes := make([]byte, 0, size/hashesPerBlock)
	buffer := make([]byte, min(size, 256<<10))
	used := int64(blocks) * HashSize
	for at := int64(0); at < size; at += int64(len(buffer)) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		piece := buffer[:min(int64(len(buffer)), size-at)]
		if err := readFull(stored, piece, start+at); err != nil {
			return nil, fmt.Errorf("verity leaf level: %w", err)
		}
		hashes = LeafHashes(hashes, salt, piece)
		if visit == nil {
			continue
		}
		if err := visit(piece[:min(int64(len(piece)), used-at)]); err != nil {
			return nil, err
		}
	}
	return newCrown(hashes, blocks, salt), nil
}

// newCrown builds it over the hashes of the leaf level's blocks.
func newCrown(hashes []byte, blocks uint64, salt []byte) *Crown {
	c := &Crown{root: Root{Salt: append([]byte{}, salt...), Blocks: blocks}}
	var top []byte
	c.levels, top = grow(hashes, levelBlocks(blocks)[1:], c.root.Salt)
	copy(c.root.Hash[:], top)
	return c
}

// Root is the root hash and the parameters of the tree.
func (c *Crown) Root() Root { return c.root }

// Bytes is what is stored before the leaf level: the superblock in a block of
// its own, then the levels from the top down to the one above the leaves. These
// are LeafOffset(blocks) bytes.
func (c *Crown) Bytes(uuid [16]byte) []byte {
	out := Superblock{UUID: uuid, Blocks: c.root.Blocks, Salt: c.root.Salt}.encode()
	for i := len(c.levels) - 1; i >= 0; i-- {
		out = append(out, c.levels[i]...)
	}
	return out
}

// CrownBuilder builds a Crown from leaf hashes that come in order, without a
// leaf level on disk. The zero value is not usable; see NewCrownBuilder.
type CrownBuilder struct {
	root   Root
	block  []byte // the leaf level's block that is not full yet
	hashes []byte // of those that were
	seen   uint64 // data blocks
}

// NewCrownBuilder prepares for a tree over the given number of data blocks.
func NewCrownBuilder(blocks uint64, salt []byte) (*CrownBuilder, error) {
	if err := check(blocks, salt); err != nil {
		return nil, err
	}
	return &CrownBuilder{root: Root{Salt: append([]byte{}, salt...), Blocks: blocks}, block: make([]byte, 0, BlockSize)}, nil
}

// Add takes the next hashes, of HashSize bytes each.
func (b *CrownBuilder) Add(hashes []byte) {
	b.seen += uint64(len(hashes) / HashSize)
	for len(hashes) > 0 {
		n := min(len(hashes), BlockSize-len(b.block))
		b.block = append(b.block, hashes[:n]...)
		if hashes = hashes[n:]; len(b.block) == BlockSize {
			b.flush()
		}
	}
}

func (b *CrownBuilder) flush() {
	b.hashes = LeafHashes(b.hashes, b.root.Salt, b.block)
	b.block = b.block[:0]
}

// Crown builds it. It is an error when there were more or fewer hashes than
// data blocks.
func (b *CrownBuilder) Crown() (*Crown, error) {
	if b.seen != b.root.Blocks {
		return nil, fmt.Errorf("verity tree: hashes of %d data blocks: want %d", b.seen, b.root.Blocks)
	}
	if n := len(b.block); n > 0 {
		b.block = append(b.block, make([]byte, BlockSize-n)...)
		b.flush()
	}
	return newCrown(b.hashes, b.root.Blocks, b.root.Salt), nil
}
