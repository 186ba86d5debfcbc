package slots

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/progress"
)

// lanesMemory bounds the memory of the lanes that fetch, in bytes, as long as one
// fits.
const lanesMemory = 12 << 20

// Filling is what Fill works with.
type Filling struct {
	Image Image

	// Resume makes Fill hash all that the slot holds, and Present what it may hold:
	// one for each chunk, or nil. What is the image's stays.
	Resume  bool
	Present []bool
	// Active is the root partition of the slot that runs, or nil, and Old where it
	// has the chunks, in bytes: -1 for those that it has not.
	Active io.ReaderAt
	Old    []int64
	// Origins have the file that the chunks' Frame and Encoded are of, the nearest
	// first. What none of them gives ends Fill with the error of the last, which is asked
	// whether it is usable or not. Required.
	Origins []Origin
	// Lanes is how many requests are under way at once; 0 means 2.
	Lanes int
	// Patches say how chunks are made of what is fetched and of blocks of Active; what
	// is fetched for the others is a zstd frame. One for each chunk, or nil.
	Patches []*deltas.Segment
	// Partial makes Fill leave out the chunks that it cannot make.
	Partial bool

	// Synced, if not nil, is called when the image is on the medium from 0 to
	// offset; from one goroutine at a time.
	Synced func(offset int64) error
	// Step receives the decoded bytes that are in place. Required.
	Step progress.Step
}

// Filled is what Fill did, in bytes of the image but for Fetched.
type Filled struct {
	Fetched int64 // bytes that came from the origins
	Reused  int64 // that were in the slot already
	Copied  int64 // from the active slot
	Patched int64 // made by patches
	Decoded int64 // out of zstd frames
	// Missing is what was left out, and Why the reason of the first of it. Fill has
	// written no leaf hashes for what is behind it.
	Missing int64
	Why     error
	// Damaged is what the active slot turned out not to hold, in bytes.
	Damaged int64
}

// Fill writes the image into the slot, and the leaf level of its hash tree. Each
// chunk is verified in the buffer that is written, synced, read back from the
// medium and verified again; the leaf hashes are those of what was read back.
// When Fill returns nil, and nothing is missing, the image is on the medium. The
// leaf level is not synced yet, and nothing is above it: see CompleteTree. An image
// that is not as its chunk list says is an error that wraps ErrContent.
func (s *Slot) Fill(ctx context.Context, f Filling) (Filled, error) {
	w := &filler{Filling: f, slot: s, have: make([]bool, len(f.Image.Chunks)), kick: make(chan struct{}, 1)}
	w.size, w.encoded = f.Image.largest()
	w.leaves = newLeafWriter(s.Tree, f.Image.Root)
	if err := w.scan(ctx); err != nil {
		return Filled{}, err
	}
	err := w.run(ctx)
	return w.done, err
}

type filler struct {
	Filling
	slot          *Slot
	size, encoded int64 // of the largest chunk
	leaves        *leafWriter

	mu       sync.Mutex
	have     []bool // chunks that are in place
	prefix   int    // of them, from the first on
	done     Filled
	failed   []int // chunks that the active slot did not give
	patchers *patchers

	written atomic.Int64  // bytes since the last sync was called for
	kick    chan struct{} // calls for a sync
}

// workers is how many goroutines copy, and how many read back.
func workers() int { return min(2, runtime.GOMAXPROCS(0)) }

// run is the pipeline: what copies and what fetches, one that syncs behind them,
// and readers that read back what was synced.
func (w *filler) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(w.kick)
		return w.makeAll(ctx)
	})
	synced := make(chan span, workers())
	group.Go(func() error {
		defer close(synced)
		return w.syncBehind(ctx, synced)
	})
	for range workers() {
		group.Go(func() error { return w.readBack(ctx, synced) })
	}
	return group.Wait()
}

// makeAll makes all chunks that are not in place. Those to be copied and those to
// be fetched are worked on side by side, each in the order of the image.
func (w *filler) makeAll(ctx context.Context) error {
	w.patchers = w.newPatchers()
	var copies, rest []int
	for n := range w.have {
		switch {
		case w.have[n]:
		case w.Active != nil && w.Old != nil && w.Old[n] >= 0:
			copies = append(copies, n)
		default:
			rest = append(rest, n)
		}
	}
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return w.copyAll(both, copies) })
	group.Go(func() error { return w.fetchAll(both, rest) })
	if err := group.Wait(); err != nil {
		return err
	}
	return w.fetchAll(ctx, w.failed)
}

// put writes chunks that follow each other; all of them have been verified.
func (w *filler) put(data []byte, first, end int, counter *int64) error {
	offset := w.Image.Chunks[first].Offset
	if err := w.slot.write(data, offset); err != nil {
		return err
	}
	w.mark(first, end, counter)
	if w.written.Add(int64(len(data))) >= syncEvery {
		select {
		case w.kick <- struct{}{}:
			w.written.Store(0)
		default: // one was called for just now
		}
	}
	return nil
}

// mark notes that chunks are in place.
func (w *filler) mark(first, end int, counter *int64) {
	w.mu.Lock()
	size := int64(0)
	for n := first; n < end; n++ {
		w.have[n] = true
		size += w.Image.Chunks[n].Size
	}
	*counter += size
	w.mu.Unlock()
	w.Step.Add(size)
}

// leave leaves chunks out.
func (w *filler) leave(chunks []int, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range chunks {
		w.done.Missing += w.Image.Chunks[n].Size
	}
	if w.done.Why == nil {
		w.done.Why = why
	}
}

// complete is the number of chunks that are in place from the first on.
func (w *filler) complete() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.prefix < len(w.have) && w.have[w.prefix] {
		w.prefix++
	}
	return w.prefix
}
