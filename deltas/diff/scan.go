package diff

import "github.com/proa-os/proa/deltas/coding"

const (
	better = 8        // by how many bytes a match must beat going on as before
	reach  = 16 << 10 // how far before a match its copy is tried: farther, what repeats takes for ever
	unseen = 1 << 12  // searches from one look at whether to go on to the next
)

// scan makes operations for out: copies of the reference that are mostly right,
// found in the way of bsdiff (Colin Percival, "Naive differences of executable
// code", 2003). likely is where in the reference out may begin. When the context of
// the places ends, they end early.
func scan(in *places, out []byte, likely int) []coding.Op {
	s := scanner{places: in, out: out, doneSource: likely, offset: likely}
	at, length, source, left := 0, 0, 0, unseen
	for at < len(out) {
		at += length
		same := 0 // of out[at:counted], how many going on as before gets right
		for counted := at; at < len(out); at++ {
			if left--; left == 0 {
				if in.ctx.Err() != nil {
					return s.ops
				}
				left = unseen
			}
			source, length = in.find(out[at:], at+s.offset)
			for ; counted < at+length; counted++ {
				same += s.right(counted)
			}
			if length == same && length != 0 || length > same+better {
				break
			}
			same -= s.right(at)
		}
		if length != same || at == len(out) {
			s.settle(at, source)
		}
	}
	if s.literal > 0 {
		s.ops = append(s.ops, coding.Op{Literal: s.literal})
	}
	return s.ops
}

// scanner holds what is decided: out[:done], of which the last copy could go on at
// doneSource.
type scanner struct {
	*places
	out              []byte
	done, doneSource int
	offset           int // of the last copy: source - position
	literal          int // bytes that no operation has yet
	ops              []coding.Op
}

// right is 1 if going on with the last copy makes the byte at a position.
func (s *scanner) right(at int) int {
	if source := at + s.offset; source >= 0 && source < len(s.in) && s.in[source] == s.out[at] {
		return 1
	}
	return 0
}

// settle decides on what is before a match: the last copy goes on as long as that
// gets more right than wrong, and the match begins as early as that holds.
func (s *scanner) settle(at, source int) {
	forward := s.extend(at)
	backward := 0
	if at < len(s.out) {
		backward = s.retract(at, source)
	}
	if overlap := s.done + forward - (at - backward); overlap > 0 {
		split := s.split(overlap, s.done+forward-overlap, s.doneSource+forward-overlap, source-backward)
		forward += split - overlap
		backward -= split
	}
	if forward > 0 {
		s.ops = append(s.ops, coding.Op{Literal: s.literal, Source: s.doneSource, Size: forward})
		s.literal = 0
	}
	s.literal += at - backward - (s.done + forward)
	s.done, s.doneSource, s.offset = at-backward, source-backward, source-at
}

func (s *scanner) extend(to int) int {
	best, length, score := 0, 0, 0
	if s.doneSource < 0 {
		return 0
	}
	for i := 0; s.done+i < to && s.doneSource+i < len(s.in); {
		if s.in[s.doneSource+i] == s.out[s.done+i] {
			score++
		}
		i++
		if score*2-i > best*2-length {
			best, length = score, i
		}
	}
	return length
}

func (s *scanner) retract(at, source int) int {
	best, length, score := 0, 0, 0
	for i := 1; i <= reach && at >= s.done+i && source >= i; i++ {
		if s.in[source-i] == s.out[at-i] {
			score++
		}
		if score*2-i > best*2-length {
			best, length = score, i
		}
	}
	return length
}

// split is how much of an overlap of two copies the first one takes.
func (s *scanner) split(overlap, at, first, second int) int {
	best, length, score := 0, 0, 0
	for i := range overlap {
		if s.out[at+i] == s.in[first+i] {
			score++
		}
		if s.out[at+i] == s.in[second+i] {
			score--
		}
		if score > best {
			best, length = score, i+1
		}
	}
	return length
}
