package diff

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/proa-os/proa/deltas/coding"
	"github.com/proa-os/proa/deltas/patch"
)

func TestADamagedPayloadStaysWithinTheOutput(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p := pairs(r, 3, 20000)
	reference, want := whole(p)
	sc, coder := script(t.Context(), p, reference), new(coding.Coder)
	coder.Choose(&sc, reference, want)
	payload, err := coder.Write(t.Context(), sc, reference, want)
	if err != nil {
		t.Fatal(err)
	}
	const method = patch.Corrected
	a := patch.NewApplier()
	out := make([]byte, len(want)+8)
	for n := range 300 {
		bad := bytes.Clone(payload)
		switch n % 3 {
		case 0:
			bad = bad[:r.IntN(len(bad))]
		case 1:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		case 2:
			bad = append(bad, byte(n))
		}
		err := a.Apply(out[:len(want)], method, reference, bad)
		if n%3 != 1 && err == nil {
			t.Errorf("a payload of %d bytes instead of %d is accepted", len(bad), len(payload))
		}
		if !bytes.Equal(out[len(want):], make([]byte, 8)) {
			t.Fatal("written behind the output")
		}
	}
	if err := a.Apply(out[:len(want)], method, reference, payload); err != nil || !bytes.Equal(out[:len(want)], want) {
		t.Errorf("after damaged payloads the right one fails: %v", err)
	}
}

// program makes code of functions that call each other, with gaps before them.
func program(r *rand.Rand, bodies [][]byte, gap func(int) int) []byte {
	var out []byte
	starts := make([]int, len(bodies))
	for i, b := range bodies {
		out = append(out, make([]byte, gap(i))...)
		starts[i] = len(out)
		out = append(out, b...)
	}
	for i := range bodies {
		for at := starts[i] + 20; at+25 < starts[i]+len(bodies[i]); at += 25 {
			out[at] = 0xe8
			to := starts[(i*7+at-starts[i])%len(starts)]
			binary.LittleEndian.PutUint32(out[at+1:], uint32(to-at-5))
		}
	}
	return out
}

func TestCallsBetweenFunctionsThatMovedCostNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var bodies [][]byte
	for range 400 {
		bodies = append(bodies, some(r, 200))
	}
	old := program(r, bodies, func(int) int { return 0 })
	new := program(r, bodies, func(i int) int { return i % 50 / 49 * 16 })
	_, payload, err := Make(t.Context(), []Pair{{Old: old, New: new}})
	if err != nil {
		t.Fatal(err)
	}
	// 2800 calls, 8 gaps: without moved operands this is some 2 KB.
	if len(payload) > 300 {
		t.Errorf("payload of %d bytes", len(payload))
	}
}

func TestWhatIsNewAltogetherIsDecodedAtOnce(t *testing.T) {
	text := bytes.Repeat([]byte("what is new altogether is much for a host to correct; "), 2000)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range text {
		if r.IntN(4) == 0 {
			text[i] = byte('a' + r.IntN(26))
		}
	}
	if method, _, err := Make(t.Context(), []Pair{{New: text}}); err != nil || method != patch.Zstd {
		t.Errorf("method %d, %v: want zstd", method, err)
	}
}
