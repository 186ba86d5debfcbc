// Package diff makes the payloads that package patch applies. It is for
// publishers.
package diff

import (
	"context"
	"errors"
	"fmt"

	"github.com/proa-os/proa/deltas/coding"
	"github.com/proa-os/proa/deltas/patch"
)

// Pair is what becomes what: a file, or a piece of one, and its old self. Old may
// be empty.
type Pair struct {
	Old, New []byte
	Before   []byte // what is before New, when New is a part of a file that is compressed
}

// Make returns a payload that makes all News, one after the other, out of all
// Olds, one after the other. The same pairs make the same payload. Together they
// are within patch.OutputMost and patch.ReferenceMost, and there is some New. It looks
// at the context between its pieces of work, of which each takes less than a second or two.
func Make(ctx context.Context, pairs []Pair) (patch.Method, []byte, error) {
	var reference, out []byte
	for _, p := range pairs {
		reference = append(reference, p.Old...)
		out = append(out, p.New...)
	}
	switch {
	case len(out) == 0:
		return 0, nil, errors.New("difference without output")
	case len(out) > patch.OutputMost:
		return 0, nil, fmt.Errorf("difference of %d bytes: at most %d", len(out), patch.OutputMost)
	case len(reference) > patch.ReferenceMost:
		return 0, nil, fmt.Errorf("difference with a reference of %d bytes: at most %d", len(reference), patch.ReferenceMost)
	}
	method, payload, err := unpacked(ctx, pairs)
	const cheap = 256 << 10 // to try both, which pays where a file has only moved
	if err != nil || method != 0 && len(out) > cheap {
		return method, payload, err
	}
	other, as, err := plain(ctx, pairs, reference, out)
	if err != nil || method != 0 && len(payload) < len(as) {
		return method, payload, err
	}
	return other, as, nil
}

// What corrected payloads cost a host, as measured, and what they must save for it:
// in the time that it works on them, more than a slow line brings.
const (
	literalSeconds = 1.5e-6    // for a byte that is not copied
	outputSeconds  = 1.0 / 3e7 // for each byte
	slowLine       = 128 << 10 // bytes per second
)

// mustSave is how many bytes a script has to save over what is decoded at once.
func mustSave(s coding.Script, out int) int {
	literals := 0
	for _, o := range s.Ops {
		literals += o.Literal
	}
	return int((float64(literals)*literalSeconds + float64(out)*outputSeconds) * slowLine)
}

// plain is Make for pairs of any size, whose Olds and News are these together.
func plain(ctx context.Context, pairs []Pair, reference, out []byte) (patch.Method, []byte, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, nil, err
	}
	compressed, err := compress(reference, out)
	if err != nil {
		return 0, nil, err
	}
	s := script(ctx, pairs, reference)
	if err := context.Cause(ctx); err != nil {
		return 0, nil, err
	}
	least := mustSave(s, len(out))
	if !s.Fits(len(out)) || len(compressed) <= least {
		return patch.Zstd, compressed, nil
	}
	coder := new(coding.Coder)
	coder.Choose(&s, reference, out)
	corrected, err := coder.Write(ctx, s, reference, out)
	if err != nil {
		return 0, nil, err
	}
	if len(compressed) <= len(corrected)+least {
		return patch.Zstd, compressed, nil
	}
	return patch.Corrected, corrected, nil
}

// script finds a script for pairs.
func script(ctx context.Context, pairs []Pair, reference []byte) coding.Script {
	var s coding.Script
	in := newPlaces(ctx, reference)
	at := 0
	var all joined
	for _, p := range pairs {
		if ctx.Err() != nil {
			break
		}
		s.Pairs = append(s.Pairs, coding.Sizes{Old: len(p.Old), New: len(p.New)})
		all.add(operations(in, at, p))
		at += len(p.Old)
	}
	s.Ops = all.end()
	return s
}

// joined puts operations together that go on where others end.
type joined struct {
	ops     []coding.Op
	literal int
}

func (j *joined) add(ops []coding.Op) {
	for _, o := range ops {
		o.Literal += j.literal
		j.literal = 0
		if n := len(j.ops); n > 0 && o.Literal == 0 && j.ops[n-1].Source+j.ops[n-1].Size == o.Source {
			j.ops[n-1].Size += o.Size
			continue
		}
		if o.Size == 0 {
			j.literal = o.Literal
			continue
		}
		j.ops = append(j.ops, o)
	}
}

func (j *joined) end() []coding.Op {
	if j.literal > 0 {
		j.ops = append(j.ops, coding.Op{Literal: j.literal})
	}
	return j.ops
}
