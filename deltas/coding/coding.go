// Package coding is the payload of a delta that is made of copies with
// corrections. One walk through it serves both sides: Write and Read. It is
// described in docs/reference/delta.md.
package coding

import (
	"context"
	"errors"
)

// Coder writes and reads payloads, one after the other, keeping its memory.
type Coder struct {
	script   Script
	scripts  scripts
	moves    moves
	words    words
	literals literals
}

// between is how many literals are coded from one look at whether to go on to the next.
const between = 1 << 16

// Write returns the payload that makes want out of the reference by a script that
// tiles both.
func (k *Coder) Write(ctx context.Context, s Script, reference, want []byte) ([]byte, error) {
	c := newWriter()
	if err := k.code(ctx, c, &s, reference, make([]byte, len(want)), want); err != nil {
		return nil, err
	}
	return c.finish(), nil
}

// Read fills out from a reference and a payload.
func (k *Coder) Read(out, reference, payload []byte) error {
	c := newReader(payload)
	if err := k.code(context.Background(), &c, &k.script, reference, out, nil); err != nil {
		return err
	}
	if !c.whole() {
		return errors.New("payload does not end where the output does")
	}
	return nil
}

func (k *Coder) code(ctx context.Context, c *coder, s *Script, reference, out, want []byte) error {
	k.scripts.reset()
	k.words.reset()
	if err := k.scripts.code(c, s, len(reference), len(out)); err != nil {
		return err
	}
	k.moves.reset(s)
	literals := 0
	for _, o := range s.Ops {
		literals += o.Literal
	}
	k.literals.reset(literals)
	at, next, left := 0, 0, between
	for _, o := range s.Ops {
		k.literals.echo.length = 0
		for end := at + o.Literal; at < end; at++ {
			if c.over() {
				return errors.New("payload ends early")
			}
			if left--; left == 0 {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				left = between
			}
			hint, b := byte(0), byte(0)
			if next < len(reference) {
				hint = reference[next]
				next++
			}
			if c.writing {
				b = want[at]
			}
			out[at] = k.literals.code(c, out[:at], hint, b)
		}
		if o.Size > 0 {
			k.copy(c, o, reference, out, want, at)
			at, next = at+o.Size, o.Source+o.Size
		}
	}
	return nil
}

// copy makes the copy of an operation at a position, and corrects it.
func (k *Coder) copy(c *coder, o Op, reference, out, want []byte, at int) {
	made := out[at : at+o.Size]
	n := 0
	if o.Source < len(reference) {
		n = copy(made, reference[o.Source:])
	}
	if n < o.Size {
		copy(made[n:], out[o.Source+n-len(reference):at])
	}
	pair := k.moves.of(at)
	from := o.Source - pair.old.From
	site := site{pair: pair, moved: int32(at - pair.new.From - from), shift: o.Source - pair.old.From - at}
	if o.Branches {
		rebase(made, from, site.moved, pair.by)
	}
	k.words.code(c, out, want, at, at+o.Size, &site)
}
