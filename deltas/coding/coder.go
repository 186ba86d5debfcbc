package coding

// coder is a binary arithmetic coder that goes both ways: when it writes, bit
// appends the bit it is given; when it reads, bit returns the next one. One
// description of a payload thus serves both sides.
//
// The interval [low, high] of 32 bits is split in proportion to the probability of
// a one; bytes in which both ends agree leave at the top.
type coder struct {
	writing   bool
	low, high uint32
	value     uint32 // reading: the next 32 bits
	data      []byte
	at        int // reading: of data
}

// tail is how many bytes end a payload.
const tail = 4

func newWriter() *coder { return &coder{writing: true, high: 1<<32 - 1} }

func newReader(data []byte) coder {
	c := coder{high: 1<<32 - 1, data: data}
	for range tail {
		c.value = c.value<<8 | uint32(c.next())
	}
	return c
}

// next is the next byte; zero behind the end, which whole notices.
func (c *coder) next() byte {
	c.at++
	if c.at > len(c.data) {
		return 0
	}
	return c.data[c.at-1]
}

// over tells whether a reader has gone behind the end of what it was given.
func (c *coder) over() bool { return c.at > len(c.data) }

// whole tells whether a reader has read all of it and not more.
func (c *coder) whole() bool { return c.at == len(c.data) }

// finish ends what a writer wrote.
func (c *coder) finish() []byte {
	return append(c.data, byte(c.high>>24), byte(c.high>>16), byte(c.high>>8), byte(c.high))
}

// split codes a bit of which p/65536 is the probability of being one.
func (c *coder) split(p uint32, bit int) int {
	middle := c.low + uint32(uint64(c.high-c.low)*uint64(p)>>16)
	if !c.writing {
		bit = 0
		if c.value <= middle {
			bit = 1
		}
	}
	if bit != 0 {
		c.high = middle
	} else {
		c.low = middle + 1
	}
	for (c.low^c.high)>>24 == 0 {
		if c.writing {
			c.data = append(c.data, byte(c.high>>24))
		} else {
			c.value = c.value<<8 | uint32(c.next())
		}
		c.low <<= 8
		c.high = c.high<<8 | 255
	}
	return bit
}

// chance is an adaptive probability of a one: the mean of one that follows fast
// and one that follows slowly, of 65536.
type chance struct{ fast, slow uint16 }

const (
	fastRate = 4
	slowRate = 7
	least    = 32 // of 65536: no bit is taken for certain
)

func even(all []chance) {
	for i := range all {
		all[i] = chance{1 << 15, 1 << 15}
	}
}

// bit codes a bit and learns from it.
func (c *coder) bit(p *chance, bit int) int {
	bit = c.split(min(max((uint32(p.fast)+uint32(p.slow))/2, least), 65536-least), bit)
	if bit != 0 {
		p.fast += (65535 - p.fast) >> fastRate
		p.slow += (65535 - p.slow) >> slowRate
	} else {
		p.fast -= p.fast >> fastRate
		p.slow -= p.slow >> slowRate
	}
	return bit
}
