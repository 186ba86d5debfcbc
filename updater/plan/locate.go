package plan

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// Absent is the offset of a chunk that is nowhere.
const Absent = -1

// candidatesMost is how many places with a chunk's first block are tried. Blocks
// that are in an image more often, of zeros mostly, begin few chunks.
const candidatesMost = 16

// Locate finds chunks in another image of the same salt, at any offset: where each
// of them is, in bytes, or Absent. What cannot be read of the leaf level is passed
// over, and what it says wrongly is found by nobody. It needs about 30 bytes of
// memory for each chunk, however large the image.
func Locate(ctx context.Context, chunks []chunkindex.Chunk, in Leaves) ([]int64, error) {
	f := newFinder(chunks)
	if err := f.scan(ctx, in); err != nil {
		return nil, err
	}
	old := make([]int64, len(chunks))
	r := &reader{Leaves: in}
	shift := int64(0) // of the last chunk that was found: the next ones mostly follow it
	for i, c := range chunks {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		old[i] = Absent
		if r.has(c, c.Offset+shift) {
			old[i] = c.Offset + shift
			continue
		}
		for node := f.first(c); node >= 0; node = f.nodes[node].next {
			if at := int64(f.nodes[node].block) * verity.BlockSize; r.has(c, at) {
				old[i], shift = at, at-c.Offset
				break
			}
		}
	}
	return old, nil
}

// finder knows the blocks of an image that chunks may begin with.
type finder struct {
	tags   []uint32 // of the chunks, sorted, each once
	bucket []uint32 // where in tags those with the same upper half begin
	head   []int32  // of each tag's list of nodes; -1 ends one
	count  []uint8  // of its nodes
	nodes  []node
}

type node struct {
	block uint32
	next  int32
}

func newFinder(chunks []chunkindex.Chunk) *finder {
	f := &finder{tags: make([]uint32, len(chunks)), bucket: make([]uint32, 1<<16+1)}
	for i, c := range chunks {
		f.tags[i] = binary.BigEndian.Uint32(c.First[:])
	}
	slices.Sort(f.tags)
	f.tags = slices.Compact(f.tags)
	for _, tag := range f.tags {
		f.bucket[tag>>16+1]++
	}
	for i := range f.bucket[1:] {
		f.bucket[i+1] += f.bucket[i]
	}
	f.head, f.count = make([]int32, len(f.tags)), make([]uint8, len(f.tags))
	for i := range f.head {
		f.head[i] = -1
	}
	return f
}

// find is the tag's place in tags, or -1.
func (f *finder) find(tag uint32) int {
	for i := f.bucket[tag>>16]; i < f.bucket[tag>>16+1]; i++ {
		if f.tags[i] == tag {
			return int(i)
		}
	}
	return -1
}

// first is the first node of the chunk's candidates, or -1.
func (f *finder) first(c chunkindex.Chunk) int32 {
	return f.head[f.find(binary.BigEndian.Uint32(c.First[:]))]
}

// scan notes the blocks that chunks may begin with.
func (f *finder) scan(ctx context.Context, in Leaves) error {
	const piece = 256 << 10
	start, size := verity.LeafOffset(in.Root.Blocks), int64(in.Root.Blocks)*verity.HashSize
	buffer := make([]byte, min(piece, size))
	for at := int64(0); at < size; at += piece {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		hashes := buffer[:min(piece, size-at)]
		if n, _ := in.Stored.ReadAt(hashes, start+at); n < len(hashes) {
			continue
		}
		block := uint32(at / verity.HashSize)
		for ; len(hashes) > 0; hashes, block = hashes[verity.HashSize:], block+1 {
			i := f.find(binary.BigEndian.Uint32(hashes))
			if i < 0 || f.count[i] == candidatesMost {
				continue
			}
			f.nodes = append(f.nodes, node{block, f.head[i]})
			f.head[i] = int32(len(f.nodes) - 1)
			f.count[i]++
		}
	}
	return nil
}

// InPlace finds the chunks that an image has at their own offsets. It tells where
// to look: a tree may be older than what is in its slot.
func InPlace(chunks []chunkindex.Chunk, in Leaves) []bool {
	r := &reader{Leaves: in}
	found := make([]bool, len(chunks))
	for i, c := range chunks {
		found[i] = r.has(c, c.Offset)
	}
	return found
}
