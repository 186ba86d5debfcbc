package deltas

import (
	"fmt"
	"io"

	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// Patcher makes the contents of patched segments. It keeps its buffers, of at most
// patch.ReferenceMost bytes and what package patch needs, and is not for several
// goroutines at once.
type Patcher struct {
	old       io.ReaderAt
	salt      []byte
	applier   *patch.Applier
	reference []byte
	leaves    []byte
}

// NewPatcher makes one that takes references from old. Salt is the new image's.
func NewPatcher(old io.ReaderAt, salt []byte) *Patcher {
	return &Patcher{old: old, salt: salt, applier: patch.NewApplier()}
}

// Patch fills out, of s.Size bytes, with the content of s, which is patched. It
// returns the leaf hashes of its blocks, which stay valid until the next call. On
// success the content has s.Digest, whatever old and the payload hold.
func (p *Patcher) Patch(out []byte, s *Segment, payload []byte) (leaves []byte, err error) {
	if p.reference, err = readRanges(p.old, s.References, p.reference[:0]); err != nil {
		return nil, fmt.Errorf("segment at %d: reading the old image: %w", s.Offset, err)
	}
	if err := p.applier.Apply(out, s.Method, p.reference, payload); err != nil {
		return nil, fmt.Errorf("segment at %d: %w", s.Offset, err)
	}
	p.leaves = verity.LeafHashes(p.leaves[:0], p.salt, out)
	if chunkindex.DigestOf(p.leaves) != s.Digest {
		return nil, fmt.Errorf("segment at %d: not what its digest says", s.Offset)
	}
	return p.leaves, nil
}

// readRanges appends the ranges' contents to to.
func readRanges(r io.ReaderAt, ranges []Range, to []byte) ([]byte, error) {
	for _, x := range ranges {
		end := len(to)
		to = append(to, make([]byte, x.Size)...)
		if err := readFull(r, to[end:], x.Offset); err != nil {
			return to, err
		}
	}
	return to, nil
}
