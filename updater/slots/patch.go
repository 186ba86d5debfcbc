package slots

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/deltas/patch"
)

const (
	// patchesMemory bounds what patches need at once, in bytes, as long as one of them
	// fits.
	patchesMemory = 20 << 20
	// patcherMemory is what a patcher has by itself: tables of package coding, mostly.
	patcherMemory = 15 << 19
	// unpackedTimes is about how many times its bytes a segment needs that is patched
	// without its compressed streams.
	unpackedTimes = 4
	// patcherKept is the most bytes of an output that a patcher keeps for the next.
	patcherKept = 1 << 20
)

// patchers make chunks of blocks of the active slot and of what was fetched.
type patchers struct {
	*filler
	memory *semaphore.Weighted

	mu   sync.Mutex
	used int64 // of memory
	idle []*patcher
}

type patcher struct {
	*deltas.Patcher
	out []byte
}

func (w *filler) newPatchers() *patchers {
	return &patchers{filler: w, memory: semaphore.NewWeighted(patchesMemory)}
}

// needed is about the bytes that it takes to make a segment.
func needed(s *deltas.Segment) int64 {
	need := s.Size
	for _, r := range s.References {
		need += r.Size
	}
	if s.Method == patch.Unpacked {
		need *= unpackedTimes
	}
	return min(patcherMemory+s.Payload.Size+need, patchesMemory)
}

// take gives a patcher when there is memory for what a patch needs. Those that are
// idle are not kept where they would be too much beside it.
func (p *patchers) take(ctx context.Context, need int64) (*patcher, error) {
	if err := p.memory.Acquire(ctx, need); err != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used += need
	var worker *patcher
	if last := len(p.idle) - 1; last >= 0 {
		worker, p.idle = p.idle[last], p.idle[:last]
	} else {
		worker = &patcher{Patcher: deltas.NewPatcher(p.Active, p.Image.Root.Salt)}
	}
	if room := int((patchesMemory - p.used) / patcherMemory); len(p.idle) > room {
		clear(p.idle[room:])
		p.idle = p.idle[:room]
	}
	return worker, nil
}

func (p *patchers) giveBack(worker *patcher, need int64) {
	if cap(worker.out) > patcherKept {
		worker.out = nil
	}
	p.mu.Lock()
	p.used -= need
	p.idle = append(p.idle, worker)
	p.mu.Unlock()
	p.memory.Release(need)
}

// one makes, verifies and writes a chunk. That it is not what it should be is odd,
// whether it was the payload, whose digest is looked at first, or the active slot.
func (p *patchers) one(ctx context.Context, n int, payload []byte) (odd, err error) {
	s := p.Patches[n]
	need := needed(s)
	worker, err := p.take(ctx, need)
	if err != nil {
		return nil, err
	}
	defer p.giveBack(worker, need)
	if int64(cap(worker.out)) < s.Size {
		worker.out = make([]byte, s.Size)
	}
	data := worker.out[:s.Size]
	if _, err := worker.Patch(data, s, payload); err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err), nil
	}
	return nil, p.put(data, n, n+1, &p.done.Patched)
}
