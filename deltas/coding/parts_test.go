package coding

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestBitsOfAnyChanceAreReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		type coded struct {
			p   uint32
			bit int
		}
		bits := make([]coded, 3000)
		w := newWriter()
		for i := range bits {
			bits[i].p = [...]uint32{least, 65536 - least, 1 << 15, 1 + r.Uint32N(65535)}[r.IntN(4)]
			bits[i].bit = b2i(r.Uint32N(65536) < bits[i].p)
			if r.IntN(20) == 0 { // against all odds
				bits[i].bit ^= 1
			}
			w.split(bits[i].p, bits[i].bit)
		}
		reader := newReader(w.finish())
		for i, b := range bits {
			if got := reader.split(b.p, 0); got != b.bit {
				t.Fatalf("bit %d is %d: want %d", i, got, b.bit)
			}
		}
		if !reader.whole() || reader.over() {
			t.Fatal("the reader is not at the end")
		}
	}
}

func TestChancesStayBetweenTheirBounds(t *testing.T) {
	for _, bit := range []int{0, 1} {
		p := []chance{{}}
		even(p)
		c := newWriter()
		for range 100_000 {
			c.bit(&p[0], bit)
		}
		// 100,000 bits that are all the same: each costs at least what the bound says.
		if n := len(c.finish()); n < 8 || n > 100_000*2*least/65536 {
			t.Errorf("%d bytes", n)
		}
	}
}

func TestNumbersAreReadBack(t *testing.T) {
	var values []uint32
	for i := range 32 {
		values = append(values, 1<<i-1, 1<<i, 1<<i+1, -(1 << i))
	}
	w := newWriter()
	var unsigned, signed number
	unsigned.reset()
	signed.reset()
	for _, v := range values {
		unsigned.code(w, v)
		signed.signed(w, int32(v))
	}
	r := newReader(w.finish())
	unsigned.reset()
	signed.reset()
	for _, v := range values {
		if got := unsigned.code(&r, 0); got != v {
			t.Errorf("%d is read as %d", v, got)
		}
		if got := signed.signed(&r, 0); got != int32(v) {
			t.Errorf("%d is read as %d", int32(v), got)
		}
	}
	if !r.whole() {
		t.Error("the reader is not at the end")
	}
}

func TestAPlaceMovedAsTheLastCopyThatBeginsThereOrBefore(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 60 {
		s, reference, _ := example(r)
		var m moves
		m.reset(&s)
		old, new := 0, 0
		for i, p := range s.Pairs {
			for range 30 {
				offset := r.IntN(len(reference)+40) - 20
				// The plain way: all copies that are made in the new file, from the old one.
				by, found, begins, at := 0, false, -1, 0
				for _, o := range s.Ops {
					at += o.Literal
					if o.Size > 0 && at >= new && at < new+p.New && o.Source >= old && o.Source < old+p.Old {
						if from := o.Source - old; from <= offset && from >= begins {
							begins, found, by = from, true, at-new-from
						}
					}
					at += o.Size
				}
				if offset < 0 || offset >= p.Old {
					found, by = false, 0
				}
				if got, ok := m.pairs[i].by(offset); ok != found || int(got) != by {
					t.Fatalf("pair %d, offset %d moved by %d, %v: want %d, %v", i, offset, got, ok, by, found)
				}
			}
			old, new = old+p.Old, new+p.New
		}
	}
}

// An operand says how far its target is from its own end (Intel SDM, volume 2).
func TestOperandsFollowTheirTargets(t *testing.T) {
	const from, movedBy, targetBy = 1000, 16, 48
	for name, operation := range map[string][]byte{
		"call":         {0xe8},
		"jmp":          {0xe9},
		"jne":          {0x0f, 0x85},
		"lea rax,[rip": {0x48, 0x8d, 0x05},
		"mov ecx,[rip": {0x8b, 0x0d},
		"movups [rip":  {0x0f, 0x10, 0x05},
	} {
		code := append([]byte{0x90, 0x90}, operation...)
		at := len(code)
		code = binary.LittleEndian.AppendUint32(code, 5000)
		code = append(code, 0x90, 0x90, 0xc3)
		want := append([]byte{}, code...)
		binary.LittleEndian.PutUint32(want[at:], 5000+targetBy-movedBy)
		target := from + at + 4 + 5000
		rebase(code, from, movedBy, func(offset int) (int32, bool) {
			if offset != target {
				t.Errorf("%s: asked for %d: want %d", name, offset, target)
			}
			return targetBy, offset == target
		})
		if string(code) != string(want) {
			t.Errorf("%s: % x: want % x", name, code, want)
		}
	}
	data := []byte{0x90, 0x05, 1, 0, 0, 0, 0, 0, 0xe8, 1, 0, 0} // no operation, and one that is cut
	rebase(data, 0, 5, func(int) (int32, bool) { t.Error("something is taken for an operand"); return 0, true })
	outside := []byte{0xe8, 1, 0, 0, 0, 0, 0}
	rebase(outside, 0, 5, func(int) (int32, bool) { return 9, false })
	if outside[1] != 1 {
		t.Error("an operand that leads out of the file is rewritten")
	}
}
