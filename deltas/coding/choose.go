package coding

// Choose sets Branches of the operations of a script where that leaves less to
// correct.
func (k *Coder) Choose(s *Script, reference, want []byte) {
	k.moves.reset(s)
	var plain, rebased []byte
	at := 0
	for i := range s.Ops {
		o := &s.Ops[i]
		at += o.Literal
		if o.Source+o.Size <= len(reference) && o.Size >= 16 {
			plain = reference[o.Source : o.Source+o.Size]
			rebased = append(rebased[:0], plain...)
			pair := k.moves.of(at)
			from := o.Source - pair.old.From
			rebase(rebased, from, int32(at-pair.new.From-from), pair.by)
			o.Branches = misses(rebased, want[at:]) < misses(plain, want[at:])
		}
		at += o.Size
	}
}

// misses counts the bytes of got that are not those of want.
func misses(got, want []byte) int {
	n := 0
	for i, b := range got {
		n += b2i(b != want[i])
	}
	return n
}

// Moves says where the bytes of one old file went.
type Moves struct{ pair placed }

// NewMoves takes the operations that make the new file, and where in the reference
// the old one is.
func NewMoves(ops []Op, at, size int) *Moves {
	n := 0
	for _, o := range ops {
		n += o.Literal + o.Size
	}
	var m moves
	m.reset(&Script{Pairs: []Sizes{{Old: at}, {Old: size, New: n}}, Ops: ops})
	return &Moves{m.pairs[1]}
}

// At is where an offset of the old file is in the new one; false when it went
// nowhere.
func (m *Moves) At(offset int) (int, bool) {
	by, ok := m.pair.by(offset)
	return offset + int(by), ok
}
