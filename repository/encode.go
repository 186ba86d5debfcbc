package repository

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
)

// chunkSize is the decoded bytes of a chunk: what a host holds in memory at
// once, and what is fetched again after a cut.
const chunkSize = 4 << 20

// encoded is what encodeRoot found out about the image on its way.
type encoded struct {
	transport manifests.RootZstd
	digest    manifests.Digest // of the image
	root      verity.Root      // of the image
}

// encodeRoot writes the image, of the given size and salt, to out as
// independent zstd frames of chunkSize decoded bytes and a seek table. It
// encodes on all CPUs; the output depends on the image alone. Memory is about
// 20 MiB for each CPU.
func encodeRoot(ctx context.Context, image io.Reader, size int64, salt []byte, out io.Writer) (encoded, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(chunkSize),
		zstd.WithSingleSegment(true),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return encoded{}, err
	}
	defer encoder.Close()
	hashes, err := verity.NewBuilder(uint64(size/verity.BlockSize), salt)
	if err != nil {
		return encoded{}, err
	}
	e := &rootEncoder{
		encoder: encoder,
		salt:    salt,
		hashes:  hashes,
		out:     out,
		encoded: sha256.New(),
		spare:   sync.Pool{New: func() any { return new(chunkBuffers) }},
	}
	if err := e.run(ctx, image, size); err != nil {
		return encoded{}, err
	}
	return e.finish(size)
}

type rootEncoder struct {
	encoder *zstd.Encoder
	salt    []byte
	hashes  *verity.Builder
	out     io.Writer

	image   [sha256.Size]byte
	encoded interface {
		io.Writer
		Sum([]byte) []byte
	}
	written int64
	chunks  []manifests.Chunk
	frames  []seekFrame
	spare   sync.Pool
}

// chunkBuffers is one chunk on its way through a worker.
type chunkBuffers struct {
	raw, frame, leaves []byte
	err                error
	done               chan struct{}
}

// run keeps two chunks for each CPU under way. Reading and writing are in
// order and on the caller's goroutine.
func (e *rootEncoder) run(ctx context.Context, image io.Reader, size int64) error {
	workers := runtime.GOMAXPROCS(0)
	turn := make(chan struct{}, workers)
	var queue []*chunkBuffers
	defer func() {
		for _, c := range queue {
			<-c.done
		}
	}()
	sum := sha256.New()
	for offset := int64(0); offset < size; offset += chunkSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := e.spare.Get().(*chunkBuffers)
		if cap(c.raw) < chunkSize {
			c.raw = make([]byte, chunkSize)
		}
		c.raw = c.raw[:min(chunkSize, size-offset)]
		c.err, c.done = nil, make(chan struct{})
		if _, err := io.ReadFull(image, c.raw); err != nil {
			return fmt.Errorf("reading at byte %d of %d: %w", offset, size, err)
		}
		sum.Write(c.raw)
		first := uint64(offset) / verity.BlockSize
		go func() {
			turn <- struct{}{}
			e.encode(c, first)
			<-turn
			close(c.done)
		}()
		if queue = append(queue, c); len(queue) == 2*workers {
			oldest := queue[0]
			queue = queue[1:]
			if err := e.write(oldest); err != nil {
				return err
			}
		}
	}
	for len(queue) > 0 {
		oldest := queue[0]
		queue = queue[1:]
		if err := e.write(oldest); err != nil {
			return err
		}
	}
	sum.Sum(e.image[:0])
	return nil
}

// encode does the work on one chunk that needs no order.
func (e *rootEncoder) encode(c *chunkBuffers, first uint64) {
	c.leaves = verity.LeafHashes(c.leaves[:0], e.salt, c.raw)
	c.err = e.hashes.Add(first, c.leaves)
	c.frame = e.encoder.EncodeAll(c.raw, c.frame[:0])
}

func (e *rootEncoder) write(c *chunkBuffers) error {
	<-c.done
	if c.err != nil {
		return c.err
	}
	e.chunks = append(e.chunks, manifests.Chunk{Size: int64(len(c.frame)), Digest: manifests.DigestOf(c.leaves)})
	e.frames = append(e.frames, seekFrame{uint32(len(c.frame)), uint32(len(c.raw))})
	err := e.put(c.frame)
	e.spare.Put(c)
	return err
}

func (e *rootEncoder) put(piece []byte) error {
	e.encoded.Write(piece)
	e.written += int64(len(piece))
	_, err := e.out.Write(piece)
	return err
}

func (e *rootEncoder) finish(size int64) (encoded, error) {
	if err := e.put(seekTable(e.frames)); err != nil {
		return encoded{}, err
	}
	tree, err := e.hashes.Tree()
	if err != nil {
		return encoded{}, err
	}
	result := encoded{
		transport: manifests.RootZstd{ChunkSize: chunkSize, Chunks: e.chunks},
		digest:    e.image,
		root:      tree.Root(),
	}
	result.transport.Size = e.written
	e.encoded.Sum(result.transport.Digest[:0])
	return result, nil
}
