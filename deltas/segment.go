package deltas

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

// referenceKept is the most bytes of a reference that a Patcher keeps for the next: who
// applies a larger one may be done with it long before there is an output.
const referenceKept = 1 << 20

// Patcher makes the contents of patched segments. It keeps small buffers, and what
// package patch needs, and is not for several goroutines at once.
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
// success the content has s.Digest, whatever old and the payload hold. A payload
// that has not s.PayloadDigest costs its hash alone: it is foreign, and to find out
// what a made-up one makes could take minutes.
func (p *Patcher) Patch(out []byte, s *Segment, payload []byte) (leaves []byte, err error) {
	if sha256.Sum256(payload) != s.PayloadDigest {
		return nil, fmt.Errorf("segment at %d: the payload is another one than the header says", s.Offset)
	}
	reference, err := readRanges(p.old, s.References, p.reference[:0])
	if err != nil {
		return nil, fmt.Errorf("segment at %d: reading the old image: %w", s.Offset, err)
	}
	if cap(reference) <= referenceKept {
		p.reference = reference
	}
	if err := p.applier.Apply(out, s.Method, reference, payload); err != nil {
		return nil, fmt.Errorf("segment at %d: %w", s.Offset, err)
	}
	p.leaves = verity.LeafHashes(p.leaves[:0], p.salt, out)
	if chunkindex.DigestOf(p.leaves) != s.Digest {
		return nil, fmt.Errorf("segment at %d: not what its digest says", s.Offset)
	}
	return p.leaves, nil
}

// readRanges gives the ranges' contents, in to if that has room.
func readRanges(r io.ReaderAt, ranges []Range, to []byte) ([]byte, error) {
	total := int64(0)
	for _, x := range ranges {
		total += x.Size
	}
	if int64(cap(to)) < total {
		to = make([]byte, 0, total)
	}
	for _, x := range ranges {
		end := len(to)
		to = append(to, make([]byte, x.Size)...)
		if err := readFull(r, to[end:], x.Offset); err != nil {
			return to, err
		}
	}
	return to, nil
}
