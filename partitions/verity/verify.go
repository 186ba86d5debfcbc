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
// one when something could not be read. It needs about 100 bytes of memory for
// each 128 data blocks, and 1 MiB for each worker.
func Verify(ctx context.Context, c Check) error {
	if err := check(c.Root.Blocks, c.Root.Salt); err != nil {
		return err
	}
	if c.Most == 0 {
		c.Most = 1000
	}
	v := verifier{Check: c}
	if c.Stored != nil {
		if err := v.superblock(); err != nil {
			return err
		}
	}
	if err := v.hash(ctx); err != nil {
		return err
	}
	v.Got, v.Want = v.computed.root.Hash, c.Root.Hash
	if c.Stored != nil {
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
	leaves   []byte // the hashes of the leaf level's blocks as the data makes them
	differs  []bool // those blocks that are not stored so
	computed *Crown // over leaves
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

// hash reads the data, and beside it the leaf level, and keeps of both only
// where they are not of one mind.
func (v *verifier) hash(ctx context.Context) error {
	n := leafBlocks(v.Root.Blocks)
	prepare := func() { v.leaves, v.differs = make([]byte, n*HashSize), make([]bool, n) }
	err := inPieces(ctx, v.Data, v.Root.Blocks, v.Workers, prepare, func(first uint64, data []byte) error {
		level := leafLevel(v.Root.Salt, data)
		block := first / hashesPerBlock
		LeafHashes(v.leaves[block*HashSize:block*HashSize], v.Root.Salt, level)
		if v.Stored != nil {
			stored := make([]byte, len(level))
			if err := readFull(v.Stored, stored, v.leafOffset(block)); err != nil {
				return fmt.Errorf("verity tree level 0: %w", err)
			}
			for i := 0; i < len(level); i += BlockSize {
				v.differs[block+uint64(i/BlockSize)] = !bytes.Equal(level[i:][:BlockSize], stored[i:][:BlockSize])
			}
		}
		if v.Done != nil {
			v.Done(int64(len(data)))
		}
		return nil
	})
	if err == nil {
		v.computed = newCrown(v.leaves, v.Root.Blocks, v.Root.Salt)
	}
	return err
}

// leafLevel is the blocks of the leaf level over data.
func leafLevel(salt, data []byte) []byte {
	level := make([]byte, leafBlocks(uint64(len(data)/BlockSize))*BlockSize)
	LeafHashes(level[:0], salt, data)
	return level
}

func (v *verifier) leafOffset(block uint64) int64 {
	return LeafOffset(v.Root.Blocks) + int64(block)*BlockSize
}

// tree goes from the root hash down. Each block has an expected hash in its
// parent. Where the stored block has it, that is the block's true content;
// where it has not, the block computed from the data may, and then only the
// tree is damaged. When neither has, what is below cannot be judged.
func (v *verifier) tree(ctx context.Context) error {
	expected := v.Root.Hash[:] // the hashes of a level's blocks, one after another
	known := []bool{true}      // which of them are true
	for level := len(v.computed.levels); level > 0; level-- {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		computed := v.computed.levels[level-1]
		offset := levelOffset(v.Root.Blocks, level)
		stored := make([]byte, len(computed))
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
				ok = v.matches(computed[i*BlockSize:][:BlockSize], expected[i*HashSize:])
				copy(block, computed[i*BlockSize:])
			}
			for j := range hashesPerBlock {
				children[i*hashesPerBlock+j] = ok
			}
		}
		expected, known = stored, children
	}
	suspects, err := v.leafBlocks(ctx, expected, known)
	if err != nil {
		return err
	}
	return v.data(ctx, suspects)
}

// leafBlocks judges the leaf level, and returns its blocks that are true and
// have other data under them.
func (v *verifier) leafBlocks(ctx context.Context, expected []byte, known []bool) (suspects []uint64, err error) {
	block := make([]byte, BlockSize)
	for i, differs := range v.differs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		under := min(hashesPerBlock, v.Root.Blocks-uint64(i)*hashesPerBlock)
		if !known[i] {
			v.Unknown += under
			continue
		}
		want := expected[i*HashSize:][:HashSize]
		dataIsTrue := bytes.Equal(v.leaves[i*HashSize:][:HashSize], want)
		if dataIsTrue && !differs {
			continue
		}
		if differs {
			if err := readFull(v.Stored, block, v.leafOffset(uint64(i))); err != nil {
				return nil, fmt.Errorf("verity tree level 0: %w", err)
			}
			if v.matches(block, want) {
				suspects = append(suspects, uint64(i))
				continue
			}
		}
		v.report(Mismatch{AreaTree, 0, uint64(i), v.leafOffset(uint64(i))})
		if !dataIsTrue {
			v.Unknown += under
		}
	}
	return suspects, nil
}

// data finds the bad blocks under blocks of the leaf level that are true.
func (v *verifier) data(ctx context.Context, suspects []uint64) error {
	block, buffer := make([]byte, BlockSize), make([]byte, hashesPerBlock*BlockSize)
	for _, suspect := range suspects {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		first := suspect * hashesPerBlock
		data := buffer[:min(hashesPerBlock, v.Root.Blocks-first)*BlockSize]
		if err := readFull(v.Data, data, int64(first)*BlockSize); err != nil {
			return fmt.Errorf("hashing image: %w", err)
		}
		if err := readFull(v.Stored, block, v.leafOffset(suspect)); err != nil {
			return fmt.Errorf("verity tree level 0: %w", err)
		}
		for i, hashes := 0, leafLevel(v.Root.Salt, data); i < len(data)/BlockSize; i++ {
			if !bytes.Equal(hashes[i*HashSize:][:HashSize], block[i*HashSize:][:HashSize]) {
				n := first + uint64(i)
				v.report(Mismatch{AreaData, 0, n, int64(n) * BlockSize})
			}
		}
	}
	return nil
}

func (v *verifier) matches(block, hash []byte) bool {
	return bytes.Equal(LeafHashes(nil, v.Root.Salt, block), hash[:HashSize])
}
