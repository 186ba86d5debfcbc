package slots

import (
	"errors"

	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// ErrContent is wrapped by the error of content that is not what the release
// says.
var ErrContent = errors.New("content differs from what the release says")

// Image is a root image in parts.
type Image struct {
	Root verity.Root
	// Chunks tile the image. Frame and Encoded are where a file has what a chunk is
	// made of: for Inspect and Repair the zstd frames of the whole image.
	Chunks []chunkindex.Chunk
}

// Place is where chunk n is in the image, in bytes.
func (i Image) Place(n int) (offset, size int64) { return i.Chunks[n].Offset, i.Chunks[n].Size }

// matches reports whether hashes are those of chunk n's blocks.
func (i Image) matches(n int, hashes []byte) bool {
	return chunkindex.DigestOf(hashes) == i.Chunks[n].Digest
}

// largest is the most bytes of a chunk, and of what is fetched for one.
func (i Image) largest() (size, encoded int64) {
	for _, c := range i.Chunks {
		size, encoded = max(size, c.Size), max(encoded, c.Encoded)
	}
	return size, encoded
}

// hashesOf is the bytes of the leaf hashes of size bytes.
func hashesOf(size int64) int { return int(size / verity.BlockSize * verity.HashSize) }
