package coding

import (
	"encoding/binary"
	"math/bits"
)

const (
	stretchBytes = 32 // of a copy: told in one bit when nothing in them changed
	wordBytes    = 4
	past         = 64 // words that are remembered, a power of two
)

// words codes what differs in a copy. What two builds of one source differ in is
// mostly numbers that stand for places: addresses, indexes, offsets. So a change is
// coded as the difference of a 32-bit little-endian number, and guessed from how the
// same number, numbers near it, and numbers in the same column of a table changed.
type words struct {
	stretch [256]chance
	changed [1 << 15]chance
	ragged  [4]chance // changed, at the ragged ends of a copy
	start   [4 * 3 * 4]chance
	hit     [guesses][1 << 12]chance
	other   [4]number

	known   known
	recent  [past]recent
	last    [2]int32
	history uint32 // of stretches
	hits    uint32 // of guesses
	started int
}

// recent is what became of the word of that index.
type recent struct {
	index   int
	changed uint32
	by      int32
}

func (w *words) reset() {
	even(w.stretch[:])
	even(w.changed[:])
	even(w.ragged[:])
	even(w.start[:])
	for i := range w.hit {
		even(w.hit[i][:])
	}
	for i := range w.other {
		w.other[i].reset()
	}
	w.known.reset()
	clear(w.recent[:])
	w.last, w.history, w.hits, w.started = [2]int32{}, 0, 0, 0
}

// code makes out[from:to], which holds a copy, into want[from:to].
func (w *words) code(c *coder, out, want []byte, from, to int, site *site) {
	for at := from; at < to && !c.over(); {
		end := min(to, at&^(stretchBytes-1)+stretchBytes)
		bit := c.bit(&w.stretch[w.history&255], differ(c, out, want, at, end))
		w.history = w.history<<1 | uint32(bit)
		if bit == 0 {
			at = end
			continue
		}
		for at < end {
			at = w.word(c, out, want, at, end, to, site)
		}
	}
}

func differ(c *coder, out, want []byte, from, to int) int {
	if c.writing && string(out[from:to]) != string(want[from:to]) {
		return 1
	}
	return 0
}

// word codes the word at a position, or what of it is before end, and returns the
// position behind it. A change may begin at any byte of a word, and then reaches
// into the next.
func (w *words) word(c *coder, out, want []byte, at, end, to int, site *site) int {
	behind := min(end, at&^(wordBytes-1)+wordBytes)
	index := at / wordBytes
	if behind-at < wordBytes {
		if c.bit(&w.ragged[behind-at], differ(c, out, want, at, behind)) == 0 {
			return behind
		}
		return w.change(c, out, want, at, behind, to, index, 0, site)
	}
	value := binary.LittleEndian.Uint32(out[at:])
	status := w.known.status(value)
	context := uint32(status) | uint32(bits.Len32(value)+1)/2<<7
	for i, back := range [...]int{1, 2, 3, 6, 12} {
		context |= w.back(index, back).changed << (2 + i)
	}
	if c.bit(&w.changed[context], differ(c, out, want, at, behind)) == 0 {
		w.recent[index%past] = recent{index: index}
		w.known.stays(value)
		return behind
	}
	return w.change(c, out, want, at, behind, to, index, status, site)
}

// back is what became of an earlier word, if it is remembered.
func (w *words) back(index, by int) recent {
	if r := w.recent[(index-by+past)%past]; r.index == index-by {
		return r
	}
	return recent{}
}

// change codes one changed number, which begins between at and behind.
func (w *words) change(c *coder, out, want []byte, at, behind, to, index, status int, site *site) int {
	start := 0
	if c.writing {
		start = w.begin(out, want, at, to, index, site)
	}
	contexts := w.start[(w.started*3+status)*4:]
	high := c.bit(&contexts[1], start>>1)
	start = high<<1 | c.bit(&contexts[2+high], start&1)
	w.started = start
	at += start
	if at+wordBytes > to {
		for ; at < to; at++ {
			b := 0
			if c.writing {
				b = int(want[at])
			}
			out[at] = byte(w.other[3].code(c, uint32(b)))
		}
		return at
	}
	value := binary.LittleEndian.Uint32(out[at:])
	becomes := uint32(0)
	if c.writing {
		becomes = binary.LittleEndian.Uint32(want[at:])
	}
	becomes = w.number(c, value, becomes, index, at, b2i(start != 0)|b2i(status == 2)<<1, site)
	binary.LittleEndian.PutUint32(out[at:], becomes)
	by := int32(becomes - value)
	w.recent[index%past] = recent{index, 1, by}
	w.known.changes(value, by)
	w.last[0], w.last[1] = by, w.last[0]
	return at + wordBytes
}

// begin chooses where a change begins: at the word, when the whole word is guessed
// well, else at the first byte that differs.
func (w *words) begin(out, want []byte, at, to, index int, site *site) int {
	start := 0
	for out[at+start] == want[at+start] {
		start++
	}
	if start == 0 || at+wordBytes > to {
		return start
	}
	value, becomes := binary.LittleEndian.Uint32(out[at:]), binary.LittleEndian.Uint32(want[at:])
	for i := range guesses {
		if by, _ := w.guess(i, value, index, at, site); value+uint32(by) == becomes {
			return 0
		}
	}
	return start
}

// number codes what a value becomes: which guess is right, or the difference.
func (w *words) number(c *coder, value, becomes uint32, index, at, kind int, site *site) uint32 {
	var tried [guesses]int32
	for i := range guesses {
		by, sure := w.guess(i, value, index, at, site)
		tried[i] = by
		if by == 0 || among(tried[:i], by) {
			continue
		}
		if c.bit(&w.hit[i][uint32(sure)|w.hits&0xff<<2], b2i(becomes-value == uint32(by))) != 0 {
			w.hits = w.hits<<2 | uint32(min(i+1, 3))
			return value + uint32(by)
		}
	}
	w.hits <<= 2
	return value + uint32(w.other[kind&3].signed(c, int32(becomes-value)))
}

func among(tried []int32, by int32) bool {
	for _, t := range tried {
		if t == by {
			return true
		}
	}
	return false
}

const guesses = 9

// guess is the i-th guess of how much a value changes, and how sure it is, 0 to 3.
func (w *words) guess(i int, value uint32, index, at int, site *site) (int32, uint8) {
	switch i {
	case 0:
		return w.known.exact(value)
	case 1:
		return w.back(index, 6).by, 0 // the same column in a table of 24 bytes
	case 2, 3, 4:
		return w.known.near(i-2, value)
	case 5, 6:
		return w.last[i-5], 0
	case 7:
		return site.absolute(value), 0
	default:
		return site.relative(value, at), 0
	}
}
