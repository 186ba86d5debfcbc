package repository

import (
	"cmp"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/manifests/filemap"
)

// How an image is cut; all in bytes of the image.
const (
	// pieceMost bounds a chunk: what a host has in memory, and fetches again when
	// one byte of it is damaged.
	pieceMost = 1 << 20
	// groupMost is how much small files make a chunk together. An index of chunks
	// of a block or two would be larger than what they save.
	groupMost = 128 << 10
	// metadataPiece is the same for what is no file's content: a changed inode
	// changes all of its chunk.
	metadataPiece = 16 << 10
)

// cut is where chunks end and begin in an image of size bytes: the sizes of its
// chunks, in order.
//
// The places of its blocks in older images, one slice for each image as placesIn
// makes them, come first: what is together in all of them is in a chunk with
// nothing else, and so is what is in none. A host that has one of them finds the
// whole of a chunk or nothing of it. Within that, cuts are where files begin and
// end; long files are in pieces, and small ones in groups of neighbours. Without
// files the image is in pieces. Only what is new goes into long chunks, whatever
// the files, since it compresses better so.
//
// The groups of an image with very many files are larger, so that an index can
// list them; where that is not enough, the last of the older images do not count.
func cut(files filemap.Map, size int64, places [][]int) []int64 {
	for c := (cutter{files: files, groupMost: groupMost, metadataPiece: metadataPiece}); ; {
		c.cut(size, places)
		switch {
		case len(c.sizes) <= chunkindex.ChunksMost:
			return c.sizes
		case c.groupMost < pieceMost:
			c = cutter{files: files, groupMost: c.groupMost * 2, metadataPiece: min(c.metadataPiece*2, pieceMost)}
		case len(places) > 0:
			places = places[:len(places)-1]
			c.sizes = nil
		default:
			return c.sizes
		}
	}
}

type cutter struct {
	files                    filemap.Map
	groupMost, metadataPiece int64

	sizes []int64
	group int64 // bytes of the small files that are no chunk yet
}

func (c *cutter) cut(size int64, places [][]int) {
	for from := int64(0); from < size; {
		to, fresh := runFrom(from, size, places)
		if fresh || len(c.files) == 0 {
			c.pieces(to-from, pieceMost)
		} else {
			c.run(from, to)
		}
		from = to
	}
}

// runFrom is the end of the run of blocks from a byte of the image on that are
// together in each older image, or in none of them. It is fresh when there are
// older images and it is in none.
func runFrom(from, size int64, places [][]int) (to int64, fresh bool) {
	first := int(from / manifests.BlockSize)
	fresh = len(places) > 0
	for _, p := range places {
		fresh = fresh && p[first] < 0
	}
	n := first + 1
	for ; int64(n)*manifests.BlockSize < size; n++ {
		for _, p := range places {
			if (p[n] < 0) != (p[n-1] < 0) || p[n] >= 0 && p[n] != p[n-1]+1 {
				return int64(n) * manifests.BlockSize, fresh
			}
		}
	}
	return size, fresh
}

// run cuts a part of the image where its files begin and end.
func (c *cutter) run(from, to int64) {
	first, _ := slices.BinarySearchFunc(c.files, from, func(f filemap.Extent, at int64) int { return cmp.Compare(f.Offset, at) })
	if first > 0 {
		first-- // it may reach into the run
	}
	at := from
	for _, f := range c.files[first:] {
		if f.Offset >= to {
			break
		}
		end := min(f.Offset+(f.Size+manifests.BlockSize-1)/manifests.BlockSize*manifests.BlockSize, to)
		if end <= at {
			continue
		}
		if f.Offset > at {
			c.flush()
			c.pieces(f.Offset-at, c.metadataPiece)
			at = f.Offset
		}
		c.file(end - at)
		at = end
	}
	c.flush()
	c.pieces(to-at, c.metadataPiece)
}

func (c *cutter) file(size int64) {
	if c.group+size > c.groupMost {
		c.flush()
	}
	if size > c.groupMost {
		c.pieces(size, pieceMost)
		return
	}
	c.group += size
}

func (c *cutter) flush() {
	if c.group > 0 {
		c.sizes = append(c.sizes, c.group)
		c.group = 0
	}
}

func (c *cutter) pieces(size, most int64) {
	for ; size > 0; size -= most {
		c.sizes = append(c.sizes, min(size, most))
	}
}
