package gnugzip

const (
	endOfBlock  = 256
	litCodes    = 256 + 1 + 29
	distCodes   = 30
	lenCodes    = 19
	symbolsMost = 1<<15 - 1 // of a block
	matchesMost = 1 << 15
)

// blocks gathers the symbols of a block and writes it.
type blocks struct {
	out  []byte
	held uint64 // bits that are no whole byte yet
	bits uint

	symbols   []symbol
	matches   int
	lit, dist tree
}

// symbol is a literal, or a match when distance is not 0.
type symbol struct {
	distance uint16
	value    uint8 // the literal, or the length less minMatch
}

func (b *blocks) init(dst []byte) {
	b.out = dst
	b.lit = tree{elements: litCodes, lenMost: 15, extra: litExtra, static: staticLit[:]}
	b.dist = tree{elements: distCodes, lenMost: 15, extra: distExtra, static: staticDist[:]}
	b.lit.freq[endOfBlock] = 1
}

// literal takes one, and says whether the block is to end here. Long is the bytes
// from the start of the block to the string that the encoder looks at.
func (b *blocks) literal(c byte, long int) bool {
	b.symbols = append(b.symbols, symbol{0, c})
	b.lit.freq[c]++
	return b.full(long)
}

// match takes a match of len bytes.
func (b *blocks) match(distance, len, long int) bool {
	b.symbols = append(b.symbols, symbol{uint16(distance), uint8(len - minMatch)})
	b.matches++
	b.lit.freq[257+int(lenCode[len-minMatch])]++
	b.dist.freq[distCode(distance)]++
	return b.full(long)
}

// full guesses now and then whether it pays to end the block.
func (b *blocks) full(long int) bool {
	if n := len(b.symbols); n&0xfff == 0 {
		packed := n * 8
		for code, freq := range b.dist.freq[:distCodes] {
			packed += int(freq) * (5 + int(distExtra(code)))
		}
		if b.matches < n/2 && packed>>3 < long/2 {
			return true
		}
	}
	return len(b.symbols) == symbolsMost || b.matches == matchesMost
}

// write ends the block: stored is its content, or nil when that is not known any
// more, size the bytes of it.
func (b *blocks) write(stored []byte, size int, last bool) {
	b.lit.build()
	b.dist.build()
	lens := tree{elements: lenCodes, lenMost: 7, extra: lenExtra}
	runs := append(b.lit.runs(nil), b.dist.runs(nil)...)
	for _, r := range runs {
		lens.freq[r.code]++
	}
	lens.build()
	order := lenCodes
	for order > 4 && lens.len[lenOrder[order-1]] == 0 {
		order--
	}
	dynamic := (b.lit.cost + b.dist.cost + lens.cost + 3*order + 5 + 5 + 4 + 3 + 7) >> 3
	static := (b.lit.staticCost + b.dist.staticCost + 3 + 7) >> 3
	final := uint64(0)
	if last {
		final = 1
	}
	switch {
	case size+4 <= min(dynamic, static) && stored != nil:
		b.put(final, 3)
		b.align()
		b.out = append(b.out, byte(size), byte(size>>8), ^byte(size), ^byte(size>>8))
		b.out = append(b.out, stored...)
	case static <= dynamic:
		b.put(1<<1|final, 3)
		b.putSymbols(staticLit[:], staticLitCode[:], staticDist[:], staticDistCode[:])
	default:
		b.put(2<<1|final, 3)
		b.put(uint64(b.lit.max+1-257), 5)
		b.put(uint64(b.dist.max+1-1), 5)
		b.put(uint64(order-4), 4)
		for _, i := range lenOrder[:order] {
			b.put(uint64(lens.len[i]), 3)
		}
		codes := codesOf(lens.len[:lenCodes])
		for _, r := range runs {
			b.put(uint64(codes[r.code]), uint(lens.len[r.code]))
			b.put(uint64(r.times), uint(lenExtra(int(r.code))))
		}
		b.putSymbols(b.lit.len[:], codesOf(b.lit.len[:litCodes]), b.dist.len[:], codesOf(b.dist.len[:distCodes]))
	}
	if last {
		b.align()
	}
	out := b.out
	symbols, held, n := b.symbols[:0], b.held, b.bits
	*b = blocks{held: held, bits: n, symbols: symbols}
	b.init(out)
}

func (b *blocks) putSymbols(litLen []uint8, lit []uint16, distLen []uint8, dist []uint16) {
	for _, s := range b.symbols {
		if s.distance == 0 {
			b.put(uint64(lit[s.value]), uint(litLen[s.value]))
			continue
		}
		code := int(lenCode[s.value])
		b.put(uint64(lit[257+code]), uint(litLen[257+code]))
		b.put(uint64(int(s.value)-int(lenBase[code])), uint(litExtra(257+code)))
		code = distCode(int(s.distance))
		b.put(uint64(dist[code]), uint(distLen[code]))
		b.put(uint64(int(s.distance)-1-int(distBase[code])), uint(distExtra(code)))
	}
	b.put(uint64(lit[endOfBlock]), uint(litLen[endOfBlock]))
}

// put writes n bits of v, the lowest first.
func (b *blocks) put(v uint64, n uint) {
	b.held |= v << b.bits
	for b.bits += n; b.bits >= 8; b.bits -= 8 {
		b.out = append(b.out, byte(b.held))
		b.held >>= 8
	}
}

func (b *blocks) align() {
	if b.bits > 0 {
		b.out = append(b.out, byte(b.held))
	}
	b.held, b.bits = 0, 0
}
