package diff

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/proa-os/proa/deltas/patch"
)

// some returns bytes that compress about as badly as code does.
func some(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.ExpFloat64() * 20)
	}
	return b
}

// changed returns old with pieces replaced, inserted and removed.
func changed(r *rand.Rand, old []byte) []byte {
	var out []byte
	for len(old) > 0 {
		n := min(len(old), r.IntN(2000))
		out = append(out, old[:n]...)
		old = old[n:]
		switch r.IntN(4) {
		case 0:
			out = append(out, some(r, r.IntN(100))...)
		case 1:
			old = old[min(len(old), r.IntN(100)):]
		case 2:
			for i := max(0, len(out)-r.IntN(300)); i < len(out); i += 1 + r.IntN(20) {
				out[i]++
			}
		}
	}
	return out
}

func pairs(r *rand.Rand, n, size int) []Pair {
	var out []Pair
	for range n {
		old := some(r, r.IntN(size))
		out = append(out, Pair{Old: old, New: changed(r, old)})
	}
	return append(out, Pair{New: some(r, 50)})
}

func whole(pairs []Pair) (reference, out []byte) {
	for _, p := range pairs {
		reference = append(reference, p.Old...)
		out = append(out, p.New...)
	}
	return reference, out
}

func TestWhatMakeMakesAppliesToTheSameBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a := patch.NewApplier()
	for n := range 30 {
		p := pairs(r, n%5, 1+1000*n)
		method, payload, err := Make(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		reference, want := whole(p)
		got := make([]byte, len(want))
		if err := a.Apply(got, method, reference, payload); err != nil {
			t.Fatalf("run %d: %v", n, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("run %d: wrong bytes", n)
		}
	}
}

func TestADifferenceIsWithinTheBounds(t *testing.T) {
	for name, p := range map[string]Pair{
		"nothing":          {Old: []byte("x")},
		"a long output":    {New: make([]byte, patch.OutputMost+1)},
		"a long reference": {Old: make([]byte, patch.ReferenceMost+1), New: []byte("x")},
	} {
		if _, _, err := Make(t.Context(), []Pair{p}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// patience is a context that ends when it was looked at so often.
type patience struct {
	context.Context
	looks int
}

func (p *patience) Err() error {
	if p.looks--; p.looks < 0 {
		return context.Canceled
	}
	return nil
}

func TestADifferenceEndsSoonAfterItsContext(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	p := pairs(r, 3, 30_000)
	p = append(p, Pair{Old: some(r, 1000), New: some(r, 600_000)}) // nothing of it is alike
	const plenty = 1 << 20
	patient := &patience{t.Context(), plenty}
	if _, _, err := Make(patient, p); err != nil {
		t.Fatal(err)
	}
	looks := plenty - patient.looks
	if most := 600_000/unseen + 600_000>>16; looks < most {
		t.Errorf("looked %d times: want at least %d", looks, most)
	}
	for _, n := range []int{0, 1, 10, looks / 2, looks - 2, looks - 1} {
		if _, _, err := Make(&patience{t.Context(), n}, p); !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d of %d looks: %v", n, looks, err)
		}
	}
}
