package slots

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
)

// decoder makes chunks out of zstd frames, in one buffer.
type decoder struct {
	image  Image
	zstd   *zstd.Decoder
	buffer []byte
	leaves []byte
}

func newDecoder(image Image) (*decoder, error) {
	largest, _ := image.largest()
	reader, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(manifests.ChunkSizeMost),
		zstd.WithDecoderMaxMemory(uint64(max(largest, 1))),
	)
	if err != nil {
		return nil, err
	}
	return &decoder{image: image, zstd: reader, buffer: make([]byte, 0, largest)}, nil
}

func (d *decoder) Close() { d.zstd.Close() }

// decode decodes and verifies a chunk, and returns it with its leaf hashes; both
// are good until the next call. What is not the chunk is an error that wraps
// ErrContent.
func (d *decoder) decode(n int, frame []byte) (data, leaves []byte, err error) {
	_, size := d.image.Place(n)
	data, err = d.zstd.DecodeAll(frame, d.buffer[:0:size])
	if err != nil {
		return nil, nil, fmt.Errorf("chunk %d: %w: %w", n, ErrContent, err)
	}
	if int64(len(data)) != size {
		return nil, nil, fmt.Errorf("chunk %d of %d decoded bytes, want %d: %w", n, len(data), size, ErrContent)
	}
	d.leaves = verity.LeafHashes(d.leaves[:0], d.image.Root.Salt, data)
	if !d.image.matches(n, d.leaves) {
		return nil, nil, fmt.Errorf("chunk %d: %w", n, ErrContent)
	}
	return data, d.leaves, nil
}
