package deltas

import (
	"bytes"
	"slices"
	"sort"

	"github.com/proa-os/proa/partitions/verity"
)

// run is n blocks of the new image, from block at on, that are the old image's
// from block from on.
type run struct{ at, from, n int }

// candidatesMost bounds how many places of a block are tried: a block of zeros
// may have thousands.
const candidatesMost = 32

// leafHashes is verity.HashSize bytes for each block of an image.
type leafHashes []byte

func (l leafHashes) blocks() int         { return len(l) / verity.HashSize }
func (l leafHashes) at(block int) []byte { return l[block*verity.HashSize:][:verity.HashSize] }

// unchanged is all blocks of the new image that the old one has, in order. Where it
// has one several times, the longest run counts, then the one nearest to where the
// last run would go on.
func unchanged(old, new leafHashes) []run {
	sorted := make([]uint32, old.blocks())
	for i := range sorted {
		sorted[i] = uint32(i)
	}
	slices.SortFunc(sorted, func(a, b uint32) int {
		if c := bytes.Compare(old.at(int(a)), old.at(int(b))); c != 0 {
			return c
		}
		return int(a) - int(b)
	})
	var runs []run
	shift := 0
	for at := 0; at < new.blocks(); {
		best := run{at: at}
		for _, from := range places(old, sorted, new.at(at), at+shift) {
			if n := sameBlocks(old, new, from, at); n > best.n || n == best.n && distance(from, at+shift) < distance(best.from, at+shift) {
				best.from, best.n = from, n
			}
		}
		if best.n == 0 {
			at++
			continue
		}
		runs = append(runs, best)
		at += best.n
		shift = best.from - best.at
	}
	return runs
}

// places is where the old image has a block, at most candidatesMost of them, those
// around near.
func places(old leafHashes, sorted []uint32, hash []byte, near int) []int {
	first := sort.Search(len(sorted), func(i int) bool { return bytes.Compare(old.at(int(sorted[i])), hash) >= 0 })
	equal := sorted[first:]
	equal = equal[:sort.Search(len(equal), func(i int) bool { return bytes.Compare(old.at(int(equal[i])), hash) > 0 })]
	if len(equal) > candidatesMost {
		i := sort.Search(len(equal), func(i int) bool { return int(equal[i]) >= near })
		i = min(max(i-candidatesMost/2, 0), len(equal)-candidatesMost)
		equal = equal[i : i+candidatesMost]
	}
	all := make([]int, len(equal))
	for i, block := range equal {
		all[i] = int(block)
	}
	return all
}

func sameBlocks(old, new leafHashes, from, at int) int {
	n := 0
	for from+n < old.blocks() && at+n < new.blocks() && bytes.Equal(old.at(from+n), new.at(at+n)) {
		n++
	}
	return n
}

func distance(a, b int) int { return max(a-b, b-a) }
