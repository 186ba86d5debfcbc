package deltas

import (
	"cmp"
	"slices"

	"github.com/proa-os/proa/manifests"
)

const (
	pageBlocks = 8 // what is taken of the old image around a string found there
	pageMarks  = 3 // strings that a page must have in common before it is taken
)

// span is n blocks of the old image, from block at on.
type span struct{ at, n int }

// references chooses what of the old image each piece of j, whose new content is
// data, is patched from; the last of the result, where there is one more, is for all of them: what they
// have in common with other places.
func (s *sketch) references(j job, data []byte, runs []run) [][]span {
	all := make([][]span, 0, len(j.pieces)+1)
	total, plain := 0, false
	for _, p := range j.pieces {
		spans := s.of(p, data[(p.at-j.at)*manifests.BlockSize:][:p.n*manifests.BlockSize], runs)
		for _, x := range spans {
			total += x.n
		}
		all = append(all, spans)
		plain = plain || !p.area.compressed()
	}
	if !plain {
		return all // its strings say nothing
	}
	return append(all, s.elsewhere(data, slices.Concat(all...), referenceMost-total))
}

// of is what p is patched from in its old self: all of it, or where the same
// strings are.
func (s *sketch) of(p piece, data []byte, runs []run) []span {
	budget := p.references()
	if p.old.n <= budget {
		if p.old.n == 0 {
			return nil
		}
		return []span{{p.old.at, p.old.n}}
	}
	votes := make([]int, (p.old.n-1)/pageBlocks+1)
	vote := func(block, n int) {
		if block >= p.old.at && block < p.old.at+p.old.n {
			votes[(block-p.old.at)/pageBlocks] += n
		}
	}
	marksIn(data, s.rare, func(hash uint32, _ int) {
		for _, m := range s.find(hash) {
			vote(int(m.block), 1)
		}
	})
	const sure = 1 << 10
	for _, r := range near(runs, p) {
		vote(r.from-1, sure)
		for b := range min(r.n, outputMost) {
			vote(r.from+b, sure)
		}
		vote(r.from+r.n, sure)
	}
	return pagesOf(p, votes, budget)
}

// near is the runs inside of p and those that it touches.
func near(runs []run, p piece) []run {
	first, _ := slices.BinarySearchFunc(runs, p.at, func(r run, at int) int { return cmp.Compare(r.at+r.n, at) })
	end := first
	for end < len(runs) && runs[end].at <= p.at+p.n {
		end++
	}
	return runs[first:end]
}

// pagesOf is the pages of p's old self with the most votes, and their neighbours.
// Without any votes it is those in the same part of it.
func pagesOf(p piece, votes []int, budget int) []span {
	at := func(i int) int {
		if i < 0 || i >= len(votes) {
			return 0
		}
		return votes[i]
	}
	score := make([]int, len(votes))
	order := make([]int, len(votes))
	centre := (p.at - p.area.at + p.n/2) * len(votes) / p.area.n
	for i := range votes {
		order[i] = i
		score[i] = 4*at(i) + at(i-1) + at(i+1)
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(distance(a, centre), distance(b, centre)), cmp.Compare(a, b))
	})
	chosen := order[:min(len(order), budget/pageBlocks)]
	slices.Sort(chosen)
	var spans []span
	for _, i := range chosen {
		x := span{p.old.at + i*pageBlocks, min(pageBlocks, p.old.n-i*pageBlocks)}
		spans = join(spans, x)
	}
	return spans
}

// join appends x, to the last span when it goes on there.
func join(spans []span, x span) []span {
	if n := len(spans); n > 0 && spans[n-1].at+spans[n-1].n == x.at {
		spans[n-1].n += x.n
		return spans
	}
	return append(spans, x)
}

// elsewhere is pages of the old image that have strings of data which none of
// taken has: the page with the most first, until another one would say
// little new.
func (s *sketch) elsewhere(data []byte, taken []span, budget int) []span {
	slices.SortFunc(taken, func(a, b span) int { return cmp.Compare(a.at, b.at) })
	within := func(block int) bool {
		i, found := slices.BinarySearchFunc(taken, block, func(x span, b int) int { return cmp.Compare(x.at, b) })
		return found || i > 0 && block < taken[i-1].at+taken[i-1].n
	}
	pages := map[int][]int{} // the strings of each page
	seen := map[uint32]bool{}
	count := 0
	marksIn(data, s.rare, func(hash uint32, _ int) {
		if seen[hash] {
			return
		}
		seen[hash] = true
		found := s.find(hash)
		for _, m := range found {
			if within(int(m.block)) {
				return
			}
		}
		for _, m := range found {
			page := int(m.block) / pageBlocks
			if all := pages[page]; len(all) == 0 || all[len(all)-1] != count {
				pages[page] = append(all, count)
			}
		}
		count++
	})
	return cover(pages, make([]bool, count), budget, s.blocks)
}

func cover(pages map[int][]int, covered []bool, budget, blocks int) []span {
	var chosen []int
	for ; budget >= pageBlocks; budget -= pageBlocks {
		best, most := 0, pageMarks-1
		for page, strings := range pages {
			n := 0
			for _, i := range strings {
				if !covered[i] {
					n++
				}
			}
			if n < pageMarks {
				delete(pages, page) // it only gets less
			} else if n > most || n == most && page < best {
				best, most = page, n
			}
		}
		if most < pageMarks {
			break
		}
		for _, i := range pages[best] {
			covered[i] = true
		}
		delete(pages, best)
		chosen = append(chosen, best)
	}
	slices.Sort(chosen)
	var spans []span
	for _, page := range chosen {
		spans = join(spans, span{page * pageBlocks, min(pageBlocks, blocks-page*pageBlocks)})
	}
	return spans
}
