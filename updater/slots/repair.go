package slots

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/proa-os/proa/partitions/verity"
)

// Repair replaces what Inspect found damaged: chunks from the source, each
// verified in the buffer that is written, and parts of the hash tree. It returns
// the encoded bytes that it fetched.
//
// Only bytes that differ are written, and each of them is the one that the image
// has at that place, so a cut anywhere leaves no more damage than there was. The
// top block of the tree comes last, when all below it is on the medium: a slot
// that nothing takes for the image, because that block is lost, becomes one only
// when it is whole. What a block device could not read it is asked to write:
// that is when it takes a spare sector.
func (s *Slot) Repair(ctx context.Context, r Repairing, d *Damage) (fetched int64, err error) {
	m := &mending{Repairing: r, slot: s, damage: d, leaves: map[int]bool{}}
	for _, n := range d.Leaves {
		m.leaves[n] = true
	}
	if m.decoder, err = newDecoder(r.Image); err != nil {
		return 0, err
	}
	defer m.decoder.Close()
	for _, n := range d.Chunks {
		if err := m.chunk(ctx, n); err != nil {
			return m.fetched, err
		}
	}
	for _, n := range d.Leaves {
		if m.leaves[n] {
			if err := m.leavesOfData(ctx, n); err != nil {
				return m.fetched, err
			}
		}
	}
	return m.fetched, m.crown()
}

type mending struct {
	Repairing
	slot    *Slot
	damage  *Damage
	decoder *decoder
	leaves  map[int]bool // chunks whose part of the leaf level is still damaged
	fetched int64
}

// chunk fetches, verifies, writes, syncs and reads back one chunk.
func (m *mending) chunk(ctx context.Context, n int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	frame := m.damage.kept[n]
	if frame == nil {
		var err error
		if frame, err = m.Image.fetch(ctx, m.Source, n); err != nil {
			return err
		}
		m.fetched += int64(len(frame))
	}
	data, leaves, err := m.decoder.decode(n, frame)
	if err != nil {
		return err
	}
	delete(m.damage.kept, n)
	offset, size := m.Image.Place(n)
	old := make([]byte, size)
	if got, _ := m.slot.Root.ReadAt(old, offset); got < len(old) {
		old = nil // all of it is written
	}
	for at := 0; at < len(data); {
		end := differing(data, old, at)
		if end == at {
			at += verity.BlockSize
			continue
		}
		if _, err := m.slot.Root.WriteAt(data[at:end], offset+int64(at)); err != nil {
			return fmt.Errorf("writing %d bytes at %d: %w", end-at, offset+int64(at), err)
		}
		at = end
	}
	if err := m.slot.Root.Sync(); err != nil {
		return fmt.Errorf("syncing the root image: %w", err)
	}
	if err := m.slot.Root.Drop(offset, size); err != nil {
		return err
	}
	back := old
	if back == nil {
		back = make([]byte, size)
	}
	if got, err := m.slot.Root.ReadAt(back, offset); got < len(back) {
		return fmt.Errorf("reading back %d bytes at %d: %w", size, offset, err)
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("the medium did not keep chunk %d, %d bytes at %d, as it was written", n, size, offset)
	}
	if m.leaves[n] {
		return m.writeLeaves(n, leaves)
	}
	return nil
}

// differing is the end of the run of blocks, from at on, in which data is not as
// old, or all of it without old.
func differing(data, old []byte, at int) int {
	if old == nil {
		return len(data)
	}
	for at < len(data) && !bytes.Equal(data[at:at+verity.BlockSize], old[at:at+verity.BlockSize]) {
		at += verity.BlockSize
	}
	return at
}

// leavesOfData rewrites a part of the leaf level whose data is whole.
func (m *mending) leavesOfData(ctx context.Context, n int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	offset, size := m.Image.Place(n)
	data := make([]byte, size)
	if got, err := m.slot.Root.ReadAt(data, offset); got < len(data) {
		return fmt.Errorf("reading %d bytes at %d: %w", size, offset, err)
	}
	leaves := verity.LeafHashes(nil, m.Image.Root.Salt, data)
	if !m.Image.matches(n, leaves) {
		return fmt.Errorf("the medium gives two answers about chunk %d, %d bytes at %d", n, size, offset)
	}
	return m.writeLeaves(n, leaves)
}

// writeLeaves writes a chunk's part of the leaf level, and with it what else is
// in its first and last block. When that cannot be read it is damaged too, and
// comes later.
func (m *mending) writeLeaves(n int, leaves []byte) error {
	offset, _, padding := m.Image.leaves(n)
	part := append(leaves, make([]byte, padding)...)
	head, tail := offset%verity.BlockSize, -(offset+int64(len(part)))&(verity.BlockSize-1)
	part = slices.Concat(make([]byte, head), part, make([]byte, tail))
	offset -= head
	for _, beside := range []struct{ from, size int64 }{{0, head}, {int64(len(part)) - tail, tail}} {
		if got, _ := m.slot.Tree.ReadAt(part[beside.from:][:beside.size], offset+beside.from); int64(got) < beside.size {
			clear(part[beside.from:][:beside.size])
		}
	}
	if _, err := m.slot.Tree.WriteAt(part, offset); err != nil {
		return fmt.Errorf("writing %d bytes of the hash tree at %d: %w", len(part), offset, err)
	}
	delete(m.leaves, n)
	return nil
}

// crown writes the damaged blocks before the leaf level from behind, the top
// block and the superblock after a sync of all the rest.
func (m *mending) crown() error {
	if len(m.damage.Leaves)+len(m.damage.Crown) == 0 {
		return nil
	}
	const top = verity.TopOffset / verity.BlockSize
	synced := false
	for i := len(m.damage.Crown) - 1; i >= 0; i-- {
		n := m.damage.Crown[i]
		if n <= top && !synced {
			if err := m.syncTree(); err != nil {
				return err
			}
			synced = true
		}
		offset := int64(n) * verity.BlockSize
		if _, err := m.slot.Tree.WriteAt(m.damage.stored[offset:][:verity.BlockSize], offset); err != nil {
			return fmt.Errorf("writing %d bytes of the hash tree at %d: %w", verity.BlockSize, offset, err)
		}
	}
	return m.syncTree()
}

func (m *mending) syncTree() error {
	if err := m.slot.Tree.Sync(); err != nil {
		return fmt.Errorf("syncing the hash tree: %w", err)
	}
	return nil
}
