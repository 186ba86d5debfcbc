package diff

import (
	"sort"

	"github.com/proa-os/proa/deltas/coding"
)

// operations makes operations for the new file of a pair, whose old one is at a
// place of the reference. A relocatable object, as a kernel module is one, is for
// the most part tables of records that all change a little: those are paired by
// what the records mean.
func operations(in *places, at int, p Pair) []coding.Op {
	old, new := parseObject(p.Old), parseObject(p.New)
	if old == nil || new == nil || !old.relocatable || !new.relocatable {
		return scan(in, p.New, at)
	}
	pieces := new.pieces(old)
	made := make([][]coding.Op, len(pieces))
	var plain []coding.Op
	likely := at
	for i, piece := range pieces {
		if piece.table {
			plain = append(plain, coding.Op{Literal: piece.end - piece.from})
			continue
		}
		if piece.was >= 0 {
			likely = at + old.sections[piece.was].offset - piece.from
		}
		made[i] = scan(in, p.New[piece.from:piece.end], likely+piece.from)
		plain = append(plain, made[i]...)
	}
	move := mover(old, new, coding.NewMoves(plain, at, len(p.Old)))
	for i, piece := range pieces {
		if piece.table {
			made[i] = records(in, at, p, old, new, piece, move)
		}
	}
	var all joined
	for _, ops := range made {
		all.add(ops)
	}
	return all.end()
}

// piece is a section of a new file, or what lies between two.
type piece struct {
	from, end int
	is, was   int // numbers of the section in the new and the old file; -1 for none
	table     bool
}

// pieces tile the file.
func (o *object) pieces(old *object) []piece {
	var order []int
	for i, s := range o.sections {
		if s.end > s.offset {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return o.sections[order[i]].offset < o.sections[order[j]].offset })
	var all []piece
	end := 0
	for _, i := range order {
		s := o.sections[i]
		if s.offset < end {
			continue // one in another
		}
		if s.offset > end {
			all = append(all, piece{from: end, end: s.offset, is: -1, was: -1})
		}
		was := old.find(s.name)
		table := was >= 0 && old.sections[was].kind == s.kind &&
			(s.kind == kindSymbols || s.kind == kindRelocations || s.name == typesName)
		all = append(all, piece{from: s.offset, end: s.end, is: i, was: was, table: table})
		end = s.end
	}
	if end < len(o.file) {
		all = append(all, piece{from: end, end: len(o.file), is: -1, was: -1})
	}
	return all
}

// records makes operations for a table.
func records(in *places, at int, p Pair, old, new *object, t piece, move func(section, offset int) int) []coding.Op {
	var was, is []uint64
	size := 0
	switch new.sections[t.is].kind {
	case kindRelocations:
		size = relocationSize
		stays := func(_, offset int) int { return offset }
		was, is = old.relocationKeys(t.was, move), new.relocationKeys(t.is, stays)
	case kindSymbols:
		size = symbolSize
		was, is = old.symbolKeys(t.was), new.symbolKeys(t.is)
	default:
		size = typeWord
		was, is = typeKeys(old.content(t.was)), typeKeys(new.content(t.is))
	}
	var all joined
	done := t.from
	source := at + old.sections[t.was].offset
	if len(was) > 0 {
		for _, pair := range inOrder(in.ctx, was, is) {
			if pair < 0 {
				all.add([]coding.Op{{Literal: size}})
			} else {
				all.add([]coding.Op{{Source: source + pair*size, Size: size}})
			}
			done += size
		}
	}
	all.add(scan(in, p.New[done:t.end], source+done-t.from))
	return all.end()
}
