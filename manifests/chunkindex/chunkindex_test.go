package chunkindex

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
)

// example is an index of chunks of the given blocks.
func example(blocks ...int64) (*Index, manifests.Root) {
	random := rand.NewChaCha8([32]byte{1})
	x := &Index{}
	random.Read(x.RootHash[:])
	offset, frame := int64(0), int64(0)
	for _, n := range blocks {
		c := Chunk{Offset: offset, Size: n * manifests.BlockSize, Frame: frame, Encoded: n*1000 + 7}
		random.Read(c.First[:])
		random.Read(c.Digest[:])
		x.Chunks = append(x.Chunks, c)
		offset, frame = offset+c.Size, frame+c.Encoded
	}
	return x, manifests.Root{Hash: x.RootHash[:], Blocks: uint64(offset / manifests.BlockSize)}
}

func TestIndexComesBackAsItWas(t *testing.T) {
	for _, blocks := range [][]int64{{1}, {1, 2, 3}, {127, 128, 2048, 1, 129}, slices.Repeat([]int64{6}, 10_000)} {
		x, root := example(blocks...)
		got, err := Parse(x.Append(nil), root)
		if err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%d chunks: %v, or not as it was", len(blocks), err)
		}
	}
}

// The format, byte by byte, as docs/reference/chunk-index.md tells it.
func TestIndexIsLaidOutAsDocumented(t *testing.T) {
	x, _ := example(2, 200)
	x.Chunks[0].First, x.Chunks[1].First = Tag{1, 2, 3, 4}, Tag{5, 6, 7, 8}
	want := append([]byte("PROAIDX1"), x.RootHash[:]...)
	want = append(want, 2, 0, 0, 0) // chunks
	want = append(want, 2, 0xc8, 1) // blocks
	want = append(want, 0xd7, 0x0f) // 2007
	want = append(want, 0xc7, 0x9a, 0x0c)
	want = append(want, 1, 2, 3, 4, 5, 6, 7, 8)
	want = append(append(want, x.Chunks[0].Digest[:]...), x.Chunks[1].Digest[:]...)
	if got := x.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// index puts one together from what need not be right.
func index(hash []byte, count uint32, blocks, encoded []uint64, tail int) []byte {
	data := append([]byte(magic), hash...)
	data = binary.LittleEndian.AppendUint32(data, count)
	for _, n := range slices.Concat(blocks, encoded) {
		data = binary.AppendUvarint(data, n)
	}
	return append(data, make([]byte, tail)...)
}

func TestHostileIndexIsRefused(t *testing.T) {
	x, root := example(3, 5)
	good := x.Append(nil)
	two := 2 * fixedSize
	most := uint64(manifests.ChunkSizeMost / manifests.BlockSize)
	large := manifests.Root{Hash: root.Hash, Blocks: 1 << 32}
	for name, test := range map[string]struct {
		data []byte
		root manifests.Root
		want string
	}{
		"empty":                     {nil, root, "does not begin as one"},
		"another format":            {append([]byte("PROAIDX2"), good[8:]...), root, "does not begin as one"},
		"header only":               {good[:headerSize-1], root, "does not begin as one"},
		"another image's":           {good, manifests.Root{Hash: make([]byte, 32), Blocks: 8}, "is of root hash"},
		"no chunks":                 {index(root.Hash, 0, nil, nil, 0), root, "0 chunks"},
		"more chunks than bytes":    {index(root.Hash, 3, []uint64{3, 5}, []uint64{9, 9}, two), root, "3 chunks"},
		"a count to allocate":       {index(root.Hash, math.MaxUint32, []uint64{3, 5}, []uint64{9, 9}, two), root, "4294967295 chunks"},
		"too many chunks":           {index(root.Hash, ChunksMost+1, nil, nil, (ChunksMost+1)*(fixedSize+2)), large, "262145 chunks"},
		"a chunk without blocks":    {index(root.Hash, 2, []uint64{0, 8}, []uint64{9, 9}, two), root, "chunk 0: not of 1"},
		"a chunk too long":          {index(root.Hash, 2, []uint64{most + 1, 5}, []uint64{9, 9}, two), large, "chunk 0: not of 1"},
		"beyond the image":          {index(root.Hash, 2, []uint64{3, 6}, []uint64{9, 9}, two), root, "chunk 1: not of 1"},
		"short of the image":        {index(root.Hash, 2, []uint64{3, 4}, []uint64{9, 9}, two), root, "chunks of 7 blocks"},
		"blocks near 2^63":          {index(root.Hash, 2, []uint64{3, math.MaxInt64}, []uint64{9, 9}, two), root, "chunk 1: not of 1"},
		"blocks near 2^64":          {index(root.Hash, 2, []uint64{math.MaxUint64 - 4, 12}, []uint64{9, 9}, two), root, "chunk 0: not of 1"},
		"a sum that wraps":          {index(root.Hash, 2, []uint64{1 << 62, 1<<62 + 8}, []uint64{9, 9}, two), large, "chunk 0: not of 1"},
		"an empty frame":            {index(root.Hash, 2, []uint64{3, 5}, []uint64{0, 9}, two), root, "chunk 0: not of 1"},
		"a frame too long":          {index(root.Hash, 2, []uint64{3, 5}, []uint64{9, uint64(EncodedMost(5*4096)) + 1}, two), root, "chunk 1: not of 1"},
		"a frame of 2^63":           {index(root.Hash, 2, []uint64{3, 5}, []uint64{9, 1 << 63}, two), root, "chunk 1: not of 1"},
		"a number in two spellings": {slices.Concat(good[:headerSize], []byte{0x83, 0}, good[headerSize+1:]), root, "chunk 0: not of 1"},
		"a number without end":      {slices.Concat(good[:headerSize], bytes.Repeat([]byte{0xff}, 200)), root, "chunk 0: not of 1"},
		"one byte more":             {append(bytes.Clone(good), 0), root, "bytes of tags and digests"},
	} {
		if _, err := Parse(test.data, test.root); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	for n := range good {
		if _, err := Parse(good[:n], root); err == nil {
			t.Errorf("the first %d bytes of %d are one", n, len(good))
		}
	}
}

// What an index says must be what hosts compute.
func TestDigestOfIsHalfASHA256(t *testing.T) {
	// printf abc | sha256sum
	if got := DigestOf([]byte("abc")); got != (Digest{0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23}) {
		t.Errorf("%x", got)
	}
}

func TestFramesOfWhatDoesNotCompressAreWithinBounds(t *testing.T) {
	// A frame of raw blocks: 3 bytes for each 128 KiB, and at most 18 of a header.
	for _, size := range []int64{manifests.BlockSize, 1 << 20, manifests.ChunkSizeMost} {
		if most := EncodedMost(size); most < size+3*(size>>17+1)+18 || most > size*2 {
			t.Errorf("%d bytes: frames of at most %d", size, most)
		}
	}
}

// FuzzParse finds nothing that is read and not written the same way, nor chunks
// that do not tile the image.
func FuzzParse(f *testing.F) {
	for _, blocks := range [][]int64{{2}, {3, 5}, {200, 1, 7}} {
		x, root := example(blocks...)
		f.Add(x.Append(nil)[headerSize-4:], root.Blocks)
	}
	hash := make([]byte, 32)
	f.Fuzz(func(t *testing.T, tail []byte, blocks uint64) {
		data := slices.Concat([]byte(magic), hash, tail)
		blocks = blocks%(1<<32) + 1
		x, err := Parse(data, manifests.Root{Hash: hash, Blocks: blocks})
		if err != nil {
			return
		}
		if !bytes.Equal(x.Append(nil), data) {
			t.Error("it would be written otherwise")
		}
		at, frame := int64(0), int64(0)
		for _, c := range x.Chunks {
			if c.Offset != at || c.Frame != frame || c.Size <= 0 || c.Size > manifests.ChunkSizeMost || c.Encoded <= 0 || c.Encoded > EncodedMost(c.Size) {
				t.Fatalf("chunk %+v at %d, its frame at %d", c, at, frame)
			}
			at, frame = at+c.Size, frame+c.Encoded
		}
		if at != int64(blocks)*manifests.BlockSize {
			t.Errorf("chunks of %d bytes for %d blocks", at, blocks)
		}
	})
}
