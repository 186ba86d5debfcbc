package coding

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// content is bytes of one of the kinds that systems are made of.
func content(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	switch r.IntN(4) {
	case 0: // what is compressed
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	case 1: // text
		for i := range b {
			b[i] = "etaoin shrdlu\n"[r.IntN(14)]
		}
	case 2: // a table of addresses
		for i := 0; i+8 <= n; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], uint64(i*16+r.IntN(16)))
		}
	default: // code: calls and what is between them
		for i := range b {
			b[i] = byte(r.ExpFloat64() * 30)
		}
		for i := 0; i+8 <= n; i += 8 + r.IntN(20) {
			b[i] = 0xe8
			binary.LittleEndian.PutUint32(b[i+1:], uint32(r.IntN(n)-i))
		}
	}
	return b
}

// example is a script with all that one may have, and what it makes of what.
func example(r *rand.Rand) (s Script, reference, want []byte) {
	for range 1 + r.IntN(4) {
		reference = append(reference, content(r, r.IntN(3000))...)
	}
	for n := range 1 + r.IntN(20) {
		o := Op{Literal: r.IntN(40), Branches: r.IntN(2) == 0}
		if n%5 == 4 {
			o.Literal = r.IntN(500)
		}
		want = append(want, content(r, o.Literal)...)
		all := append(bytes.Clone(reference), want...)
		if len(all) == 0 {
			continue
		}
		o.Size = 1 + r.IntN(min(700, len(all)))
		o.Source = r.IntN(len(all) - o.Size + 1)
		made := bytes.Clone(all[o.Source : o.Source+o.Size])
		for range r.IntN(10) { // numbers that have moved, and bytes that have changed
			at := r.IntN(len(made))
			if at+4 <= len(made) && r.IntN(3) > 0 {
				binary.LittleEndian.PutUint32(made[at:], binary.LittleEndian.Uint32(made[at:])+0x140)
			} else {
				made[at]++
			}
		}
		want = append(want, made...)
		s.Ops = append(s.Ops, o)
	}
	if r.IntN(2) == 0 {
		end := content(r, 1+r.IntN(90))
		s.Ops = append(s.Ops, Op{Literal: len(end)})
		want = append(want, end...)
	}
	old, new := len(reference), len(want)
	for range r.IntN(4) {
		p := Sizes{r.IntN(old + 1), r.IntN(new + 1)}
		s.Pairs = append(s.Pairs, p)
		old, new = old-p.Old, new-p.New
	}
	s.Pairs = append(s.Pairs, Sizes{old, new})
	return s, reference, want
}

func write(t testing.TB, k *Coder, s Script, reference, want []byte) []byte {
	t.Helper()
	payload, err := k.Write(context.Background(), s, reference, want)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	used := new(Coder) // it keeps its memory, and nothing that is learned
	for n := range 200 {
		s, reference, want := example(r)
		payload := write(t, used, s, reference, want)
		if n%20 == 0 && !bytes.Equal(payload, write(t, new(Coder), s, reference, want)) {
			t.Fatalf("example %d: a fresh coder writes something else", n)
		}
		before := bytes.Clone(reference)
		out := bytes.Repeat([]byte{0x5a}, len(want)) // whatever is there
		if err := used.Read(out, reference, payload); err != nil {
			t.Fatalf("example %d: %v", n, err)
		}
		if !bytes.Equal(out, want) || !bytes.Equal(reference, before) {
			t.Fatalf("example %d: other bytes come out, or the reference is written", n)
		}
	}
}

// Hosts in the field read what publishers write later: another payload for the same
// script is another format, and needs a method of another number.
func TestTheFormatStays(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	sum := sha256.New()
	k := new(Coder)
	for range 30 {
		s, reference, want := example(r)
		sum.Write(write(t, k, s, reference, want))
	}
	const golden = "6f90b1d4e2416fea5762cc8e500a98f8d8dbbd5fb0c96fd1817024f3b8364ab4"
	if got := hex.EncodeToString(sum.Sum(nil)); got != golden {
		t.Errorf("payloads have the sum %s: want %s", got, golden)
	}
}

func TestAPayloadIsAllOfWhatWasWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	k := new(Coder)
	for range 4 {
		s, reference, want := example(r)
		payload := write(t, k, s, reference, want)
		out := make([]byte, len(want))
		for n := range payload {
			if err := k.Read(out, reference, payload[:n]); err == nil {
				t.Errorf("the first %d bytes of %d are accepted", n, len(payload))
			}
		}
		if err := k.Read(out, reference, append(payload, 0)); err == nil {
			t.Error("a byte behind the end is accepted")
		}
		if err := k.Read(make([]byte, len(want)+1), reference, payload); err == nil {
			t.Error("another output is accepted")
		}
	}
}

// What two builds differ in is mostly places that moved: that must cost next to
// nothing, or the format is not worth its work.
func TestNumbersThatMovedAlikeCostLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	const count = 4000
	whole := func(reference, want []byte, branches bool) int {
		s := Script{Pairs: []Sizes{{len(reference), len(want)}}, Ops: []Op{{Size: len(want), Branches: branches}}}
		return len(write(t, new(Coder), s, reference, want))
	}
	var old, new []byte
	for range count {
		address := uint64(r.IntN(1 << 24))
		old = binary.LittleEndian.AppendUint64(old, address)
		new = binary.LittleEndian.AppendUint64(new, address+0x1c0)
	}
	if n := whole(old, new, false); n > count/20 {
		t.Errorf("a table of %d addresses costs %d bytes", count, n)
	}
	// A function grew by 48 bytes: calls across it reach farther.
	const split, grown = 40_000, 48
	code := make([]byte, 2*split)
	for i := range code {
		code[i] = byte(r.ExpFloat64() * 30)
	}
	moved := func(at int) int {
		if at >= split {
			at += grown
		}
		return at
	}
	var longer []byte
	longer = append(append(append(longer, code[:split]...), make([]byte, grown)...), code[split:]...)
	for at := 0; at < len(code)-8; at += 24 {
		if at < split && at+8 > split {
			continue
		}
		target := r.IntN(len(code))
		code[at], longer[moved(at)] = 0xe8, 0xe8
		binary.LittleEndian.PutUint32(code[at+1:], uint32(target-at-5))
		binary.LittleEndian.PutUint32(longer[moved(at)+1:], uint32(moved(target)-moved(at)-5))
	}
	s := Script{Pairs: []Sizes{{len(code), len(longer)}}, Ops: []Op{{Size: split}, {Literal: grown, Source: split, Size: split}}}
	k := &Coder{}
	plain := len(write(t, k, s, code, longer))
	k.Choose(&s, code, longer)
	if !s.Ops[0].Branches || !s.Ops[1].Branches {
		t.Error("calls are not seen in code")
	}
	if n := len(write(t, k, s, code, longer)); n > 250 || n > plain/2 {
		t.Errorf("calls across what grew cost %d bytes, %d when they are not rewritten", n, plain)
	}
}

func TestAScriptThatBreaksARuleIsRefused(t *testing.T) {
	const size = 1000 // of the reference and of the output
	whole := []Sizes{{size, size}}
	many := func(n int) []Op {
		ops := make([]Op, n)
		for i := range ops {
			ops[i].Size = 1
		}
		return ops
	}
	for _, c := range []struct {
		name, want string
		Script
	}{
		{"more pairs than there may be", "at most 4096", Script{Pairs: make([]Sizes, pairsMost+1)}},
		{"more operations than there may be", "at most 95", Script{Pairs: whole, Ops: many(opsMost(size) + 1)}},
		{"a pair behind the output", "pair 1", Script{Pairs: []Sizes{{size, size}, {0, 1}}}},
		{"a pair behind the reference", "pair 0", Script{Pairs: []Sizes{{size + 1, size}}}},
		{"a pair of less than nothing", "pair 0", Script{Pairs: []Sizes{{-1, size}}}},
		{"pairs that end early", "pairs: do not tile", Script{Pairs: []Sizes{{size, size - 1}}}},
		{"pairs that leave some of the reference", "pairs: do not tile", Script{Pairs: []Sizes{{size - 1, size}}}},
		{"literals behind the output", "operation 0: behind", Script{Pairs: whole, Ops: []Op{{Literal: size + 1}}}},
		{"literals near 2^32", "operation 1: behind", Script{Pairs: whole, Ops: []Op{{Size: 5}, {Literal: 1<<32 - 1}}}},
		{"a copy behind the output", "operation 0: behind", Script{Pairs: whole, Ops: []Op{{Literal: 1, Size: size}}}},
		{"a copy from before the reference", "operation 0: copies from outside", Script{Pairs: whole, Ops: []Op{{Size: size, Source: -1}}}},
		{"a copy of what is not made yet", "operation 0: copies from outside", Script{Pairs: whole, Ops: []Op{{Literal: 10, Size: size - 10, Source: 21}}}},
		{"a copy of nothing", "operation 0: copies nothing", Script{Pairs: whole, Ops: []Op{{Literal: 1}, {Literal: size - 1}}}},
		{"operations that end early", "operations: do not tile", Script{Pairs: whole, Ops: []Op{{Size: size - 1}}}},
		{"no operations", "operations: do not tile", Script{Pairs: whole}},
	} {
		payload := forge(c.Script)
		err := new(Coder).Read(make([]byte, size), make([]byte, size), payload)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want it to say %q", c.name, err, c.want)
		}
		if _, err := new(Coder).Write(t.Context(), c.Script, make([]byte, size), make([]byte, size)); err == nil {
			t.Errorf("%s is written", c.name)
		}
	}
}

// forge is a payload that begins with any script, and has zeros for the rest.
func forge(s Script) []byte {
	var k scripts
	k.reset()
	c := newWriter()
	k.count.code(c, uint32(len(s.Pairs)))
	k.count.code(c, uint32(len(s.Ops)))
	for _, p := range s.Pairs {
		k.new.code(c, uint32(p.New))
		k.old.signed(c, int32(p.Old-p.New))
	}
	next := 0
	for _, o := range s.Ops {
		k.literal.code(c, uint32(o.Literal))
		k.size.code(c, uint32(o.Size))
		if o.Size > 0 {
			k.jump.signed(c, int32(o.Source-next))
			c.bit(&k.branches[0], 0)
			next = o.Source + o.Size
		}
	}
	return append(c.finish(), make([]byte, 2000)...)
}

func TestWritingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want := content(rand.New(rand.NewPCG(5, 1)), 2*between)
	s := Script{Pairs: []Sizes{{0, len(want)}}, Ops: []Op{{Literal: len(want)}}}
	if _, err := new(Coder).Write(ctx, s, nil, want); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A payload is foreign bytes: reading comes back, and writes the output alone.
func FuzzReadComesBack(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 1))
	for range 6 {
		s, reference, want := example(r)
		f.Add(uint16(len(want)), reference, write(f, new(Coder), s, reference, want))
	}
	k, second := new(Coder), new(Coder)
	f.Fuzz(func(t *testing.T, size uint16, reference, payload []byte) {
		out := bytes.Repeat([]byte{0x5a}, int(size)+8)
		before := bytes.Clone(reference)
		err := k.Read(out[:size], reference, payload)
		if !bytes.Equal(out[size:], bytes.Repeat([]byte{0x5a}, 8)) || !bytes.Equal(reference, before) {
			t.Error("something else than the output is written")
		}
		again := make([]byte, size)
		if other := second.Read(again, reference, payload); (err == nil) != (other == nil) || err == nil && !bytes.Equal(again, out[:size]) {
			t.Errorf("%v and %v, or other bytes, in a second reading", err, other)
		}
	})
}
