package slots

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
)

// Source gives the bytes from..to (to excluded) of the file of zstd frames.
type Source func(ctx context.Context, from, to int64) io.ReadCloser

// Repairing is what Inspect and Repair work with.
type Repairing struct {
	Image  Image
	Source Source
	// Step receives the bytes of the image that were looked at. Required.
	Step progress.Step
}

// Damage is where a slot differs from an image.
type Damage struct {
	Chunks []int // of the root image, in order
	Leaves []int // chunks whose part of the leaf level is damaged, in order
	Crown  []int // damaged blocks from the superblock to the leaf level; 0 is the superblock

	Fetched int64 // encoded bytes that it took to find out

	stored []byte         // what belongs from the superblock to the leaf level
	kept   map[int][]byte // frames that were fetched
}

// None reports whether the slot is whole.
func (d *Damage) None() bool { return len(d.Chunks)+len(d.Leaves)+len(d.Crown) == 0 }

// keptMost is the bytes of frames that Inspect keeps for Repair.
const keptMost = 8 << 20

// Inspect reads all of a slot from the medium and compares it with the image; it
// writes nothing. What cannot be read is damaged. It fetches only chunks of
// which the slot has neither data nor leaf hashes: with the leaf hashes of all
// chunks it makes sure that the chunks are those of the image's root hash, before
// anybody trusts them with a slot. When they are not, the error wraps ErrContent.
func (s *Slot) Inspect(ctx context.Context, r Repairing) (*Damage, error) {
	i, err := s.newInspection(r)
	if err != nil {
		return nil, err
	}
	defer i.decoder.Close()
	for n := range r.Image.Chunks {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := i.chunk(ctx, n); err != nil {
			return nil, err
		}
		_, size := r.Image.Place(n)
		r.Step.Add(size)
	}
	crown, err := i.crown.Crown()
	if err != nil {
		return nil, err
	}
	if got := crown.Root().Hash; got != r.Image.Root.Hash {
		return nil, fmt.Errorf("the chunks have root hash %x, the release has %x: %w", got, r.Image.Root.Hash, ErrContent)
	}
	i.compareCrown(crown.Bytes(treeUUID(r.Image.Root)))
	return &i.Damage, nil
}

type inspection struct {
	Damage
	Repairing
	slot     *Slot
	decoder  *decoder
	crown    *verity.CrownBuilder
	data     []byte
	hashes   []byte
	leaves   []byte
	keptSize int64
}

func (s *Slot) newInspection(r Repairing) (*inspection, error) {
	if err := s.Fits(r.Image.Root); err != nil {
		return nil, err
	}
	if err := s.Root.Drop(0, r.Image.Root.Size()); err != nil {
		return nil, err
	}
	if err := s.Tree.Drop(0, verity.TreeSize(r.Image.Root.Blocks)); err != nil {
		return nil, err
	}
	largest, _ := r.Image.largest()
	i := &inspection{Repairing: r, slot: s, data: make([]byte, largest)}
	i.kept = map[int][]byte{}
	var err error
	if i.crown, err = verity.NewCrownBuilder(r.Image.Root.Blocks, r.Image.Root.Salt); err != nil {
		return nil, err
	}
	i.decoder, err = newDecoder(r.Image)
	return i, err
}

// chunk looks at one chunk's data and leaf hashes, and hands the true leaf
// hashes to the crown.
func (i *inspection) chunk(ctx context.Context, n int) error {
	whole := i.readChunk(n)
	leavesWhole := i.readLeaves(n)
	if !whole {
		i.Chunks = append(i.Chunks, n)
	}
	if !leavesWhole {
		i.Leaves = append(i.Leaves, n)
	}
	switch {
	case leavesWhole:
		i.crown.Add(i.leaves)
	case whole:
		i.crown.Add(i.hashes)
	default:
		frame, err := i.Image.fetch(ctx, i.Source, n)
		if err != nil {
			return err
		}
		i.Fetched += int64(len(frame))
		_, hashes, err := i.decoder.decode(n, frame)
		if err != nil {
			return err
		}
		i.crown.Add(hashes)
		if i.keptSize += int64(len(frame)); i.keptSize <= keptMost {
			i.kept[n] = frame
		}
	}
	return nil
}

// readChunk reports whether the chunk's data is whole, and keeps the hashes of
// what it is.
func (i *inspection) readChunk(n int) bool {
	offset, size := i.Image.Place(n)
	data := i.data[:size]
	if got, _ := i.slot.Root.ReadAt(data, offset); got < len(data) {
		return false
	}
	i.hashes = verity.LeafHashes(i.hashes[:0], i.Image.Root.Salt, data)
	return i.Image.matches(n, i.hashes)
}

// readLeaves reports whether the chunk's part of the leaf level is whole, and
// keeps its hashes.
func (i *inspection) readLeaves(n int) bool {
	offset, hashes, padding := i.Image.leaves(n)
	if cap(i.leaves) < hashes+padding {
		i.leaves = make([]byte, hashes+padding)
	}
	i.leaves = i.leaves[:hashes+padding]
	if got, _ := i.slot.Tree.ReadAt(i.leaves, offset); got < len(i.leaves) {
		return false
	}
	zeros := bytes.Equal(i.leaves[hashes:], make([]byte, padding))
	i.leaves = i.leaves[:hashes]
	return zeros && i.Image.matches(n, i.leaves)
}

// compareCrown compares what is before the leaf level, block by block. Any
// superblock will do that describes this tree: it may have another UUID.
func (i *inspection) compareCrown(want []byte) {
	i.stored = want
	block := make([]byte, verity.BlockSize)
	for n := range len(want) / verity.BlockSize {
		got, _ := i.slot.Tree.ReadAt(block, int64(n)*verity.BlockSize)
		if n == 0 && got == len(block) {
			sb, err := verity.ParseSuperblock(block)
			root := i.Image.Root
			if err == nil && sb.Blocks == root.Blocks && bytes.Equal(sb.Salt, root.Salt) {
				copy(want, block)
			}
		}
		if got < len(block) || !bytes.Equal(block, want[n*verity.BlockSize:][:verity.BlockSize]) {
			i.Crown = append(i.Crown, n)
		}
	}
}

// leaves is where chunk n's part of the leaf level is in the stored tree, how
// many bytes of hashes it has, and how many zeros behind them.
func (i Image) leaves(n int) (offset int64, hashes, padding int) {
	from, size := i.Place(n)
	offset = verity.LeafOffset(i.Root.Blocks) + from/verity.BlockSize*verity.HashSize
	hashes = int(size / verity.BlockSize * verity.HashSize)
	if n == len(i.Chunks)-1 {
		padding = int(verity.TreeSize(i.Root.Blocks) - offset - int64(hashes))
	}
	return offset, hashes, padding
}

// fetch gets the frame of chunk n.
func (i Image) fetch(ctx context.Context, source Source, n int) ([]byte, error) {
	chunk := i.Chunks[n]
	frame := make([]byte, chunk.Encoded)
	stream := source(ctx, chunk.Frame, chunk.Frame+chunk.Encoded)
	defer stream.Close()
	if _, err := io.ReadFull(stream, frame); err != nil {
		return nil, err
	}
	return frame, nil
}
