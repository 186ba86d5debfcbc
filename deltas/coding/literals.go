package coding

const (
	orders      = 3
	orderBits   = 18
	literalRate = 4
)

// literals codes bytes of their own: each bit mixes what followed the same one, two
// and three bytes, and what stands in the reference where the last copy ended.
type literals struct {
	tables [orders + 1][1 << orderBits]uint16
	mixers [256]mixer
}

func (l *literals) reset() {
	for i := range l.tables {
		for j := range l.tables[i] {
			l.tables[i][j] = 1 << 15
		}
	}
	for i := range l.mixers {
		l.mixers[i].reset()
	}
}

// code codes the byte after history, where hint is what may stand there.
func (l *literals) code(c *coder, history []byte, hint byte, b byte) byte {
	var context [orders + 1]uint32
	recent := uint32(0)
	for i := 1; i <= orders; i++ {
		if i <= len(history) {
			recent |= uint32(history[len(history)-i]) << (8 * (i - 1))
		}
		context[i-1] = (recent + uint32(i)) * 0x9e3779b1
	}
	context[orders] = (uint32(hint) | recent&0xff<<8) * 0x9e3779b1
	node := uint32(1)
	for i := 7; i >= 0; i-- {
		m := &l.mixers[node]
		var cells [orders + 1]*uint16
		for j := range cells {
			cells[j] = &l.tables[j][(context[j]+node*0x2545f491)>>(32-orderBits)]
			m.inputs[j] = stretch(*cells[j])
		}
		bit := c.split(m.mix(), int(b>>i&1))
		m.learn(bit)
		for _, cell := range cells {
			if bit != 0 {
				*cell += (65535 - *cell) >> literalRate
			} else {
				*cell -= *cell >> literalRate
			}
		}
		node = node<<1 | uint32(bit)
	}
	return byte(node)
}
