package slots

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/partitions/verity"
)

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
			buffer, leaves := make([]byte, w.largest), []byte(nil)
			for i := range next {
				offset, size := w.Image.Place(i)
				data := buffer[:size]
				if n, err := w.slot.Root.ReadAt(data, offset); n < len(data) {
					return fmt.Errorf("reading %d bytes at %d: %w", size, offset, err)
				}
				leaves = verity.LeafHashes(leaves[:0], w.Image.Root.Salt, data)
				if w.Image.matches(i, leaves) {
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
	_, size := w.Image.Place(i)
	w.mu.Lock()
	w.have[i] = true
	if counter != nil {
		*counter += size
	}
	w.mu.Unlock()
	w.Step.Add(size)
}
