package slots

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/partitions/verity"
)

// scan finds the chunks that the slot holds already, among those that it may hold.
// One that cannot be read is not there: it is written.
func (w *filler) scan(ctx context.Context) error {
	if !w.Resume && w.Present == nil {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan int)
	group.Go(func() error {
		defer close(next)
		for n := range w.Image.Chunks {
			if !w.Resume && !w.Present[n] {
				continue
			}
			select {
			case next <- n:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range workers() {
		group.Go(func() error {
			buffer, leaves := make([]byte, w.size), []byte(nil)
			for n := range next {
				offset, size := w.Image.Place(n)
				data := buffer[:size]
				if got, _ := w.slot.Root.ReadAt(data, offset); got < len(data) {
					continue
				}
				leaves = verity.LeafHashes(leaves[:0], w.Image.Root.Salt, data)
				if w.Image.matches(n, leaves) {
					w.mark(n, n+1, &w.done.Reused)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
