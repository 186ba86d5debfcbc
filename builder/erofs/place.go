package erofs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests/filemap"
)

// firstNumber is that of the first inode. Numbers count from one block before
// the inodes, so that none, above all not the root directory's, is 0, which
// readdir(3) and others take for "none". As they do not count from the start of
// the image, they stay when the contents before them come to more.
const firstNumber = slotsPerBlock

// place gives every inode its number, and every content of blocks its blocks.
func (p *plan) place(previous filemap.Layout) error {
	was := make(map[string]filemap.Node, len(previous))
	for _, n := range previous {
		was[n.Path] = n
	}
	order := p.inOrder()
	pieces := make([]*piece, len(order))
	for k, i := range order {
		pieces[k] = &piece{size: i.slots, most: math.MaxInt64}
		if old := was[i.path]; int64(old.Slots) >= i.slots {
			pieces[k].was = old.Number
		}
	}
	pieces[0].most = rootNumberMost
	end := space{start: firstNumber, page: slotsPerBlock}.fill(pieces)
	for k, i := range order {
		i.number = pieces[k].at
	}

	order = slices.DeleteFunc(order, func(i *inode) bool { return i.ownBlocks() == 0 })
	// Directories change when inodes move: they come last.
	slices.SortStableFunc(order, func(a, b *inode) int { return cmp.Compare(a.contentRank(), b.contentRank()) })
	pieces = pieces[:len(order)]
	for k, i := range order {
		pieces[k] = &piece{size: i.ownBlocks(), most: math.MaxInt64}
		if old := was[i.path].Extent; blocksOf(old.Size) >= pieces[k].size {
			pieces[k].was = old.Offset / BlockSize
		}
	}
	p.meta = space{start: 1}.fill(pieces)
	for k, i := range order {
		i.block = pieces[k].at
	}

	// fsck.erofs reads the start of an inode's attributes also where it has none:
	// a free slot follows the last inode.
	p.blocks = p.meta + (end+1-firstNumber+slotsPerBlock-1)/slotsPerBlock
	if p.blocks > math.MaxUint32 {
		return errors.New("the image would have more than 2^32 blocks")
	}
	if number := p.inodes[0].number; number > rootNumberMost {
		return fmt.Errorf("the root directory would have the inode number %d: want at most %d", number, rootNumberMost)
	}
	return nil
}

// inOrder is the inodes in the order in which a new layout has them.
func (p *plan) inOrder() []*inode {
	order := slices.Clone(p.inodes)
	slices.SortStableFunc(order[1:], func(a, b *inode) int { return cmp.Compare(rank(a.path), rank(b.path)) })
	return order
}

func (i *inode) contentRank() int {
	if i.node.Kind == tree.File {
		return 0
	}
	return 1
}

func blocksOf(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// layout is the plan as a root.map.
func (p *plan) layout() filemap.Layout {
	layout := make(filemap.Layout, len(p.inodes))
	for k, i := range p.inodes {
		layout[k] = filemap.Node{Extent: filemap.Extent{Path: i.path}, Number: i.number, Slots: int(i.slots)}
		if i.ownBlocks() > 0 {
			layout[k].Offset, layout[k].Size = i.block*BlockSize, i.size
		}
	}
	slices.SortFunc(layout, func(a, b filemap.Node) int {
		switch {
		case a.Size > 0 && b.Size > 0:
			return cmp.Compare(a.Offset, b.Offset)
		case a.Size > 0:
			return -1
		case b.Size > 0:
			return 1
		}
		return cmp.Compare(a.Number, b.Number)
	})
	return layout
}
