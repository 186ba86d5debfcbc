package slots

import (
	"context"
	"crypto/sha256"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
)

// place checks the chunk's content and keeps its leaf hashes; the buffer
// leaves is reused. It reports whether the content is right.
func (w *filler) place(i int, data, leaves []byte) (bool, []byte, error) {
	leaves = verity.LeafHashes(leaves[:0], w.Image.Root.Salt, data)
	if manifests.Digest(sha256.Sum256(leaves)) != w.Image.Chunks[i].Digest {
		return false, leaves, nil
	}
	first := uint64(int64(i) * (w.Image.ChunkSize / verity.BlockSize))
	return true, leaves, w.hashes.Add(first, leaves)
}

// scan finds the chunks that the slot holds already.
func (w *filler) scan(ctx context.Context) error {
	workers, _ := w.workers()
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int)
	group.Go(func() error {
		defer close(next)
		for i := range w.Image.Chunks {
			select {
			case next <- i:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			buffer, leaves := make([]byte, w.Image.ChunkSize), []byte(nil)
			for i := range next {
				offset, size := w.chunk(i)
				data := buffer[:size]
				if n, err := w.slot.Root.ReadAt(data, offset); n < len(data) {
					return fmt.Errorf("reading %d bytes at %d: %w", size, offset, err)
				}
				var ok bool
				var err error
				if ok, leaves, err = w.place(i, data, leaves); err != nil {
					return err
				}
				if ok {
					w.mark(i, &w.reused)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// mark notes that chunk i is in place.
func (w *filler) mark(i int, counter *int64) {
	_, size := w.chunk(i)
	w.mu.Lock()
	w.have[i] = true
	if counter != nil {
		*counter += size
	}
	w.mu.Unlock()
	w.Step.Add(size)
}
