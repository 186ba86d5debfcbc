package slots

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/partitions/verity"
)

// syncEvery is the bytes written between two syncs of a slot.
const syncEvery = 64 << 20

// readBackPiece is the least bytes that are dropped from the cache and read back
// at once, whole chunks, but for the last before a sync; readBackBuffer is what is
// held of them.
const (
	readBackPiece  = 8 << 20
	readBackBuffer = 512 << 10
)

// span is a run of chunks.
type span struct{ first, end int }

// syncBehind syncs each time that syncEvery bytes have been written and at the
// end, also at that of a download that failed, so that it can go on from there.
func (w *filler) syncBehind(ctx context.Context, synced chan<- span) error {
	handed := 0
	next := func() error {
		complete, err := w.sync()
		if err != nil {
			return err
		}
		for handed < complete {
			s := w.spanOf(handed, complete)
			select {
			case synced <- s:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			handed = s.end
		}
		return nil
	}
	for range w.kick {
		if err := next(); err != nil {
			return err
		}
	}
	return next()
}

// spanOf is about a piece of chunks, from first on.
func (w *filler) spanOf(first, most int) span {
	end, size := first, int64(0)
	for ; end < most && size < readBackPiece; end++ {
		size += w.Image.Chunks[end].Size
	}
	return span{first, end}
}

// sync makes durable what is in place by now, and tells how many chunks that
// is from the first on.
func (w *filler) sync() (complete int, err error) {
	complete = w.complete()
	if err := w.slot.Root.Sync(); err != nil {
		return 0, fmt.Errorf("syncing the root image: %w", err)
	}
	if w.Synced == nil {
		return complete, nil
	}
	offset := w.Image.Root.Size()
	if complete < len(w.have) {
		offset = w.Image.Chunks[complete].Offset
	}
	return complete, w.Synced(offset)
}

// readBack verifies what the medium holds while the rest is still coming, and
// writes the leaf hashes of it.
func (w *filler) readBack(ctx context.Context, synced <-chan span) error {
	buffer, leaves := make([]byte, readBackBuffer), []byte(nil)
	for s := range synced {
		var err error
		if leaves, err = w.readSpan(ctx, s, buffer, leaves[:0]); err != nil {
			return err
		}
		from, _ := w.Image.Place(s.first)
		if err := w.leaves.put(int64(hashesOf(from)), leaves); err != nil {
			return err
		}
	}
	return nil
}

// readSpan appends the leaf hashes of a span's blocks to leaves.
func (w *filler) readSpan(ctx context.Context, s span, buffer, leaves []byte) ([]byte, error) {
	from, _ := w.Image.Place(s.first)
	last, size := w.Image.Place(s.end - 1)
	to := last + size
	if err := w.slot.Root.Drop(from, to-from); err != nil {
		return nil, err
	}
	for at := from; at < to; at += readBackBuffer {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		data := buffer[:min(readBackBuffer, to-at)]
		if n, err := w.slot.Root.ReadAt(data, at); n < len(data) {
			return nil, fmt.Errorf("reading back %d bytes at %d: %w", len(data), at, err)
		}
		leaves = verity.LeafHashes(leaves, w.Image.Root.Salt, data)
	}
	rest := leaves
	for i := s.first; i < s.end; i++ {
		offset, size := w.Image.Place(i)
		hashes := hashesOf(size)
		if !w.Image.matches(i, rest[:hashes]) {
			return nil, fmt.Errorf("the medium did not keep chunk %d, %d bytes at %d, as it was written", i, size, offset)
		}
		rest = rest[hashes:]
	}
	return leaves, nil
}
