package coding

// mixer weighs several probabilities of one bit (logistic mixing). Probabilities
// are of 4096 in the logistic domain: ln(p/(1-p)) in 1/256.
type mixer struct {
	weights [inputs]int32 // of 65536
	inputs  [inputs]int32
	p       int32 // of 4096
}

func (m *mixer) reset() {
	for i := range m.weights {
		m.weights[i] = 1 << 16 * 3 / 10
	}
}

// mix is the probability of a one, of 65536.
func (m *mixer) mix() uint32 {
	dot := int64(0)
	for i, w := range m.weights {
		dot += int64(w) * int64(m.inputs[i])
	}
	m.p = squash(int32(dot >> 16))
	return uint32(m.p)*16 + 8
}

func (m *mixer) learn(bit int) {
	miss := int32(bit)<<12 - m.p
	for i := range m.weights {
		m.weights[i] += (m.inputs[i]*miss + 1<<9) >> 10
	}
}

// squashed is 4096/(1+exp(-x/256)) at every 128th x of -2047 to 2047.
var squashed = [33]int32{1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975, 4022, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094}

func squash(x int32) int32 {
	x = min(max(x, -2047), 2047)
	i, rest := (x+2048)>>7, x&127
	return (squashed[i]*(128-rest) + squashed[i+1]*rest + 64) >> 7
}

// stretched is the inverse of squash.
var stretched = func() (t [4096]int16) {
	at := 0
	for x := int32(-2047); x <= 2047; x++ {
		for v := int(squash(x)); at <= v; at++ {
			t[at] = int16(x)
		}
	}
	for ; at < len(t); at++ {
		t[at] = 2047
	}
	return t
}()
