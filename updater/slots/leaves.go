package slots

import (
	"fmt"
	"sync"

	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/hostfs"
)

// leafWriter writes the leaf level of a hash tree in whole blocks, out of hashes
// that come in runs of any length and order: what is written in parts is read
// first, from a medium that may not be able to.
type leafWriter struct {
	tree   hostfs.File
	offset int64 // of the leaf level in the tree
	size   int64 // of all hashes together, in bytes

	mu    sync.Mutex
	parts map[int64]*leafBlock // those that are not complete, by number
}

// leafBlock is a block of the leaf level, and how many bytes of it there are.
type leafBlock struct {
	content [verity.BlockSize]byte
	have    int64
}

func newLeafWriter(tree hostfs.File, root verity.Root) *leafWriter {
	return &leafWriter{
		tree:   tree,
		offset: verity.LeafOffset(root.Blocks),
		size:   int64(root.Blocks) * verity.HashSize,
		parts:  map[int64]*leafBlock{},
	}
}

// put takes the hashes that belong at a byte of the leaf level. Each byte may be
// given once. It may be called by several goroutines.
func (w *leafWriter) put(at int64, hashes []byte) error {
	if head := int(min(int64(len(hashes)), -at&(verity.BlockSize-1))); head > 0 {
		if err := w.part(at, hashes[:head]); err != nil {
			return err
		}
		at, hashes = at+int64(head), hashes[head:]
	}
	if whole := len(hashes) / verity.BlockSize * verity.BlockSize; whole > 0 {
		if err := w.write(at, hashes[:whole]); err != nil {
			return err
		}
		at, hashes = at+int64(whole), hashes[whole:]
	}
	if len(hashes) == 0 {
		return nil
	}
	return w.part(at, hashes)
}

// part takes hashes of one block, and writes it when it is complete. Zeros fill
// the last one.
func (w *leafWriter) part(at int64, hashes []byte) error {
	n := at / verity.BlockSize
	w.mu.Lock()
	block := w.parts[n]
	if block == nil {
		block = &leafBlock{}
		w.parts[n] = block
	}
	copy(block.content[at%verity.BlockSize:], hashes)
	block.have += int64(len(hashes))
	complete := block.have == min(verity.BlockSize, w.size-n*verity.BlockSize)
	if complete {
		delete(w.parts, n)
	}
	w.mu.Unlock()
	if !complete {
		return nil
	}
	return w.write(n*verity.BlockSize, block.content[:])
}

func (w *leafWriter) write(at int64, blocks []byte) error {
	if _, err := w.tree.WriteAt(blocks, w.offset+at); err != nil {
		return fmt.Errorf("writing %d bytes of the hash tree at %d: %w", len(blocks), w.offset+at, err)
	}
	w.tree.Push(w.offset+at, int64(len(blocks)))
	return nil
}
