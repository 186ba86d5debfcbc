package coding

import (
	"errors"
	"fmt"
)

// Script says how an output comes out of a reference.
type Script struct {
	Pairs []Sizes // tile the reference and the output, in order
	Ops   []Op    // tile the output, in order
}

// Sizes are those of an old file, or a piece of one, and its new self.
type Sizes struct{ Old, New int }

// Op is some bytes of their own, and a copy that is then corrected.
type Op struct {
	Literal  int
	Size     int  // of the copy; 0 only in the last
	Source   int  // of the copy: in the reference, or behind it in the output before this copy
	Branches bool // the copy has x86-64 code, of which operands move with the ops
}

// Bounds of a script.
const (
	pairsMost = 1 << 12
	perOp     = 32 // bytes of output, at least, on average
)

func opsMost(out int) int { return out/perOp + 64 }

// Fits tells whether a script for an output of that size is within the bounds.
func (s *Script) Fits(out int) bool {
	return len(s.Pairs) <= pairsMost && len(s.Ops) <= opsMost(out)
}

// scripts codes scripts.
type scripts struct {
	count, old, new     number
	literal, size, jump number
	branches            [2]chance
}

func (k *scripts) reset() {
	for _, n := range []*number{&k.count, &k.old, &k.new, &k.literal, &k.size, &k.jump} {
		n.reset()
	}
	even(k.branches[:])
}

// code codes a script for an output and a reference of these sizes. What it
// returns is within them.
func (k *scripts) code(c *coder, s *Script, reference, out int) error {
	pairs, err := k.total(c, len(s.Pairs), pairsMost)
	if err != nil {
		return fmt.Errorf("pairs: %w", err)
	}
	ops, err := k.total(c, len(s.Ops), opsMost(out))
	if err != nil {
		return fmt.Errorf("operations: %w", err)
	}
	if !c.writing {
		s.Pairs, s.Ops = append(s.Pairs[:0], make([]Sizes, pairs)...), append(s.Ops[:0], make([]Op, ops)...)
	}
	if err := k.pairs(c, s.Pairs, reference, out); err != nil {
		return err
	}
	return k.ops(c, s.Ops, reference, out)
}

func (k *scripts) total(c *coder, n, most int) (int, error) {
	n = int(k.count.code(c, uint32(n)))
	if n > most {
		return 0, fmt.Errorf("%d: at most %d", n, most)
	}
	return n, nil
}

func (k *scripts) pairs(c *coder, pairs []Sizes, reference, out int) error {
	for i := range pairs {
		p := &pairs[i]
		p.New = int(k.new.code(c, uint32(p.New)))
		p.Old = int(k.old.signed(c, int32(p.Old-p.New))) + p.New
		if p.New > out || p.Old < 0 || p.Old > reference || c.over() {
			return fmt.Errorf("pair %d: outside what there is", i)
		}
		reference, out = reference-p.Old, out-p.New
	}
	if reference != 0 || out != 0 {
		return errors.New("pairs: do not tile the reference and the output")
	}
	return nil
}

func (k *scripts) ops(c *coder, ops []Op, reference, out int) error {
	made, next, branches := 0, 0, 0
	for i := range ops {
		o := &ops[i]
		o.Literal = int(k.literal.code(c, uint32(o.Literal)))
		o.Size = int(k.size.code(c, uint32(o.Size)))
		if o.Literal > out-made || o.Size > out-made-o.Literal || c.over() {
			return fmt.Errorf("operation %d: behind the end of the output", i)
		}
		made += o.Literal
		if o.Size > 0 {
			o.Source = int(k.jump.signed(c, int32(o.Source-next))) + next
			if o.Source < 0 || o.Source > reference+made-o.Size {
				return fmt.Errorf("operation %d: copies from outside of what there is", i)
			}
			branches = c.bit(&k.branches[branches], b2i(o.Branches))
			o.Branches = branches != 0
		} else if i != len(ops)-1 {
			return fmt.Errorf("operation %d: copies nothing", i)
		}
		made += o.Size
		next = o.Source + o.Size
	}
	if made != out {
		return errors.New("operations: do not tile the output")
	}
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
