package deltas

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/deltas/diff"
	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
)

// ErrTooManyParts is of images that differ in more places than a header can list.
var ErrTooManyParts = errors.New("the images differ in too many places")

// Source is a root image as a publisher has it.
type Source struct {
	Image io.ReaderAt
	Map   filemap.Map // may be nil; then files are not paired by their names
	Root  manifests.Root
}

// Making is what to make a delta of. All but Workers and Step is required.
type Making struct {
	Old, New Source
	Path     string        // of the file, which must not exist
	Workers  int           // patches made at once, each in about 100 MiB; 0: one for each CPU, at most 2
	Step     progress.Step // gets the bytes of the new image; may be nil
}

// Made describes a delta file.
type Made struct {
	Size, HeaderSize     int64
	Digest, HeaderDigest manifests.Digest
	Copied, Patched      int64 // bytes of the new image
	Segments             int
}

// Make writes a delta. It does not look at whether the delta is worth its bytes.
// The same images, maps and roots make the same file, whatever the number of
// workers. Each segment has been applied, and both images have been compared
// with their roots.
func Make(ctx context.Context, m Making) (*Made, error) {
	k := &maker{Making: m}
	if k.Workers <= 0 {
		k.Workers = min(runtime.GOMAXPROCS(0), 2)
	}
	if k.Step == nil {
		k.Step = progress.Silent().Step("", 0)
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"compare blocks", k.compare},
		{"sketch the old image", k.sketchOld},
		{"make patches", k.patch},
		{"write the delta", k.write},
	} {
		if err := step.run(ctx); err != nil {
			k.discard()
			return nil, fmt.Errorf("delta: %s: %w", step.name, err)
		}
	}
	k.discard()
	return &k.made, nil
}

// maker makes one delta, one step after the other.
type maker struct {
	Making
	runs   []run // compare
	jobs   []job // compare
	sketch *sketch

	mu    sync.Mutex
	spool *durable.File // patch: the payloads, in the order in which they were made
	end   int64
	at    []int64 // by segment: where in spool its payload is
	delta Delta
	made  Made
}

// compare finds what is unchanged and plans the rest.
func (k *maker) compare(ctx context.Context) error {
	var leaves [2]leafHashes
	for i, s := range []Source{k.Old, k.New} {
		var err error
		if leaves[i], err = k.hash(ctx, s); err != nil {
			return err
		}
	}
	old, err := k.Old.areas()
	if err != nil {
		return err
	}
	new, err := k.New.areas()
	if err != nil {
		return err
	}
	k.runs = unchanged(leaves[0], leaves[1])
	k.jobs = plan(k.runs, new, newPairing(old, new), leaves[1].blocks())
	k.delta = Delta{From: k.Old.identity(), To: k.New.identity(), Segments: make([]Segment, len(k.jobs))}
	k.at = make([]int64, len(k.jobs))
	return nil
}

// hash is the leaf hashes of s under the new image's salt, once s has proven to
// be what its root says.
func (k *maker) hash(ctx context.Context, s Source) (leafHashes, error) {
	leaves, err := verity.HashImage(ctx, s.Image, s.Root.Blocks, s.Root.Salt, k.Workers, nil)
	if err != nil {
		return nil, err
	}
	tree, err := verity.NewTree(leaves, s.Root.Salt)
	if err != nil {
		return nil, err
	}
	if got := tree.Root().Hash; !bytes.Equal(got[:], s.Root.Hash) {
		return nil, fmt.Errorf("image has root hash %x: want %s", got, s.Root.Hash)
	}
	if bytes.Equal(s.Root.Salt, k.New.Root.Salt) {
		return leaves, nil
	}
	return verity.HashImage(ctx, s.Image, s.Root.Blocks, k.New.Root.Salt, k.Workers, nil)
}

func (s Source) areas() ([]area, error) {
	areas, err := areasOf(s.Map, int(s.Root.Blocks))
	if err != nil {
		return nil, err
	}
	return inParts(s.Image, areas)
}

func (s Source) identity() Image {
	i := Image{Blocks: s.Root.Blocks}
	copy(i.RootHash[:], s.Root.Hash)
	return i
}

func (k *maker) sketchOld(ctx context.Context) (err error) {
	k.sketch, err = sketchOf(ctx, k.Old.Image, int(k.Old.Root.Blocks), k.Workers)
	return err
}

// patch fills the segments, and the spool with their payloads.
func (k *maker) patch(ctx context.Context) (err error) {
	if k.spool, err = durable.Create(folderOf(k.Path)); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(k.Workers)
	for i, j := range k.jobs {
		s := &k.delta.Segments[i]
		*s = Segment{Offset: int64(j.at) * manifests.BlockSize, Size: int64(j.n) * manifests.BlockSize, Copy: int64(j.from) * manifests.BlockSize}
		if len(j.pieces) == 0 {
			k.made.Copied += s.Size
			k.Step.Add(s.Size)
			continue
		}
		s.Copy = -1
		k.made.Patched += s.Size
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := k.segment(ctx, i, j); err != nil {
				return err
			}
			k.Step.Add(s.Size)
			return nil
		})
	}
	return group.Wait()
}

// segment makes the payload of one and applies it.
func (k *maker) segment(ctx context.Context, i int, j job) error {
	s := &k.delta.Segments[i]
	data := make([]byte, s.Size)
	if err := readFull(k.New.Image, data, s.Offset); err != nil {
		return err
	}
	s.Digest = chunkindex.DigestOf(verity.LeafHashes(nil, k.New.Root.Salt, data))
	var pairs []diff.Pair
	for x, spans := range k.sketch.references(j, data, k.runs) {
		var p diff.Pair
		ranges := make([]Range, len(spans))
		for y, span := range spans {
			ranges[y] = Range{int64(span.at) * manifests.BlockSize, int64(span.n) * manifests.BlockSize}
		}
		var err error
		if p.Old, err = readRanges(k.Old.Image, ranges, nil); err != nil {
			return err
		}
		if x < len(j.pieces) {
			piece := j.pieces[x]
			p.New = data[(piece.at-j.at)*manifests.BlockSize:][:piece.n*manifests.BlockSize]
			p.Before = make([]byte, piece.area.lead*manifests.BlockSize)
			if err := readFull(k.New.Image, p.Before, int64(piece.at-piece.area.lead)*manifests.BlockSize); err != nil {
				return err
			}
		}
		pairs = append(pairs, p)
		s.References = appendRanges(s.References, ranges)
	}
	method, payload, err := diff.Make(ctx, pairs)
	if err != nil {
		return err
	}
	s.Method, s.PayloadDigest = method, sha256.Sum256(payload)
	if s.Payload.Size = int64(len(payload)); s.Payload.Size > PayloadMost(s.Size) {
		return fmt.Errorf("segment at %d: a payload of %d bytes for %d", s.Offset, len(payload), s.Size)
	}
	made := make([]byte, len(data))
	if _, err := NewPatcher(k.Old.Image, k.New.Root.Salt).Patch(made, s, payload); err != nil {
		return err
	}
	if !bytes.Equal(made, data) {
		return errors.New("the new image has changed while the delta was made")
	}
	return k.keep(i, payload)
}
