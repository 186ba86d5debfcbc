package slots

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
)

// headSize is the part of a stored tree that makes a slot hold a root: the
// superblock and the block behind it, which is the top of the tree.
const headSize = verity.TopOffset + verity.BlockSize

// CompleteTree builds what belongs above the leaf level that Fill wrote, and
// makes all of the tree durable. The top block is written last, when everything
// below it is on the medium: no slot holds a root without its tree. Leaves that
// do not come to the root hash are an error that wraps ErrContent.
func (s *Slot) CompleteTree(ctx context.Context, image Image) error {
	root := image.Root
	crown, kept, err := s.readCrown(ctx, image)
	if err != nil {
		return err
	}
	if !kept {
		return fmt.Errorf("the leaf level of slot %s was not kept as it was written", s.Letter)
	}
	if got := crown.Root().Hash; got != root.Hash {
		return fmt.Errorf("the chunks have root hash %x, the release has %x: %w", got, root.Hash, ErrContent)
	}
	stored := crown.Bytes(treeUUID(root))
	head := min(len(stored), headSize)
	for _, part := range []struct {
		content []byte
		offset  int64
	}{{stored[head:], int64(head)}, {stored[:head], 0}} {
		if _, err := s.Tree.WriteAt(part.content, part.offset); err != nil {
			return fmt.Errorf("writing %d bytes of the hash tree at %d: %w", len(part.content), part.offset, err)
		}
		if err := s.Tree.Sync(); err != nil {
			return fmt.Errorf("syncing the hash tree: %w", err)
		}
	}
	return nil
}

// VerifyFilled proves a slot that was just filled. Fill has found the chunks on
// the medium to be the image's. What is read from the medium now is the tree:
// its leaf level must be that of the same chunks and come to the root hash, and
// the rest must be what belongs above it.
func (s *Slot) VerifyFilled(ctx context.Context, image Image) error {
	root := image.Root
	if err := s.Tree.Drop(0, verity.TreeSize(root.Blocks)); err != nil {
		return err
	}
	crown, kept, err := s.readCrown(ctx, image)
	if err != nil {
		return err
	}
	if kept && crown.Root().Hash == root.Hash {
		want := crown.Bytes(treeUUID(root))
		got := make([]byte, len(want))
		if n, err := s.Tree.ReadAt(got, 0); n < len(got) {
			return fmt.Errorf("reading the hash tree: %w", err)
		}
		if bytes.Equal(got, want) {
			return nil
		}
	}
	// Something differs: find out what, with all the time that takes.
	if err := s.Verify(ctx, root, progress.Silent().Step("", 0)); err != nil {
		return err
	}
	return fmt.Errorf("the medium gives two answers about the hash tree of slot %s", s.Letter)
}

// readCrown reads the leaf level. It is kept when it has the hashes of the
// image's chunks.
func (s *Slot) readCrown(ctx context.Context, image Image) (crown *verity.Crown, kept bool, err error) {
	leaves := &leafChecker{image: image, hash: sha256.New()}
	crown, err = verity.ReadCrown(ctx, s.Tree, image.Root.Blocks, image.Root.Salt, leaves.check)
	return crown, !leaves.wrong, err
}

// leafChecker compares the leaf level, as it comes, with the chunks' digests.
type leafChecker struct {
	image Image
	hash  hash.Hash
	chunk int
	have  int64 // bytes of the chunk's hashes
	wrong bool
}

func (c *leafChecker) check(hashes []byte) error {
	for len(hashes) > 0 {
		_, size := c.image.Place(c.chunk)
		size = size / verity.BlockSize * verity.HashSize
		piece := hashes[:min(int64(len(hashes)), size-c.have)]
		hashes = hashes[len(piece):]
		c.hash.Write(piece)
		if c.have += int64(len(piece)); c.have < size {
			continue
		}
		if chunkindex.Digest(c.hash.Sum(nil)) != c.image.Chunks[c.chunk].Digest {
			c.wrong = true
		}
		c.hash.Reset()
		c.chunk, c.have = c.chunk+1, 0
	}
	return nil
}
