// Package chunkindex is how a root image is cut for the way to hosts: the list
// of its chunks, each of which is one zstd frame of root.zst. The cuts are where
// files begin and end, so a chunk is found again in any other image that has
// the same files, wherever they lie there.
//
// An index adds no trust: every chunk is compared with its digest before it is
// written, and the whole with the release's root hash before anything is armed.
// The format is described in docs/reference/chunk-index.md.
package chunkindex

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/proa-os/proa/manifests"
)

// ChunksMost bounds the chunks of an index, and so the memory of who reads it.
const ChunksMost = 1 << 18

// Digest is the first 16 bytes of the SHA-256 of a chunk's dm-verity leaf
// hashes: of each block of 4096 bytes under the release's salt, 32 bytes each,
// concatenated.
type Digest [16]byte

// DigestOf is the Digest of blocks with these leaf hashes.
func DigestOf(leaves []byte) Digest {
	sum := sha256.Sum256(leaves)
	return Digest(sum[:16])
}

// Tag is the first 4 bytes of the leaf hash of a chunk's first block. It finds
// candidates; only a Digest proves one.
type Tag [4]byte

// Chunk is a run of blocks.
type Chunk struct {
	Offset  int64 // in the image, bytes
	Size    int64 // bytes, a multiple of 4096, at most manifests.ChunkSizeMost
	Frame   int64 // where its zstd frame begins in root.zst
	Encoded int64 // bytes of the frame
	First   Tag
	Digest  Digest
}

// Index is the chunks of one image, in order, without gaps.
type Index struct {
	RootHash [32]byte // of the image that is cut
	Chunks   []Chunk
}

const (
	magic      = "PROAIDX1"
	headerSize = len(magic) + 32 + 4
	fixedSize  = len(Tag{}) + len(Digest{})
)

// Append appends the index as it travels: magic, root hash, the number of chunks
// (uint32, little-endian), then by columns the chunks' sizes in blocks, the bytes
// of their frames (both as unsigned varints), their tags and their digests.
func (x *Index) Append(to []byte) []byte {
	to = append(to, magic...)
	to = append(to, x.RootHash[:]...)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(x.Chunks)))
	for _, c := range x.Chunks {
		to = binary.AppendUvarint(to, uint64(c.Size/manifests.BlockSize))
	}
	for _, c := range x.Chunks {
		to = binary.AppendUvarint(to, uint64(c.Encoded))
	}
	for _, c := range x.Chunks {
		to = append(to, c.First[:]...)
	}
	for _, c := range x.Chunks {
		to = append(to, c.Digest[:]...)
	}
	return to
}

// Parse reads an index of the image with the given root. Whatever is not exactly
// what Append writes is an error, and so are chunks that are not of the image's
// length together.
func Parse(data []byte, root manifests.Root) (*Index, error) {
	x, err := parse(data, root)
	if err != nil {
		return nil, fmt.Errorf("chunk index: %w", err)
	}
	return x, nil
}

func parse(data []byte, root manifests.Root) (*Index, error) {
	if len(data) < headerSize || string(data[:len(magic)]) != magic {
		return nil, errors.New("does not begin as one")
	}
	x := &Index{RootHash: [32]byte(data[len(magic):])}
	if string(x.RootHash[:]) != string(root.Hash) {
		return nil, fmt.Errorf("is of root hash %x: want %s", x.RootHash, root.Hash)
	}
	count := binary.LittleEndian.Uint32(data[headerSize-4:])
	data = data[headerSize:]
	if count == 0 || count > ChunksMost || int64(len(data)) < int64(count)*int64(fixedSize+2) {
		return nil, fmt.Errorf("%d chunks in %d bytes: want 1 to %d, and all of them", count, len(data), ChunksMost)
	}
	x.Chunks = make([]Chunk, count)
	data, err := x.parseSizes(data, int64(root.Blocks))
	if err != nil {
		return nil, err
	}
	if want := int(count) * fixedSize; len(data) != want {
		return nil, fmt.Errorf("%d bytes of tags and digests: want %d", len(data), want)
	}
	tags, digests := data[:int(count)*len(Tag{})], data[int(count)*len(Tag{}):]
	for i := range x.Chunks {
		x.Chunks[i].First = Tag(tags[i*len(Tag{}):])
		x.Chunks[i].Digest = Digest(digests[i*len(Digest{}):])
	}
	return x, nil
}

// parseSizes reads the two columns of sizes, and gives what follows them.
func (x *Index) parseSizes(data []byte, blocks int64) ([]byte, error) {
	offset := int64(0)
	for i := range x.Chunks {
		n, rest, err := uvarint(data)
		if err != nil || n < 1 || n > manifests.ChunkSizeMost/manifests.BlockSize || n > blocks-offset {
			return nil, fmt.Errorf("chunk %d: not of 1 to %d blocks within the image", i, manifests.ChunkSizeMost/manifests.BlockSize)
		}
		x.Chunks[i].Offset, x.Chunks[i].Size = offset*manifests.BlockSize, n*manifests.BlockSize
		offset, data = offset+n, rest
	}
	if offset != blocks {
		return nil, fmt.Errorf("chunks of %d blocks: want %d", offset, blocks)
	}
	frame := int64(0)
	for i := range x.Chunks {
		n, rest, err := uvarint(data)
		if most := EncodedMost(x.Chunks[i].Size); err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("chunk %d: not of 1 to %d encoded bytes", i, most)
		}
		x.Chunks[i].Frame, x.Chunks[i].Encoded = frame, n
		frame, data = frame+n, rest
	}
	return data, nil
}

// EncodedMost is the most bytes of a frame of size decoded bytes: zstd adds less
// than 1/128 and its headers to what it cannot compress.
func EncodedMost(size int64) int64 { return size + size/128 + 1024 }

// uvarint reads a number in its shortest form; 2^63 and above come out negative.
func uvarint(data []byte) (int64, []byte, error) {
	v, n := binary.Uvarint(data)
	if n <= 0 || n > 1 && data[n-1] == 0 {
		return 0, nil, errors.New("not a number")
	}
	return int64(v), data[n:], nil
}
