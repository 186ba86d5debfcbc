package verity

import (
	"fmt"
	"sync"
)

// Builder gathers the leaf hashes of an image that arrives in pieces, in any
// order and from several goroutines. It holds 32 bytes for each data block.
// The zero value is not usable; see NewBuilder.
type Builder struct {
	salt   []byte
	leaves []byte

	mu      sync.Mutex
	have    []uint64 // one bit for each data block
	missing uint64

	partial []byte // of Write: the start of the next block
	next    uint64 // of Write: which block that is
}

// NewBuilder prepares for an image of the given number of data blocks.
func NewBuilder(blocks uint64, salt []byte) (*Builder, error) {
	if err := check(blocks, salt); err != nil {
		return nil, err
	}
	return &Builder{
		salt:    append([]byte{}, salt...),
		leaves:  make([]byte, blocks*HashSize),
		have:    make([]uint64, (blocks+63)/64),
		missing: blocks,
	}, nil
}

// Add records leaf hashes, 32 bytes each, of the blocks from first on. A block
// that was added before gets the new hash. Goroutines may call it at once for
// blocks that do not overlap.
func (b *Builder) Add(first uint64, leaves []byte) error {
	n := uint64(len(leaves) / HashSize)
	blocks := uint64(len(b.leaves) / HashSize)
	if len(leaves)%HashSize != 0 || first > blocks || n > blocks-first {
		return fmt.Errorf("%d bytes of leaf hashes from block %d on: want multiples of %d within %d blocks", len(leaves), first, HashSize, blocks)
	}
	copy(b.leaves[first*HashSize:], leaves)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := first; i < first+n; i++ {
		if bit := uint64(1) << (i % 64); b.have[i/64]&bit == 0 {
			b.have[i/64] |= bit
			b.missing--
		}
	}
	return nil
}

// Write hashes data that follows what was written before, from the image's
// first byte on, in pieces of any size. It is for one goroutine.
func (b *Builder) Write(p []byte) (int, error) {
	written := 0
	if len(b.partial) > 0 {
		written = min(BlockSize-len(b.partial), len(p))
		b.partial = append(b.partial, p[:written]...)
		if len(b.partial) < BlockSize {
			return written, nil
		}
		if err := b.write(b.partial); err != nil {
			return 0, err
		}
		b.partial = b.partial[:0]
	}
	whole := (len(p) - written) / BlockSize * BlockSize
	if err := b.write(p[written : written+whole]); err != nil {
		return written, err
	}
	b.partial = append(b.partial, p[written+whole:]...)
	return len(p), nil
}

// write adds whole blocks at the position of Write.
func (b *Builder) write(data []byte) error {
	if err := b.Add(b.next, LeafHashes(nil, b.salt, data)); err != nil {
		return err
	}
	b.next += uint64(len(data) / BlockSize)
	return nil
}

// Missing is the number of data blocks whose hash is not known yet.
func (b *Builder) Missing() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.missing
}

// Tree builds the tree. It is an error when a block is missing.
func (b *Builder) Tree() (*Tree, error) {
	if n := b.Missing(); n > 0 {
		return nil, fmt.Errorf("verity tree: %d of %d data blocks are missing", n, len(b.leaves)/HashSize)
	}
	if len(b.partial) > 0 {
		return nil, fmt.Errorf("verity tree: %d bytes after the last block", len(b.partial))
	}
	return NewTree(b.leaves, b.salt)
}
