package coding

import "sort"

// moves says where bytes of the reference went, by a script: what is needed to
// foretell how an address changes between two builds.
type moves struct {
	pairs []placed
	steps []step // by pair, then by from
}

type placed struct {
	old, new Span // in the reference, in the output
	steps    []step
}

// Span is a run of bytes.
type Span struct{ From, To int }

// step is a copy within one pair, relative to the old and the new file.
type step struct{ from, by int32 }

func (m *moves) reset(s *Script) {
	m.pairs, m.steps = m.pairs[:0], m.steps[:0]
	old, new := 0, 0
	for _, p := range s.Pairs {
		m.pairs = append(m.pairs, placed{old: Span{old, old + p.Old}, new: Span{new, new + p.New}})
		old, new = old+p.Old, new+p.New
	}
	at, pair := 0, 0
	first := 0
	for _, o := range s.Ops {
		at += o.Literal
		for pair < len(m.pairs) && at >= m.pairs[pair].new.To {
			m.close(pair, first)
			first = len(m.steps)
			pair++
		}
		if o.Size > 0 && pair < len(m.pairs) {
			if p := m.pairs[pair]; o.Source >= p.old.From && o.Source < p.old.To {
				from := o.Source - p.old.From
				m.steps = append(m.steps, step{int32(from), int32(at - p.new.From - from)})
			}
		}
		at += o.Size
	}
	for ; pair < len(m.pairs); pair++ {
		m.close(pair, first)
		first = len(m.steps)
	}
}

func (m *moves) close(pair, first int) {
	steps := m.steps[first:len(m.steps):len(m.steps)]
	sort.SliceStable(steps, func(i, j int) bool { return steps[i].from < steps[j].from })
	m.pairs[pair].steps = steps
}

// of is the pair that position at of the output is in.
func (m *moves) of(at int) *placed {
	i := sort.Search(len(m.pairs), func(i int) bool { return m.pairs[i].new.To > at })
	if i == len(m.pairs) {
		return &placed{}
	}
	return &m.pairs[i]
}

// by is how far what was at an offset of the old file moved: as the last copy
// that starts there or before; false outside of the file.
func (p *placed) by(offset int) (int32, bool) {
	if offset < 0 || offset >= p.old.To-p.old.From {
		return 0, false
	}
	low, high := 0, len(p.steps)
	for low < high {
		if middle := (low + high) / 2; int(p.steps[middle].from) <= offset {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return 0, false
	}
	return p.steps[low-1].by, true
}
