// Package gnugzip compresses as GNU gzip does, bit for bit: the same matches,
// blocks and codes. A file that "gzip -9n" made is thus made again from what it
// decompresses to. It does what deflate.c and trees.c of gzip 1.3 to 1.13 do.
package gnugzip

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// LevelLeast and LevelMost bound the levels that Deflate knows: those that look
// for a better match at the next byte.
const (
	LevelLeast = 4
	LevelMost  = 9
)

// Deflate appends to dst the deflate stream (RFC 1951) that gzip makes of data.
func Deflate(dst, data []byte, level int) ([]byte, error) {
	if level < LevelLeast || level > LevelMost {
		return nil, errors.New("gzip level: want 4 to 9")
	}
	e := newEncoder(dst, data, level)
	e.deflate()
	return e.out, nil
}

const (
	minMatch     = 3
	maxMatch     = 258
	windowSize   = 1 << 15
	windowMask   = windowSize - 1
	hashMask     = 1<<15 - 1
	hashShift    = 5
	minLookahead = maxMatch + minMatch + 1
	maxDistance  = windowSize - minLookahead
	tooFar       = 4096 // a match of three bytes from farther away does not pay
)

// tuning is how hard a level looks for matches.
type tuning struct{ good, lazy, nice, chain int }

var tunings = [...]tuning{
	4: {4, 4, 16, 16},
	5: {8, 16, 32, 32},
	6: {8, 16, 128, 128},
	7: {8, 32, 128, 256},
	8: {32, 128, 258, 1024},
	9: {32, 258, 258, 4096},
}

// encoder looks for matches. Its window is twice the size of the farthest match,
// and slides by half: where it begins, and what lies behind the end of data,
// decide between matches that are equally good.
type encoder struct {
	tuning
	blocks
	rest []byte // of data, not yet in the window

	window     [2*windowSize + minLookahead]byte
	head       [1 << 15]uint16
	prev       [windowSize]uint16
	hash       uint32
	start      int // of the string to look at
	ahead      int // bytes of window from start on
	matchAt    int
	matchLen   int
	blockStart int // negative when it has slid out
	done       bool
}

func newEncoder(dst, data []byte, level int) *encoder {
	e := &encoder{tuning: tunings[level], rest: data}
	e.blocks.init(dst)
	e.ahead = e.read(e.window[:2*windowSize])
	for e.ahead < minLookahead && !e.done {
		e.fill()
	}
	for _, c := range e.window[:minMatch-1] {
		e.roll(c)
	}
	return e
}

func (e *encoder) read(into []byte) int {
	n := copy(into, e.rest)
	e.rest = e.rest[n:]
	if n == 0 {
		e.done = true
	}
	return n
}

// fill slides the window when little is left of it, and reads.
func (e *encoder) fill() {
	more := 2*windowSize - e.ahead - e.start
	if e.start >= windowSize+maxDistance {
		copy(e.window[:windowSize], e.window[windowSize:2*windowSize])
		e.matchAt -= windowSize
		e.start -= windowSize
		e.blockStart -= windowSize
		for i, p := range e.head {
			e.head[i] = slid(p)
		}
		for i, p := range e.prev {
			e.prev[i] = slid(p)
		}
		more += windowSize
	}
	if !e.done {
		at := e.start + e.ahead
		n := e.read(e.window[at : at+more])
		if n == 0 {
			clear(e.window[at : at+minMatch-1])
		}
		e.ahead += n
	}
}

func slid(p uint16) uint16 {
	if p >= windowSize {
		return p - windowSize
	}
	return 0
}

func (e *encoder) roll(c byte) { e.hash = (e.hash<<hashShift ^ uint32(c)) & hashMask }

// insert makes the string at start known and returns where there was one with the same
// hash, or 0.
func (e *encoder) insert() int {
	e.roll(e.window[e.start+minMatch-1])
	head := e.head[e.hash]
	e.prev[e.start&windowMask] = head
	e.head[e.hash] = uint16(e.start)
	return int(head)
}

func (e *encoder) deflate() {
	e.matchLen = minMatch - 1
	available := false // the byte before start waits for whether start has a better match
	for e.ahead != 0 {
		head := e.insert()
		lastLen, lastAt := e.matchLen, e.matchAt
		e.matchLen = minMatch - 1
		if head != 0 && lastLen < e.lazy && e.start-head <= maxDistance && e.start <= 2*windowSize-minLookahead {
			e.matchLen = min(e.longest(head, lastLen), e.ahead)
			if e.matchLen == minMatch && e.start-e.matchAt > tooFar {
				e.matchLen--
			}
		}
		switch {
		case lastLen >= minMatch && e.matchLen <= lastLen:
			full := e.match(e.start-1-lastAt, lastLen, e.start-e.blockStart)
			e.ahead -= lastLen - 1
			for range lastLen - 2 {
				e.start++
				e.insert()
			}
			available = false
			e.matchLen = minMatch - 1
			e.start++
			if full {
				e.end(false)
			}
		case available:
			if e.literal(e.window[e.start-1], e.start-e.blockStart) {
				e.end(false)
			}
			e.start++
			e.ahead--
		default:
			available = true
			e.start++
			e.ahead--
		}
		for e.ahead < minLookahead && !e.done {
			e.fill()
		}
	}
	if available {
		e.literal(e.window[e.start-1], e.start-e.blockStart)
	}
	e.end(true)
}

// end writes the block that ends before start.
func (e *encoder) end(last bool) {
	var stored []byte
	if e.blockStart >= 0 {
		stored = e.window[e.blockStart:e.start]
	}
	e.write(stored, e.start-e.blockStart, last)
	e.blockStart = e.start
}

// longest looks for a match for the string at start that is longer than best, from
// the one at at on.
func (e *encoder) longest(at, best int) int {
	chain, w, start := e.chain, &e.window, e.start
	if best >= e.good {
		chain >>= 2
	}
	limit := max(start-maxDistance, 0)
	for {
		if w[at+best] == w[start+best] && w[at+best-1] == w[start+best-1] && w[at] == w[start] && w[at+1] == w[start+1] {
			if n := e.same(at, start); n > best {
				e.matchAt, best = at, n
				if n >= e.nice {
					break
				}
			}
		}
		at = int(e.prev[at&windowMask])
		if chain--; at <= limit || chain == 0 {
			break
		}
	}
	return best
}

// same counts the bytes that are the same from a and from b on, at most maxMatch.
func (e *encoder) same(a, b int) int {
	x, y := e.window[a:][:maxMatch], e.window[b:][:maxMatch]
	n := 0
	for ; n+8 <= maxMatch; n += 8 {
		if d := binary.LittleEndian.Uint64(x[n:]) ^ binary.LittleEndian.Uint64(y[n:]); d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
	}
	for n < maxMatch && x[n] == y[n] {
		n++
	}
	return n
}
