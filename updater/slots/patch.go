package slots

import (
	"fmt"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/partitions/verity"
)

// patcher makes chunks of blocks of the active slot and what was fetched.
type patcher struct {
	*filler
	applier                *patch.Applier
	reference, out, hashes []byte
}

// newPatchers are as many as work at once.
func (w *filler) newPatchers() chan *patcher {
	most := int64(1)
	for _, s := range w.Patches {
		if s != nil {
			most = max(most, s.Size+referenced(s))
		}
	}
	n := max(1, min(workers(), int(patchesMemory/most)))
	all := make(chan *patcher, n)
	for range n {
		all <- &patcher{filler: w, applier: patch.NewApplier()}
	}
	return all
}

func referenced(s *deltas.Segment) (size int64) {
	for _, r := range s.References {
		size += r.Size
	}
	return size
}

// make makes and verifies a chunk; it is good until the next call. The error wraps
// ErrContent: whether it was the payload or the active slot that is not as it should
// be, the chunk's digest does not tell.
func (p *patcher) make(n int, payload []byte) ([]byte, error) {
	odd := func(err error) error { return fmt.Errorf("chunk %d: %w: %w", n, ErrContent, err) }
	s := p.Patches[n]
	p.reference = sized(p.reference, referenced(s))
	at := int64(0)
	for _, r := range s.References {
		if got, err := p.Active.ReadAt(p.reference[at:at+r.Size], r.Offset); int64(got) < r.Size {
			return nil, odd(fmt.Errorf("reading %d bytes of the active slot at %d: %w", r.Size, r.Offset, err))
		}
		at += r.Size
	}
	p.out = sized(p.out, s.Size)
	if err := p.applier.Apply(p.out, s.Method, p.reference, payload); err != nil {
		return nil, odd(err)
	}
	p.hashes = verity.LeafHashes(p.hashes[:0], p.Image.Root.Salt, p.out)
	if !p.Image.matches(n, p.hashes) {
		return nil, fmt.Errorf("chunk %d, patched: %w", n, ErrContent)
	}
	return p.out, nil
}

// sized is buffer with size bytes, a new one if it is too small.
func sized(buffer []byte, size int64) []byte {
	if int64(cap(buffer)) < size {
		return make([]byte, size)
	}
	return buffer[:size]
}
