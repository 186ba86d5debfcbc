package repository

import (
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
	groupMost = 64 << 10
	// metadataPiece is the same for what is no file's content: a changed inode
	// changes all of its chunk.
	metadataPiece = 16 << 10
)

// cut is where chunks end and begin in an image of size bytes: the sizes of its
// chunks, in order. The cuts are where files begin and end; long files are in
// pieces, and small ones in groups of neighbours. Without files the image is in
// pieces. The groups of an image with very many files are larger, so that an index
// can list them.
func cut(files filemap.Map, size int64) []int64 {
	if len(files) == 0 {
		c := cutter{}
		c.pieces(size, pieceMost)
		return c.sizes
	}
	for c := (cutter{groupMost: groupMost, metadataPiece: metadataPiece}); ; {
		c.cut(files, size)
		if len(c.sizes) <= chunkindex.ChunksMost || c.groupMost >= pieceMost {
			return c.sizes
		}
		c = cutter{groupMost: c.groupMost * 2, metadataPiece: min(c.metadataPiece*2, pieceMost)}
	}
}

type cutter struct {
	groupMost, metadataPiece int64

	sizes []int64
	group int64 // bytes of the small files that are no chunk yet
}

func (c *cutter) cut(files filemap.Map, size int64) {
	at := int64(0)
	for _, f := range files {
		if f.Offset > at {
			c.flush()
			c.pieces(f.Offset-at, c.metadataPiece)
		}
		blocks := (f.Size + manifests.BlockSize - 1) / manifests.BlockSize * manifests.BlockSize
		c.file(blocks)
		at = f.Offset + blocks
	}
	c.flush()
	c.pieces(size-at, c.metadataPiece)
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
