package verity

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// Area is a part of what Verify checks.
type Area uint8

// The areas.
const (
	AreaData       Area = iota // the image
	AreaTree                   // a level of the stored tree
	AreaSuperblock             // of the stored tree
)

// Mismatch is one block that is not what the root hash says.
type Mismatch struct {
	Area   Area
	Level  int    // of AreaTree: 0 is the level that holds the leaf hashes
	Block  uint64 // within the area or level
	Offset int64  // bytes from the start of the image (AreaData) or of the stored tree
}

// String is the mismatch in the words of an error message.
func (m Mismatch) String() string {
	switch m.Area {
	case AreaTree:
		return fmt.Sprintf("verity tree level %d block %d at byte %d", m.Level, m.Block, m.Offset)
	case AreaSuperblock:
		return "verity superblock"
	}
	return fmt.Sprintf("data block %d at byte %d", m.Block, m.Offset)
}

// CorruptError is the result of a Verify that read everything and found blocks
// that the root hash does not cover.
type CorruptError struct {
	// Mismatches are the bad blocks: superblock, then tree from the top down,
	// then data, each in order. It is empty when there is no stored tree to
	// locate them with; at most Check.Most are listed.
	Mismatches []Mismatch
	Count      uint64 // of bad blocks, listed or not; 0 when they cannot be located
	Unknown    uint64 // data blocks under a tree block that is lost in image and tree
	Got, Want  [HashSize]byte
}

// Error names the first bad block.
func (e *CorruptError) Error() string {
	if e.Count == 0 {
		return fmt.Sprintf("root hash %x: want %x", e.Got, e.Want)
	}
	text := fmt.Sprintf("%s does not match root hash %x", e.Mismatches[0], e.Want)
	if e.Count > 1 {
		text += fmt.Sprintf(" (and %d more blocks)", e.Count-1)
	}
	if e.Unknown > 0 {
		text += fmt.Sprintf("; %d data blocks cannot be judged", e.Unknown)
	}
	return text
}

// Check is what Verify compares with a root hash.
type Check struct {
	Root Root        // required: from a trusted place
	Data io.ReaderAt // required: the image; bytes after Root.Blocks blocks are not read

	// Stored is the verity partition or file from its superblock on, or nil to
	// check the data alone; without it bad blocks cannot be located.
	Stored io.ReaderAt
	// UUID is what the superblock must have, or nil to take any.
	UUID *[16]byte

	Workers int           // 0: one for each CPU
	Done    func(n int64) // if not nil, called with the bytes of data just hashed, from any worker
	Most    int           // of mismatches to list; 0: 1000
}

// Verify reads the image and the stored tree and compares every bit of them
// with the root hash. The error is a *CorruptError when they differ, another
// one when something could not be read. It needs about 70 bytes of memory for
// each data block.
func Verify(ctx context.Context, c Check) error {
	leaves, err := HashImage(ctx, c.Data, c.Root.Blocks, c.Root.Salt, c.Workers, c.Done)
	if err != nil {
		return err
	}
	computed, err := NewTree(leaves, c.Root.Salt)
	if err != nil {
		return err
	}
	if c.Most == 0 {
		c.Most = 1000
	}
	v := verifier{Check: c, computed: computed, leaves: leaves}
	v.Got, v.Want = computed.root.Hash, c.Root.Hash
	if c.Stored != nil {
		if err := v.superblock(); err != nil {
			return err
		}
		if err := v.tree(ctx); err != nil {
			return err
		}
	}
	if v.Count > 0 || v.Unknown > 0 || v.Got != v.Want {
		return &v.CorruptError
	}
	return nil
}

type verifier struct {
	Check
	CorruptError
	computed *Tree
	leaves   []byte
}

func (v *verifier) report(m Mismatch) {
	v.Count++
	if len(v.Mismatches) < v.Most {
		v.Mismatches = append(v.Mismatches, m)
	}
}

func (v *verifier) superblock() error {
	got := make([]byte, BlockSize)
	if err := readFull(v.Stored, got, 0); err != nil {
		return fmt.Errorf("verity superblock: %w", err)
	}
	want := Superblock{Blocks: v.Root.Blocks, Salt: v.Root.Salt, UUID: [16]byte(got[sbUUID:])}
	if v.UUID != nil {
		want.UUID = *v.UUID
	}
	if !bytes.Equal(got, want.encode()) {
		v.report(Mismatch{Area: AreaSuperblock})
	}
	return nil
}

// tree goes from the root hash down. Each block has an expected hash in its
// parent. Where the stored block has it, that is the block's true content;
// where it has not, the block computed from the data may, and then only the
// tree is damaged. When neither has, what is below cannot be judged.
func (v *verifier) tree(ctx context.Context) error {
	expected := v.Root.Hash[:] // the hashes of a level's blocks, one after another
	known := []bool{true}      // which of them are true
	for level := len(v.computed.levels) - 1; level >= 0; level-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		offset := levelOffset(v.Root.Blocks, level)
		stored := make([]byte, len(v.computed.levels[level]))
		if err := readFull(v.Stored, stored, offset); err != nil {
			return fmt.Errorf("verity tree level %d: %w", level, err)
		}
		children := make([]bool, len(stored)/HashSize)
		for i := range len(stored) / BlockSize {
			if !known[i] {
				continue
			}
			block := stored[i*BlockSize:][:BlockSize]
			ok := v.matches(block, expected[i*HashSize:])
			if !ok {
				v.report(Mismatch{AreaTree, level, uint64(i), offset + int64(i)*BlockSize})
				ok = v.matches(v.computed.levels[level][i*BlockSize:][:BlockSize], expected[i*HashSize:])
				copy(block, v.computed.levels[level][i*BlockSize:])
			}
			for j := range hashesPerBlock {
				children[i*hashesPerBlock+j] = ok
			}
		}
		expected, known = stored, children
	}
	v.data(expected, known)
	return nil
}

// data compares the data's own hashes with the true ones.
func (v *verifier) data(expected []byte, known []bool) {
	for i := range v.Root.Blocks {
		switch {
		case !known[i]:
			v.Unknown++
		case !bytes.Equal(v.leaves[i*HashSize:][:HashSize], expected[i*HashSize:][:HashSize]):
			v.report(Mismatch{AreaData, 0, i, int64(i) * BlockSize})
		}
	}
}

func (v *verifier) matches(block, hash []byte) bool {
	return bytes.Equal(LeafHashes(nil, v.Root.Salt, block), hash[:HashSize])
}
