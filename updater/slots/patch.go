package slots

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/deltas/patch"
)

const (
	// patchesMemory bounds what patches need at once, in bytes, as long as one of them
	// fits.
	patchesMemory = 20 << 20
	// patcherKept is the most bytes that a patcher may keep for the next patch.
	patcherKept = 4 << 20
	// patchersMost is how many patches are made at once.
	patchersMost = 4
)

// patchers make chunks of blocks of the active slot and of what was fetched.
type patchers struct {
	*filler
	memory *semaphore.Weighted
	free   chan *patcher
}

type patcher struct {
	*deltas.Patcher
	out []byte
}

func (w *filler) newPatchers() *patchers {
	p := &patchers{filler: w, memory: semaphore.NewWeighted(patchesMemory)}
	p.free = make(chan *patcher, min(patchersMost, runtime.GOMAXPROCS(0)))
	for range cap(p.free) {
		p.free <- p.fresh()
	}
	return p
}

func (p *patchers) fresh() *patcher {
	return &patcher{Patcher: deltas.NewPatcher(p.Active, p.Image.Root.Salt)}
}

// needed is about the bytes that it takes to make a segment.
func needed(s *deltas.Segment) int64 {
	need := s.Size
	for _, r := range s.References {
		need += r.Size
	}
	if s.Method == patch.Unpacked {
		need *= 3
	}
	return min(need, patchesMemory)
}

// one makes, verifies and writes a chunk. That it is not what it should be is odd,
// whether it was the payload, whose digest is looked at first, or the active slot.
func (p *patchers) one(ctx context.Context, n int, payload []byte) (odd, err error) {
	s := p.Patches[n]
	need := needed(s)
	if err := p.memory.Acquire(ctx, need); err != nil {
		return nil, context.Cause(ctx)
	}
	defer p.memory.Release(need)
	worker := <-p.free
	defer func() {
		if need > patcherKept {
			worker = p.fresh()
		}
		p.free <- worker
	}()
	if int64(cap(worker.out)) < s.Size {
		worker.out = make([]byte, s.Size)
	}
	data := worker.out[:s.Size]
	if _, err := worker.Patch(data, s, payload); err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err), nil
	}
	return nil, p.put(data, n, n+1, &p.done.Patched)
}
