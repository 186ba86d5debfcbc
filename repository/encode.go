package repository

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// encodersMost bounds the memory of encodeRoot: each takes about 50 MiB.
const encodersMost = 4

func encoders(chunks int) int { return max(1, min(runtime.GOMAXPROCS(0), encodersMost, chunks)) }

// encoded is what encodeRoot found out about the image on its way.
type encoded struct {
	file   manifests.FetchFile // of what was written
	index  chunkindex.Index
	digest manifests.Digest // of the image
	root   verity.Root      // of the image
}

// encodeRoot writes the image, of the given salt and cut into chunks of the given
// sizes, to out as independent zstd frames, one for each chunk, and a seek table.
// It encodes on all CPUs, at most encodersMost; the output depends on its arguments
// alone.
func encodeRoot(ctx context.Context, image io.Reader, sizes []int64, salt []byte, out io.Writer) (encoded, error) {
	// Frames have no checksums: chunks have digests.
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(pieceMost),
		zstd.WithSingleSegment(true),
		zstd.WithEncoderCRC(false),
		zstd.WithEncoderConcurrency(encoders(len(sizes))))
	if err != nil {
		return encoded{}, err
	}
	defer encoder.Close()
	size := int64(0)
	for _, s := range sizes {
		size += s
	}
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
	if err := e.run(ctx, image, sizes); err != nil {
		return encoded{}, err
	}
	return e.finish()
}

type rootEncoder struct {
	encoder *zstd.Encoder
	salt    []byte
	hashes  *verity.Builder
	out     io.Writer

	image   [sha256.Size]byte
	encoded hash.Hash
	written int64
	chunks  []chunkindex.Chunk
	frames  []seekFrame
	spare   sync.Pool
}

// chunkBuffers is one chunk on its way through a worker.
type chunkBuffers struct {
	offset             int64
	raw, frame, leaves []byte
	err                error
	done               chan struct{}
}

// run keeps some chunks for each CPU under way: they are of different sizes, and
// a long one holds up those behind it. Reading and writing are in order and on the
// caller's goroutine.
func (e *rootEncoder) run(ctx context.Context, image io.Reader, sizes []int64) error {
	workers := encoders(len(sizes))
	turn := make(chan struct{}, workers)
	var queue []*chunkBuffers
	defer func() {
		for _, c := range queue {
			<-c.done
		}
	}()
	sum := sha256.New()
	offset := int64(0)
	for _, size := range sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := e.spare.Get().(*chunkBuffers)
		if int64(cap(c.raw)) < size {
			c.raw = make([]byte, size)
		}
		c.raw, c.offset = c.raw[:size], offset
		c.err, c.done = nil, make(chan struct{})
		if _, err := io.ReadFull(image, c.raw); err != nil {
			return fmt.Errorf("reading %d bytes at %d: %w", size, offset, err)
		}
		sum.Write(c.raw)
		offset += size
		go func() {
			turn <- struct{}{}
			e.encode(c)
			<-turn
			close(c.done)
		}()
		if queue = append(queue, c); len(queue) == 8*workers {
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
func (e *rootEncoder) encode(c *chunkBuffers) {
	c.leaves = verity.LeafHashes(c.leaves[:0], e.salt, c.raw)
	c.err = e.hashes.Add(uint64(c.offset)/verity.BlockSize, c.leaves)
	c.frame = e.encoder.EncodeAll(c.raw, c.frame[:0])
}

func (e *rootEncoder) write(c *chunkBuffers) error {
	<-c.done
	if c.err != nil {
		return c.err
	}
	e.chunks = append(e.chunks, chunkindex.Chunk{
		Offset:  c.offset,
		Size:    int64(len(c.raw)),
		Frame:   e.written,
		Encoded: int64(len(c.frame)),
		First:   chunkindex.Tag(c.leaves),
		Digest:  chunkindex.DigestOf(c.leaves),
	})
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

func (e *rootEncoder) finish() (encoded, error) {
	if err := e.put(seekTable(e.frames)); err != nil {
		return encoded{}, err
	}
	tree, err := e.hashes.Tree()
	if err != nil {
		return encoded{}, err
	}
	result := encoded{digest: e.image, root: tree.Root()}
	result.index = chunkindex.Index{RootHash: result.root.Hash, Chunks: e.chunks}
	result.file.Size = e.written
	e.encoded.Sum(result.file.Digest[:0])
	return result, nil
}
