package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

const block = 4096 // bytes of a data block and of a hash block

// root is what a kernel's command line demands of a slot.
type root struct {
	hash, salt []byte
	blocks     int64
}

// parseCommandLine takes the root from a kernel's command line
// (docs/reference/proa-init.md).
func parseCommandLine(line string) (root, error) {
	var r root
	var err error
	for word := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(word, "=")
		var fault error
		switch key {
		case "proa.roothash":
			r.hash, fault = hex.DecodeString(value)
		case "proa.salt":
			r.salt, fault = hex.DecodeString(value)
		case "proa.blocks":
			r.blocks, fault = strconv.ParseInt(value, 10, 64)
		}
		err = errors.Join(err, fault)
	}
	if err == nil && (len(r.hash) != sha256.Size || len(r.salt) == 0 || r.blocks < 1) {
		err = errors.New("no proa.roothash, proa.salt or proa.blocks")
	}
	return r, err
}

// levels are the numbers of hash blocks, from the one above the data up to the
// single one on top.
func (r root) levels() []int64 {
	var all []int64
	for n := r.blocks; ; {
		n = (n + block/sha256.Size - 1) / (block / sha256.Size)
		if all = append(all, n); n == 1 {
			return all
		}
	}
}

// treeBlocks is how many hash blocks there are, without the super block.
func (r root) treeBlocks() int64 {
	var sum int64
	for _, n := range r.levels() {
		sum += n
	}
	return sum
}

// top reports whether the tree's top block is that of the root hash: how
// proa-init finds its slot.
func (r root) top(tree io.ReaderAt) (bool, error) {
	content := make([]byte, block)
	if _, err := tree.ReadAt(content, block); err != nil { // the super block is before it
		return false, err
	}
	return bytes.Equal(r.digest(content), r.hash), nil
}

func (r root) digest(content []byte) []byte {
	h := sha256.New()
	h.Write(r.salt)
	h.Write(content)
	return h.Sum(nil)
}

// verify reads all data and every hash block, as dm-verity of format 1 would if
// each block was read once (Documentation/admin-guide/device-mapper/verity.rst).
func (r root) verify(data, tree io.ReaderAt) error {
	stored := make([]byte, r.treeBlocks()*block)
	if _, err := tree.ReadAt(stored, block); err != nil {
		return fmt.Errorf("reading its hash tree: %w", err)
	}
	hashes, err := r.leaves(data)
	if err != nil {
		return err
	}
	end := int64(len(stored)) // the lowest level comes last
	for height, n := range r.levels() {
		level := make([]byte, n*block) // with zeros behind the last hash
		copy(level, hashes)
		part := stored[end-n*block : end]
		if at := firstDifference(level, part); at >= 0 {
			return fmt.Errorf("its hash tree differs at level %d, byte %d, which is for block %d", height, at, at/sha256.Size)
		}
		end -= n * block
		hashes = hashes[:0:0]
		for at := int64(0); at < int64(len(level)); at += block {
			hashes = append(hashes, r.digest(level[at:at+block])...)
		}
	}
	if !bytes.Equal(hashes, r.hash) {
		return fmt.Errorf("its root hash is %x, want %x", hashes, r.hash)
	}
	return nil
}

// leaves are the hashes of all data blocks.
func (r root) leaves(data io.ReaderAt) ([]byte, error) {
	out := make([]byte, r.blocks*sha256.Size)
	const piece = 256 // blocks
	var group sync.WaitGroup
	faults := make(chan error, 2)
	for worker := range int64(2) {
		group.Go(func() {
			content := make([]byte, piece*block)
			for first := worker * piece; first < r.blocks; first += 2 * piece {
				n := min(piece, r.blocks-first)
				if _, err := data.ReadAt(content[:n*block], first*block); err != nil {
					faults <- fmt.Errorf("reading block %d: %w", first, err)
					return
				}
				for i := range n {
					copy(out[(first+i)*sha256.Size:], r.digest(content[i*block:(i+1)*block]))
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-faults:
		return nil, err
	default:
		return out, nil
	}
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}
