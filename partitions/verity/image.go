package verity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// segment is what a worker reads at a time, in blocks: the data under two
// blocks of the leaf level.
const segment = 2 * hashesPerBlock

// HashImage reads an image of the given number of data blocks and returns
// their leaf hashes, 32 bytes each, in order. It hashes with the given number
// of workers, 0 for one for each CPU, each of which holds 1 MiB. After each
// piece it calls done, unless that is nil, with the bytes just hashed, from
// any of the workers. Bytes of r after the image are not read; an image that
// ends early is an error that wraps io.ErrUnexpectedEOF.
func HashImage(ctx context.Context, r io.ReaderAt, blocks uint64, salt []byte, workers int, done func(n int64)) ([]byte, error) {
	if err := check(blocks, salt); err != nil {
		return nil, err
	}
	var leaves []byte
	prepare := func() { leaves = make([]byte, blocks*HashSize) }
	err := inPieces(ctx, r, blocks, workers, prepare, func(first uint64, data []byte) error {
		LeafHashes(leaves[first*HashSize:first*HashSize], salt, data)
		if done != nil {
			done(int64(len(data)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leaves, nil
}

// inPieces reads an image in pieces of segment blocks, the last one shorter,
// and hands each to work on one of the workers, in any order. Before, when the
// image has proven to be as long as it must be, it calls prepare.
func inPieces(ctx context.Context, r io.ReaderAt, blocks uint64, workers int, prepare func(), work func(first uint64, data []byte) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// A wrong block count shows here, before memory is asked for.
	if err := readFull(r, make([]byte, 1), int64(blocks)*BlockSize-1); err != nil {
		return fmt.Errorf("hashing image of %d blocks: %w", blocks, err)
	}
	prepare()
	var next atomic.Uint64
	worker := func() error {
		buffer := make([]byte, segment*BlockSize)
		for {
			first := (next.Add(1) - 1) * segment
			if first >= blocks {
				return nil
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			data := buffer[:min(segment, blocks-first)*BlockSize]
			if err := readFull(r, data, int64(first)*BlockSize); err != nil {
				return fmt.Errorf("hashing image: %w", err)
			}
			if err := work(first, data); err != nil {
				return err
			}
		}
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			if err := worker(); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// readFull fills p from r at offset.
func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %d: %w", len(p), offset, err)
}
