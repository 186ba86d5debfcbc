package verity

import (
	"fmt"
	"io"
)

// Tree is a hash tree in memory: about 33 bytes for each data block.
type Tree struct {
	root   Root
	levels [][]byte // from level 0 up; each whole blocks, the last one padded with zeros
}

// NewTree builds the tree over leaf hashes, 32 bytes for each data block in
// order, as LeafHashes and HashImage make them. It keeps neither slice.
func NewTree(leaves, salt []byte) (*Tree, error) {
	if len(leaves)%HashSize != 0 {
		return nil, fmt.Errorf("%d bytes of leaf hashes: want a multiple of %d", len(leaves), HashSize)
	}
	blocks := uint64(len(leaves) / HashSize)
	if err := check(blocks, salt); err != nil {
		return nil, err
	}
	t := &Tree{root: Root{Salt: append([]byte{}, salt...), Blocks: blocks}}
	var top []byte
	t.levels, top = grow(leaves, levelBlocks(blocks), t.root.Salt)
	copy(t.root.Hash[:], top)
	return t, nil
}

// grow builds levels of the given numbers of blocks over hashes, each of the one
// before it, and returns them with the hash of the last one's block: with
// hashes itself when there is no level.
func grow(hashes []byte, blocks []uint64, salt []byte) (levels [][]byte, top []byte) {
	for _, n := range blocks {
		level := make([]byte, n*BlockSize)
		copy(level, hashes)
		levels = append(levels, level)
		hashes = LeafHashes(make([]byte, 0, n*HashSize), salt, level)
	}
	return levels, hashes
}

// Root is the root hash and the parameters of the tree.
func (t *Tree) Root() Root { return t.root }

// Store writes the tree as it is on a verity partition: the superblock in a
// block of its own, then the levels from the top down. It writes
// TreeSize(blocks) bytes, in pieces of at least a block.
func (t *Tree) Store(w io.Writer, uuid [16]byte) error {
	sb := Superblock{UUID: uuid, Blocks: t.root.Blocks, Salt: t.root.Salt}
	if _, err := w.Write(sb.encode()); err != nil {
		return fmt.Errorf("writing verity superblock: %w", err)
	}
	for i := len(t.levels) - 1; i >= 0; i-- {
		if _, err := w.Write(t.levels[i]); err != nil {
			return fmt.Errorf("writing verity level %d: %w", i, err)
		}
	}
	return nil
}

// levelOffset is where level i of a tree over the given data blocks starts in
// a verity partition.
func levelOffset(blocks uint64, i int) int64 {
	offset := int64(TopOffset)
	levels := levelBlocks(blocks)
	for j := len(levels) - 1; j > i; j-- {
		offset += int64(levels[j]) * BlockSize
	}
	return offset
}
