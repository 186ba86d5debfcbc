package diff

import (
	"bytes"
	"context"

	"github.com/proa-os/proa/deltas/packed"
	"github.com/proa-os/proa/deltas/patch"
)

// unpacked is Make for pairs with compressed streams in their News. The method is 0
// when there are none, or none that can be made again within the bounds.
func unpacked(ctx context.Context, pairs []Pair) (patch.Method, []byte, error) {
	old := side{more: patch.UnpackedReferenceMost}
	new := side{more: patch.UnpackedOutputMost}
	for _, p := range pairs {
		old.more -= len(p.Old)
		new.more -= len(p.New)
	}
	var in []Pair
	for _, p := range pairs {
		if err := context.Cause(ctx); err != nil {
			return 0, nil, err
		}
		var q Pair
		if data, ok := new.take(p.Before, p.New, false); ok {
			q.New = data
			q.Old, _ = old.take(nil, p.Old, true)
		} else {
			q = Pair{Old: old.leave(p.Old), New: data}
		}
		in = append(in, q)
	}
	if len(new.streams) == 0 {
		return 0, nil, nil
	}
	table := packed.Table{Reference: old.streams, Output: new.streams, Unpacked: len(new.all)}
	method, payload, err := plain(ctx, in, old.all, new.all)
	if err != nil {
		return 0, nil, err
	}
	return patch.Unpacked, append(append(table.Append(nil), byte(method)), payload...), nil
}

// side is all Olds or all News, as they are without compressed streams.
type side struct {
	more    int // bytes that unpacking may still add
	streams []packed.Stream
	skip    int // from the last stream to the end
	all     []byte
}

// take adds data, which has the bytes before in front of it, and gives what it is
// unpacked. It is false when nothing can be unpacked.
func (s *side) take(before, data []byte, old bool) ([]byte, bool) {
	x, ok := packed.Find(before, data, old, s.more+len(data))
	if !ok {
		return s.leave(data), false
	}
	all := data
	if x.Lost > 0 {
		all = append(bytes.Clone(before[len(before)-x.Lost:]), data...)
	}
	out, err := packed.Unpack(nil, all, []packed.Stream{x}, s.more+len(data))
	if err != nil {
		return s.leave(data), false
	}
	s.more -= len(out) - len(data)
	tail := len(out) - x.Skip - x.Unpacked
	x.Skip += s.skip
	s.streams = append(s.streams, x)
	s.skip = tail
	s.all = append(s.all, out...)
	return out, true
}

// leave adds data as it is.
func (s *side) leave(data []byte) []byte {
	s.skip += len(data)
	s.all = append(s.all, data...)
	return data
}
