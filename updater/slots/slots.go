// Package slots fills and proves a slot: the partition of a root file system
// and that of its hash tree.
//
// What arrives is checked in the buffer that is then written (Slot.Fill), and
// what was written is read back from the medium and compared with the root
// hash (Slot.Verify). The package does not know which slot may be written;
// that has been decided before a Slot is opened for writing.
package slots

import (
	"context"
	"fmt"
	"runtime"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/hostfs"
)

// mismatchesMost is how many bad blocks Verify lists.
const mismatchesMost = 100

// Slot is an open slot.
type Slot struct {
	Letter partitions.Slot
	Root   hostfs.File // the partition of the root file system
	Tree   hostfs.File // the partition of its hash tree
}

// Close closes both partitions.
func (s *Slot) Close() error {
	err := s.Root.Close()
	if treeErr := s.Tree.Close(); err == nil {
		err = treeErr
	}
	return err
}

// TooSmallError says that a release does not fit into a slot.
type TooSmallError struct {
	Role       partitions.Role
	Have, Need int64 // bytes
}

// Error gives both sizes.
func (e *TooSmallError) Error() string {
	return fmt.Sprintf("partition %s has %d bytes: the release needs %d", e.Role, e.Have, e.Need)
}

// Fits reports whether root and its tree have room; the error is a
// *TooSmallError when not.
func (s *Slot) Fits(root verity.Root) error {
	for _, part := range []struct {
		role partitions.Role
		file hostfs.File
		need int64
	}{
		{s.Letter.Root(), s.Root, root.Size()},
		{s.Letter.Verity(), s.Tree, verity.TreeSize(root.Blocks)},
	} {
		have, err := part.file.Size()
		if err != nil {
			return fmt.Errorf("partition %s: %w", part.role, err)
		}
		if have < part.need {
			return &TooSmallError{part.role, have, part.need}
		}
	}
	return nil
}

// Holds reports whether the slot is the one that root names: whether its top
// hash block is root's. It says nothing about the rest of the slot.
func (s *Slot) Holds(root verity.Root) (bool, error) { return root.Holds(s.Tree) }

// Forget makes the slot one that Holds nothing, before it is written.
func (s *Slot) Forget() error {
	if _, err := s.Tree.WriteAt(make([]byte, headSize), 0); err != nil {
		return fmt.Errorf("forgetting the hash tree: %w", err)
	}
	if err := s.Tree.Sync(); err != nil {
		return fmt.Errorf("syncing the hash tree: %w", err)
	}
	return nil
}

// treeUUID is the UUID in a tree's superblock. What a superblock says is never
// trusted, so it identifies nothing; the root hash makes it the same on every
// host.
func treeUUID(root verity.Root) [16]byte { return [16]byte(root.Hash[:16]) }

// Verify drops the slot from the cache, reads all of it from the medium and
// compares it with the root hash. The error is a *verity.CorruptError when
// the content differs.
func (s *Slot) Verify(ctx context.Context, root verity.Root, step progress.Step) error {
	if err := s.Fits(root); err != nil {
		return err
	}
	if err := s.Root.Drop(0, root.Size()); err != nil {
		return err
	}
	if err := s.Tree.Drop(0, verity.TreeSize(root.Blocks)); err != nil {
		return err
	}
	return verity.Verify(ctx, verity.Check{
		Root:    root,
		Data:    s.Root,
		Stored:  s.Tree,
		Workers: min(4, runtime.GOMAXPROCS(0)), // each takes memory
		Done:    step.Add,
		Most:    mismatchesMost,
	})
}
