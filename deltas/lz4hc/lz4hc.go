// Package lz4hc compresses blocks as "lz4 -9" of LZ4 1.9 does, bit for bit, which is
// what kernel images are made with, and decompresses any block. It makes the same
// choices as the hash chain parser of LZ4's lz4hc.c; the format is in LZ4's
// doc/lz4_Block_format.md.
package lz4hc

import (
	"encoding/binary"
	"math/bits"
)

const (
	minMatch     = 4
	distanceMost = 1<<16 - 1
	searchMargin = 12 // the last match begins this far from the end, or farther
	lastLiterals = 5
	shortest     = 13 // a block that may have a match
	attempts     = 256
	optimal      = 14 + minMatch // the longest match whose length fits into the token
	hashBits     = 15
	never        = -1 << 16
)

// match is bytes from start on that are also at from.
type match struct{ start, from, len int }

func (m match) end() int { return m.start + m.len }

// cut takes n bytes off its start.
func (m *match) cut(n int) {
	m.start, m.from, m.len = m.start+n, m.from+n, m.len-n
}

type encoder struct {
	data   []byte
	out    []byte
	anchor int // what is before it is written
	limit  int // the last place where a match may begin

	head  [1 << hashBits]int32
	chain [1 << 16]uint16 // from a place to the one before it with the same hash
	known int             // places before it are in head and chain
}

// Compress appends the block of data to dst.
func Compress(dst, data []byte) []byte {
	e := &encoder{data: data, out: dst, limit: len(data) - searchMargin}
	for i := range e.head {
		e.head[i] = never
	}
	if len(data) >= shortest {
		for at := 0; at <= e.limit; {
			m, found := e.longest(at, at, minMatch-1)
			if !found {
				at++
				continue
			}
			e.parse(m)
			at = e.anchor
		}
	}
	e.lengths(len(data)-e.anchor, 0)
	e.out = append(e.out, data[e.anchor:]...)
	return e.out
}

// parse writes m, or what is better: it looks for a longer match at the end of m, and
// for a third at the end of that, before it decides how the first two share the
// bytes that both have.
func (e *encoder) parse(m match) {
	first := m
second:
	for {
		n, found := e.after(m, m.start, 2)
		if !found {
			e.write(m)
			return
		}
		if first.start < m.start && n.start < m.start+first.len {
			m = first
		}
		if n.start-m.start < 3 {
			m = n
			continue
		}
		for {
			share(m, &n)
			o, found := e.after(n, n.start, 3)
			switch {
			case !found:
				m.len = min(m.len, n.start-m.start)
				e.write(m)
				e.write(n)
				return
			case o.start < m.end()+3 && o.start < m.end(): // no room for n
				n = o
			case o.start < m.end()+3:
				if n.start < m.end() {
					if n.cut(m.end() - n.start); n.len < minMatch {
						n = o
					}
				}
				e.write(m)
				m, first = o, n
				continue second
			default:
				if n.start < m.end() {
					if n.start-m.start < optimal {
						m.len = share(m, &n)
					} else {
						m.len = n.start - m.start
					}
				}
				e.write(m)
				m, n = n, o
			}
		}
	}
}

// share moves the start of n back to where m, were it at most optimal bytes long,
// would end, and returns the length that m then has.
func share(m match, n *match) int {
	if n.start-m.start >= optimal {
		return m.len
	}
	most := min(m.len, optimal, n.end()-minMatch-m.start)
	if more := most - (n.start - m.start); more > 0 {
		n.cut(more)
	}
	return most
}

// after looks for a match that is longer than m, at back bytes before the end of m,
// and which may begin as early as low.
func (e *encoder) after(m match, low, back int) (match, bool) {
	if m.end() > e.limit {
		return match{}, false
	}
	return e.longest(m.end()-back, low, m.len)
}

// longest looks for a match of more than longest bytes that has place at in it and
// begins at low or later.
func (e *encoder) longest(at, low, longest int) (best match, found bool) {
	data, end := e.data, len(e.data)-lastLiterals
	e.learn(at)
	lowest, back := max(at-distanceMost, 0), at-low
	word := binary.LittleEndian.Uint32(data[at:])
	repeats := -1 // of the byte at at, when all of word is that byte
	from := int(e.head[hash(word)])
	for tries := attempts; from >= lowest && tries > 0; tries-- {
		if last := low + longest - 1; data[last] == data[from-back+longest-1] && data[last+1] == data[from-back+longest] &&
			binary.LittleEndian.Uint32(data[from:]) == word {
			before := 0
			for before < min(back, from) && data[at-before-1] == data[from-before-1] {
				before++
			}
			n := before + minMatch + e.same(at+minMatch, from+minMatch, end)
			if n > longest {
				longest, found = n, true
				best = match{at - before, from - before, n}
			}
		}
		step := int(e.chain[from&0xffff])
		if step == 1 && word == uint32(byte(word))*0x01010101 && from-1 >= lowest && binary.LittleEndian.Uint32(data[from-1:]) == word {
			// A run of one byte has as many places as bytes: go to where it
			// may matter.
			if repeats < 0 {
				repeats = e.run(at, byte(word), end)
			}
			ahead := e.run(from-1, byte(word), end)
			behind := 0
			for from-1-behind > lowest && data[from-2-behind] == byte(word) {
				behind++
			}
			if behind+ahead >= repeats && ahead <= repeats {
				from += ahead - repeats - 1
				continue
			}
			from -= 1 + behind
			if back == 0 {
				if n := min(behind+ahead, repeats); n > longest {
					longest, found = n, true
					best = match{at, from, n}
				}
				from -= int(e.chain[from&0xffff])
			}
			continue
		}
		from -= step
	}
	return best, found
}

// learn makes the places before at known.
func (e *encoder) learn(at int) {
	for ; e.known < at; e.known++ {
		h := hash(binary.LittleEndian.Uint32(e.data[e.known:]))
		e.chain[e.known&0xffff] = uint16(min(e.known-int(e.head[h]), distanceMost))
		e.head[h] = int32(e.known)
	}
}

func hash(word uint32) uint32 { return word * 2654435761 >> (32 - hashBits) }

// same counts bytes that are the same from a and from b on, a before end.
func (e *encoder) same(a, b, end int) int {
	x, y := e.data[a:max(a, end)], e.data[b:]
	n := 0
	for ; n+8 <= len(x); n += 8 {
		if d := binary.LittleEndian.Uint64(x[n:]) ^ binary.LittleEndian.Uint64(y[n:]); d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
	}
	for n < len(x) && x[n] == y[n] {
		n++
	}
	return n
}

// run counts bytes that are c, from at to end.
func (e *encoder) run(at int, c byte, end int) int {
	x := e.data[at:max(at, end)]
	n := 0
	for ; n+8 <= len(x); n += 8 {
		if d := binary.LittleEndian.Uint64(x[n:]) ^ uint64(c)*0x0101010101010101; d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
	}
	for n < len(x) && x[n] == c {
		n++
	}
	return n
}

// write writes a match and the literals before it.
func (e *encoder) write(m match) {
	e.lengths(m.start-e.anchor, m.len-minMatch)
	e.out = append(e.out, e.data[e.anchor:m.start]...)
	e.out = binary.LittleEndian.AppendUint16(e.out, uint16(m.start-m.from))
	if more := m.len - minMatch - 15; more >= 0 {
		e.out = appendLength(e.out, more)
	}
	e.anchor = m.end()
}

// lengths writes a token and what does not fit into it of the number of literals.
func (e *encoder) lengths(literals, length int) {
	e.out = append(e.out, byte(min(literals, 15)<<4|min(length, 15)))
	if literals >= 15 {
		e.out = appendLength(e.out, literals-15)
	}
}

func appendLength(to []byte, n int) []byte {
	for ; n >= 255; n -= 255 {
		to = append(to, 255)
	}
	return append(to, byte(n))
}
