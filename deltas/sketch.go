package deltas

import (
	"context"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/manifests"
)

// sketch knows where in an image some of its strings of 32 bytes lie: those whose
// hash has a certain form, so that the same strings are known wherever they lie.
type sketch struct {
	blocks int // of the image
	rare   int // one string of 1<<rare is known
	marks  []mark
}

// mark is a string's hash and the block where the string ends.
type mark struct{ hash, block uint32 }

const (
	marksMost   = 4 << 20 // of an image
	commonAbove = 8       // places of a string that says nothing
	sketchPiece = 4 << 20 // bytes read at a time
)

// gear gives each byte a random number. The seed is part of no format.
var gear = func() (table [256]uint64) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range table {
		table[i] = r.Uint64()
	}
	return table
}()

// marksIn calls found with the hash and the end of each string of data that a
// sketch knows.
func marksIn(data []byte, rare int, found func(hash uint32, end int)) {
	var h uint64
	mask := uint64(1)<<rare - 1
	for i, c := range data {
		h = h<<2 + gear[c]
		if h>>(64-rare)&mask == 0 && i >= 31 {
			found(uint32(h>>(64-rare-32)), i)
		}
	}
}

// sketchOf reads an image of the given number of blocks.
func sketchOf(ctx context.Context, r io.ReaderAt, blocks, workers int) (*sketch, error) {
	s := &sketch{blocks: blocks, rare: max(8, bits.Len(uint(blocks*manifests.BlockSize/marksMost)))}
	pieces := make([][]mark, (blocks*manifests.BlockSize+sketchPiece-1)/sketchPiece)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range pieces {
		group.Go(func() error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			data := make([]byte, min(sketchPiece, blocks*manifests.BlockSize-i*sketchPiece))
			if err := readFull(r, data, int64(i)*sketchPiece); err != nil {
				return err
			}
			marksIn(data, s.rare, func(hash uint32, end int) {
				pieces[i] = append(pieces[i], mark{hash, uint32((i*sketchPiece + end) / manifests.BlockSize)})
			})
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	s.marks = slices.Concat(pieces...)
	slices.SortFunc(s.marks, func(a, b mark) int {
		if a.hash != b.hash {
			return int(int64(a.hash) - int64(b.hash))
		}
		return int(int64(a.block) - int64(b.block))
	})
	return s, nil
}

// find is the blocks where a string lies, or none when there are many.
func (s *sketch) find(hash uint32) []mark {
	first := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].hash >= hash })
	n := 0
	for first+n < len(s.marks) && s.marks[first+n].hash == hash {
		if n++; n > commonAbove {
			return nil
		}
	}
	return s.marks[first : first+n]
}

// readFull fills p from r at offset.
func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
