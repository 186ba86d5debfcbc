package plan

import (
	"bytes"
	"fmt"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// copyMost is the most bytes of a chunk that is copied.
const copyMost = 1 << 20

// Layout is a root image in parts, and what each can be made of.
type Layout struct {
	// Chunks tile the image. Frame and Encoded are the bytes that are to be fetched
	// to make one, of the file that the layout is about: none for some.
	Chunks []chunkindex.Chunk
	// Old is where the active slot has the chunk's blocks, or Absent.
	Old []int64
	// Patches are how chunks are made of fetched bytes and blocks of the active slot.
	// What is fetched for the others is a zstd frame of them. Nil without a delta.
	Patches []*deltas.Segment
}

// OfDelta is the layout of the image that a delta makes of the one that the leaves
// are of; they must have passed Check, since they are what says which blocks
// belong where. Tags are left out.
func OfDelta(d *deltas.Delta, from Leaves, to verity.Root) (Layout, error) {
	switch {
	case d.From.RootHash != from.Root.Hash || d.From.Blocks != from.Root.Blocks:
		return Layout{}, fmt.Errorf("the delta is from root hash %x with %d blocks: want %x with %d", d.From.RootHash, d.From.Blocks, from.Root.Hash, from.Root.Blocks)
	case d.To.RootHash != to.Hash || d.To.Blocks != to.Blocks:
		return Layout{}, fmt.Errorf("the delta is to root hash %x with %d blocks: want %x with %d", d.To.RootHash, d.To.Blocks, to.Hash, to.Blocks)
	case !bytes.Equal(from.Root.Salt, to.Salt):
		return Layout{}, fmt.Errorf("the images have different salts: no block of one is known to be one of the other")
	}
	var l Layout
	r := &reader{Leaves: from}
	for n := range d.Segments {
		s := &d.Segments[n]
		if s.Copy == Absent {
			l.add(chunkindex.Chunk{Offset: s.Offset, Size: s.Size, Frame: s.Payload.Offset, Encoded: s.Payload.Size, Digest: s.Digest}, Absent, s)
			continue
		}
		for at := int64(0); at < s.Size; at += copyMost {
			size := min(copyMost, s.Size-at)
			hashes := r.hashes(s.Copy+at, size)
			if hashes == nil {
				return Layout{}, fmt.Errorf("the delta copies %d bytes at %d: they are not in the active slot's hash tree", size, s.Copy+at)
			}
			l.add(chunkindex.Chunk{Offset: s.Offset + at, Size: size, Digest: chunkindex.DigestOf(hashes)}, s.Copy+at, nil)
		}
	}
	return l, nil
}

func (l *Layout) add(c chunkindex.Chunk, old int64, patch *deltas.Segment) {
	l.Chunks, l.Old, l.Patches = append(l.Chunks, c), append(l.Old, old), append(l.Patches, patch)
}
