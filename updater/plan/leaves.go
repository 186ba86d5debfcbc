// Package plan finds out where the parts of a new root image come from: which of
// them the host has already, and what is to be fetched for the others.
//
// It looks at hash trees and lists only, never at data: what it says is where to
// look. Whoever copies or fetches a part proves it before it is written.
package plan

import (
	"context"
	"fmt"
	"io"

	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// Leaves is the leaf level of a stored hash tree: a hash for each block of the
// image that it is of.
type Leaves struct {
	Root   verity.Root
	Stored io.ReaderAt // the tree from its superblock on
}

// Check compares all of the leaf level with the root hash.
func (l Leaves) Check(ctx context.Context) error {
	crown, err := verity.ReadCrown(ctx, l.Stored, l.Root.Blocks, l.Root.Salt, nil)
	if err != nil {
		return err
	}
	if got := crown.Root().Hash; got != l.Root.Hash {
		return fmt.Errorf("the hash tree has root hash %x: want %x", got, l.Root.Hash)
	}
	return nil
}

// reader reads hashes into one buffer.
type reader struct {
	Leaves
	buffer []byte
}

// hashes are those of size bytes from offset on, until the next call; nil when
// there are none or they cannot be read.
func (r *reader) hashes(offset, size int64) []byte {
	if offset < 0 || size <= 0 || offset%verity.BlockSize != 0 || offset > r.Root.Size()-size {
		return nil
	}
	n := int(size / verity.BlockSize * verity.HashSize)
	if cap(r.buffer) < n {
		r.buffer = make([]byte, n)
	}
	out := r.buffer[:n]
	at := verity.LeafOffset(r.Root.Blocks) + offset/verity.BlockSize*verity.HashSize
	if got, _ := r.Stored.ReadAt(out, at); got < n {
		return nil
	}
	return out
}

// has reports whether the image has the chunk's blocks at offset, by what its
// tree says.
func (r *reader) has(c chunkindex.Chunk, offset int64) bool {
	hashes := r.hashes(offset, c.Size)
	return hashes != nil && chunkindex.DigestOf(hashes) == c.Digest
}
