package slots

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/partitions/verity"
)

// syncEvery is the bytes written between two syncs of a slot.
const syncEvery = 64 << 20

// readBackPiece is the bytes that are dropped from the cache and read back at
// once; readBackBuffer is what is held of them.
const (
	readBackPiece  = 8 << 20
	readBackBuffer = 512 << 10
)

// span is a part of the image, in bytes.
type span struct{ from, to int64 }

// syncBehind syncs each time that syncEvery bytes have been written and at the
// end, also at that of a download that failed, so that it can go on from there.
func (w *filler) syncBehind(written <-chan int64, synced chan<- span) error {
	pending, handed := int64(0), int64(0)
	next := func() error {
		complete, err := w.sync()
		if err != nil {
			return err
		}
		for handed < complete {
			to := min(handed+readBackPiece, complete)
			synced <- span{handed, to} // has room for all pieces there are
			handed = to
		}
		return nil
	}
	for size := range written {
		if pending += size; pending < syncEvery {
			continue
		}
		pending = 0
		if err := next(); err != nil {
			return err
		}
	}
	return next()
}

// sync makes durable what is in place by now, and tells how far it reaches.
func (w *filler) sync() (complete int64, err error) {
	complete = w.complete()
	if err := w.slot.Root.Sync(); err != nil {
		return 0, fmt.Errorf("syncing the root image: %w", err)
	}
	if w.Synced == nil {
		return complete, nil
	}
	return complete, w.Synced(complete)
}

// readBack hashes what the medium holds while the rest is still coming.
func (w *filler) readBack(ctx context.Context, synced <-chan span) error {
	buffer, leaves := make([]byte, readBackBuffer), []byte(nil)
	for s := range synced {
		if err := w.slot.Root.Drop(s.from, s.to-s.from); err != nil {
			return err
		}
		for at := s.from; at < s.to; at += readBackBuffer {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			data := buffer[:min(readBackBuffer, s.to-at)]
			if n, err := w.slot.Root.ReadAt(data, at); n < len(data) {
				return fmt.Errorf("reading back %d bytes at %d: %w", len(data), at, err)
			}
			leaves = verity.LeafHashes(leaves[:0], w.Image.Root.Salt, data)
			if err := w.medium.Add(uint64(at/verity.BlockSize), leaves); err != nil {
				return err
			}
		}
	}
	return nil
}
