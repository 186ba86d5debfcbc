package erofs

import (
	"cmp"
	"math/bits"
	"slices"
)

// space is a run of places, blocks or slots, to put pieces into.
type space struct {
	start int64 // the first place
	page  int64 // no piece lies in two pages of so many places, if one has room for it; 0: no pages
}

// piece is something that needs places beside each other.
type piece struct {
	size int64 // places, more than 0
	was  int64 // the first place where it was, with room for it; 0 if nowhere
	most int64 // the last place where it may begin
	at   int64 // where it begins: the result
}

// A layout like the previous one may be longer than a new one by a part of it
// and a bit; else the gaps would come to more and more.
const (
	wasteShare = 16
	wasteBit   = 32
)

// fill places all pieces, and gives the end of the last one. Where none was
// anywhere, they follow each other in their order.
func (s space) fill(pieces []*piece) (end int64) {
	anew := s.fresh(pieces)
	if !slices.ContainsFunc(pieces, func(p *piece) bool { return p.was > 0 }) {
		return anew
	}
	if end, ok := s.resemble(pieces, anew+(anew-s.start)/wasteShare+wasteBit); ok {
		return end
	}
	return s.fresh(pieces)
}

func (s space) fresh(pieces []*piece) int64 {
	next := s.start
	for _, p := range pieces {
		next = s.put(p, next)
	}
	return next
}

// put places p at the first place from next on that it may have, and gives its
// end.
func (s space) put(p *piece, next int64) int64 {
	p.at = next
	if !s.allowed(p.at, p.size) {
		p.at += s.page - p.at%s.page
	}
	return p.at + p.size
}

// allowed reports whether a piece may begin there, as far as pages go. One that
// is larger than a page begins with one.
func (s space) allowed(at, size int64) bool {
	if s.page == 0 {
		return true
	}
	return at%s.page == 0 || at%s.page+size <= s.page
}

// resemble leaves pieces where they were, and puts the others into the first
// gap that has room, or behind all. Not ok says that one is where it may not be,
// or ends behind most.
func (s space) resemble(pieces []*piece, most int64) (end int64, ok bool) {
	var kept, others []*piece
	for _, p := range pieces {
		if p.was >= s.start && p.was <= p.most && s.allowed(p.was, p.size) {
			p.at = p.was
			kept = append(kept, p)
		} else {
			others = append(others, p)
		}
	}
	slices.SortFunc(kept, func(a, b *piece) int { return cmp.Compare(a.at, b.at) })
	end = s.start
	var gaps gaps
	for _, p := range kept {
		if p.at < end || p.at > most {
			return 0, false
		}
		gaps.add(end, p.at, s.page)
		end = p.at + p.size
	}
	gaps.index()
	for _, p := range others {
		at, found := int64(0), false
		if s.page == 0 || p.size <= s.page {
			at, found = gaps.take(p.size)
		}
		if p.at = at; !found {
			end = s.put(p, end)
		}
		if p.at > p.most {
			return 0, false
		}
	}
	return end, end <= most
}

// gaps are free places, in order, with a tree over them that finds the first
// one of a size.
type gaps struct {
	list []gap
	tree []int64 // [1] is the root, [n] has the children [2n] and [2n+1]: the most room below
	half int     // where the leaves begin in it
}

type gap struct{ at, end int64 }

// add adds the places from at to end, cut at pages.
func (g *gaps) add(at, end, page int64) {
	for at < end {
		next := end
		if page > 0 {
			next = min(end, at+page-at%page)
		}
		g.list = append(g.list, gap{at, next})
		at = next
	}
}

func (g *gaps) index() {
	g.half = 1 << bits.Len(uint(len(g.list)))
	g.tree = make([]int64, 2*g.half)
	for k, gap := range g.list {
		g.tree[g.half+k] = gap.end - gap.at
	}
	for k := g.half - 1; k > 0; k-- {
		g.tree[k] = max(g.tree[2*k], g.tree[2*k+1])
	}
}

// take takes size places from the start of the first gap that has them.
func (g *gaps) take(size int64) (at int64, found bool) {
	if g.tree[1] < size {
		return 0, false
	}
	k := 1
	for k < g.half {
		k *= 2
		if g.tree[k] < size {
			k++
		}
	}
	gap := &g.list[k-g.half]
	at = gap.at
	gap.at += size
	for g.tree[k] -= size; k > 1; {
		k /= 2
		g.tree[k] = max(g.tree[2*k], g.tree[2*k+1])
	}
	return at, true
}
