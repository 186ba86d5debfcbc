package coding

import "math/bits"

// literals codes bytes of their own. Each bit mixes what followed the same one,
// two, three, four and six bytes, what stands in the reference where the last copy
// ended, and what followed the last time the same six bytes were there.
type literals struct {
	tables [contexts][]line
	memory []line // of the tables
	echo   echo
	mixers [2][17 * 16]mixer // by whether there is an echo
}

// line has the chances of four bits in one context: one more than the bits before
// is the place of each.
type line [16]cell

const (
	contexts = 6 // the last is of the reference
	inputs   = contexts + 1

	fewestLines = 10 // bits
	mostLines   = 14
)

// reset makes it ready for that many bytes in all.
func (l *literals) reset(total int) {
	lines := 1 << min(max(bits.Len(uint(total)), fewestLines), mostLines)
	if len(l.memory) < lines*contexts {
		l.memory = make([]line, lines*contexts)
	}
	for i := range l.tables {
		l.tables[i] = l.memory[i*lines:][:lines]
		for j := range l.tables[i] {
			for n := range l.tables[i][j] {
				l.tables[i][j][n] = evenCell
			}
		}
	}
	for i := range l.mixers {
		for j := range l.mixers[i] {
			l.mixers[i][j].reset()
		}
	}
	l.echo.reset()
}

// code codes the byte after history, where hint is what may stand there.
func (l *literals) code(c *coder, history []byte, hint, b byte) byte {
	last := uint64(0)
	for i := 1; i <= min(6, len(history)); i++ {
		last |= uint64(history[len(history)-i]) << (8 * (i - 1))
	}
	hashes := [contexts]uint32{
		mash(last&0xff, 1), mash(last&0xffff, 2), mash(last&0xffffff, 3), mash(last&0xffffffff, 4), mash(last, 6),
		mash(uint64(hint)|last&0xff<<8, 0),
	}
	expected, length := l.echo.expect(history)
	high := l.half(c, &hashes, 0, uint32(b>>4), uint32(expected>>4), length)
	for i := range hashes {
		hashes[i] = (hashes[i] + high + 1) * 0x2545f491
	}
	if high != uint32(expected>>4) {
		length = 0
	}
	b = byte(high<<4 | l.half(c, &hashes, high+1, uint32(b&15), uint32(expected&15), length))
	l.echo.heard(history, last, b)
	return b
}

func mash(last, order uint64) uint32 {
	return uint32((last + order<<56) * 0x9e3779b185ebca87 >> 32)
}

// half codes four bits, at a place that is 0 or the first four and one.
func (l *literals) half(c *coder, hashes *[contexts]uint32, place, b, expected uint32, length int) uint32 {
	var lines [contexts]*line
	shift := 32 - (bits.Len(uint(len(l.tables[0]))) - 1)
	for i := range lines {
		lines[i] = &l.tables[i][hashes[i]>>shift]
	}
	node := uint32(1)
	for i := 3; i >= 0; i-- {
		m := &l.mixers[b2i(length > 0)][place<<4|node]
		for j := range lines {
			m.inputs[j] = lines[j][node].logistic()
		}
		likely := int(expected >> i & 1)
		m.inputs[contexts] = l.echo.opinion(length, likely)
		bit := c.split(m.mix(), int(b>>i&1))
		m.learn(bit)
		for _, x := range lines {
			x[node].learn(bit)
		}
		if length > 0 {
			l.echo.right[length].learn(b2i(bit == likely))
			if bit != likely {
				length = 0
			}
		}
		node = node<<1 | uint32(bit)
	}
	return node & 15
}
