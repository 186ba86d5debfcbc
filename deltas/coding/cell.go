package coding

// cell is the probability of a one in 22 bits, and how often it was learned, in 10:
// the more often, the slower it learns.
type cell uint32

const (
	evenCell  cell = 1 << 31
	learnMost      = 20
)

// slowness is 65536/(n+1.5).
var slowness = func() (t [learnMost + 1]int64) {
	for n := range t {
		t[n] = 2 << 16 / int64(2*n+3)
	}
	return t
}()

func (x *cell) learn(bit int) {
	p, n := int64(*x>>10), *x&1023
	p += (int64(bit)*(1<<22-1) - p) * slowness[n] >> 16
	*x = cell(p)<<10 | min(n+1, learnMost)
}

func (x cell) logistic() int32 { return int32(stretched[x>>20]) }
