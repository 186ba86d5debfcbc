package diff

import (
	"context"
	"encoding/binary"
	"math/bits"
)

const (
	seedBytes  = 8  // a match is found by that many equal bytes
	candidates = 96 // places that are tried for one match
	enough     = 4096
)

// places finds where bytes are in a reference: chains of all places with the same
// hash of the next seedBytes, the last first.
type places struct {
	ctx      context.Context // what is found after its end is of no use
	in       []byte
	head     []int32
	previous []int32
	shift    uint
}

func newPlaces(ctx context.Context, in []byte) *places {
	width := uint(max(10, min(20, bits.Len(uint(len(in))))))
	p := &places{ctx: ctx, in: in, head: make([]int32, 1<<width), previous: make([]int32, len(in)), shift: 64 - width}
	for i := range p.head {
		p.head[i] = -1
	}
	for i := 0; i+seedBytes <= len(in); i++ {
		h := p.hash(in[i:])
		p.previous[i], p.head[h] = p.head[h], int32(i)
	}
	return p
}

func (p *places) hash(b []byte) uint64 {
	return binary.LittleEndian.Uint64(b) * 0x9e3779b185ebca87 >> p.shift
}

// find is the longest match of the start of b, the one nearest to likely of equally
// long ones; the length may be 0.
func (p *places) find(b []byte, likely int) (at, length int) {
	if likely >= 0 && likely < len(p.in) {
		at, length = likely, equal(p.in[likely:], b)
	}
	if len(b) < seedBytes || length > enough {
		return at, length
	}
	nearest := 1 << 40
	if length > 0 {
		nearest = 0
	}
	for c, n := p.head[p.hash(b)], 0; c >= 0 && n < candidates; c, n = p.previous[c], n+1 {
		if length < len(b) && int(c)+length < len(p.in) && p.in[int(c)+length] != b[length] {
			continue
		}
		l := equal(p.in[c:], b)
		away := max(int(c)-likely, likely-int(c))
		if l > length || l == length && away < nearest {
			at, length, nearest = int(c), l, away
		}
	}
	return at, length
}

// equal is how many bytes a and b begin with alike.
func equal(a, b []byte) int {
	n, i := min(len(a), len(b)), 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
