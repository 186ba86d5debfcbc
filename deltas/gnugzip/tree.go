package gnugzip

// tree makes the code of an alphabet, of which it knows how often each symbol
// is used.
type tree struct {
	elements int
	lenMost  int
	extra    func(code int) uint8
	static   []uint8 // the lengths of the fixed code, or nil

	freq             [2*litCodes + 1]uint16
	len              [2*litCodes + 1]uint8
	max              int // the largest symbol that is used
	cost, staticCost int // bits of what was gathered

	depth  [2*litCodes + 1]uint8
	parent [2*litCodes + 1]uint16
	heap   [2*litCodes + 1]uint16
	size   int // of heap
	sorted int // where in heap the symbols begin that have left it, rarest last
}

func (t *tree) build() {
	t.max, t.size, t.sorted = -1, 0, len(t.heap)
	for n := range t.elements {
		if t.freq[n] != 0 {
			t.size++
			t.heap[t.size] = uint16(n)
			t.max = n
		}
	}
	for t.size < 2 { // a code has two symbols at least
		n := 0
		if t.max < 2 {
			t.max++
			n = t.max
		}
		t.size++
		t.heap[t.size] = uint16(n)
		t.freq[n] = 1
		t.cost--
		if t.static != nil {
			t.staticCost -= int(t.static[n])
		}
	}
	for n := t.size / 2; n >= 1; n-- {
		t.sink(n)
	}
	for node := t.elements; ; node++ {
		n := t.heap[1]
		t.heap[1] = t.heap[t.size]
		t.size--
		t.sink(1)
		m := t.heap[1]
		t.sorted -= 2
		t.heap[t.sorted+1], t.heap[t.sorted] = n, m
		t.freq[node] = t.freq[n] + t.freq[m]
		t.depth[node] = max(t.depth[n], t.depth[m]) + 1
		t.parent[n], t.parent[m] = uint16(node), uint16(node)
		t.heap[1] = uint16(node)
		t.sink(1)
		if t.size < 2 {
			break
		}
	}
	t.sorted--
	t.heap[t.sorted] = t.heap[1]
	t.lengths()
}

// sink restores the heap below k.
func (t *tree) sink(k int) {
	v := t.heap[k]
	for j := 2 * k; j <= t.size; j *= 2 {
		if j < t.size && t.smaller(t.heap[j+1], t.heap[j]) {
			j++
		}
		if t.smaller(v, t.heap[j]) {
			break
		}
		t.heap[k], k = t.heap[j], j
	}
	t.heap[k] = v
}

func (t *tree) smaller(n, m uint16) bool {
	return t.freq[n] < t.freq[m] || t.freq[n] == t.freq[m] && t.depth[n] <= t.depth[m]
}

// lengths gives each symbol its bits.
func (t *tree) lengths() {
	var count [16]int
	t.len[t.heap[t.sorted]] = 0
	over := 0
	for _, n := range t.heap[t.sorted+1:] {
		bits := int(t.len[t.parent[n]]) + 1
		if bits > t.lenMost {
			bits = t.lenMost
			over++
		}
		t.len[n] = uint8(bits)
		if int(n) > t.max {
			continue
		}
		count[bits]++
		t.cost += int(t.freq[n]) * (bits + int(t.extra(int(n))))
		if t.static != nil {
			t.staticCost += int(t.freq[n]) * (int(t.static[n]) + int(t.extra(int(n))))
		}
	}
	if over > 0 {
		t.shorten(count[:], over)
	}
}

// shorten makes a code of symbols of which over had too many bits.
func (t *tree) shorten(count []int, over int) {
	for ; over > 0; over -= 2 {
		bits := t.lenMost - 1
		for count[bits] == 0 {
			bits--
		}
		count[bits]--
		count[bits+1] += 2
		count[t.lenMost]--
	}
	at := len(t.heap)
	for bits := t.lenMost; bits > 0; bits-- {
		for n := count[bits]; n > 0; {
			at--
			m := t.heap[at]
			if int(m) > t.max {
				continue
			}
			t.cost += (bits - int(t.len[m])) * int(t.freq[m])
			t.len[m] = uint8(bits)
			n--
		}
	}
}

// codesOf is the canonical code with these lengths, as it is written: the
// first bit lowest (RFC 1951, section 3.2.2).
func codesOf(lens []uint8) []uint16 {
	var count, next [17]int
	for _, n := range lens {
		count[n]++
	}
	count[0] = 0
	for bits := 1; bits <= 15; bits++ {
		next[bits] = (next[bits-1] + count[bits-1]) << 1
	}
	codes := make([]uint16, len(lens))
	for i, n := range lens {
		code := next[n]
		next[n]++
		for range n {
			codes[i] = codes[i]<<1 | uint16(code&1)
			code >>= 1
		}
	}
	return codes
}

// run is a length, or one that is repeated, in the alphabet of code lengths.
type run struct{ code, times uint8 }

// runs appends the lengths of the symbols up to the largest.
func (t *tree) runs(to []run) []run {
	const repeat, zeros, manyZeros = 16, 17, 18
	last := -1
	for at := 0; at <= t.max; {
		bits := int(t.len[at])
		most, least := 7, 4
		if bits == 0 {
			most, least = 138, 3
		} else if bits == last {
			most, least = 6, 3
		}
		n := 1
		for n < most && at+n <= t.max && int(t.len[at+n]) == bits {
			n++
		}
		at += n
		switch {
		case n < least:
			for range n {
				to = append(to, run{uint8(bits), 0})
			}
		case bits == 0 && n <= 10:
			to = append(to, run{zeros, uint8(n - 3)})
		case bits == 0:
			to = append(to, run{manyZeros, uint8(n - 11)})
		default:
			if bits != last {
				to = append(to, run{uint8(bits), 0})
				n--
			}
			to = append(to, run{repeat, uint8(n - 3)})
		}
		last = bits
	}
	return to
}
