package diff

import (
	"context"
	"hash/fnv"
	"strings"

	"github.com/proa-os/proa/deltas/coding"
)

// key is what makes a record of a table the same one in two builds.
func key(text string, numbers ...int) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for _, n := range numbers {
		le.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	h.Write([]byte(text))
	return h.Sum64()
}

// inOrder pairs records by their keys, in runs as long as possible: for each new
// one the old one, or -1.
func inOrder(ctx context.Context, old, new []uint64) []int {
	pairs := make([]int, len(new))
	for i := range pairs {
		pairs[i] = -1
	}
	const size = 8
	at := 0
	for _, o := range scan(newPlaces(ctx, column(old)), column(new), 0) {
		at += o.Literal
		for i := (at + size - 1) / size; i*size < at+o.Size; i++ {
			if from := o.Source + i*size - at; from%size == 0 && from/size < len(old) {
				pairs[i] = from / size
			}
		}
		at += o.Size
	}
	// A record without a pair is most like what is beside the pair of its neighbour.
	for i := 1; i < len(pairs); i++ {
		if p := pairs[i-1]; pairs[i] < 0 && p >= 0 && p+1 < len(old) {
			pairs[i] = p + 1
		}
	}
	for i := len(pairs) - 2; i >= 0; i-- {
		if pairs[i] < 0 && pairs[i+1] > 0 {
			pairs[i] = pairs[i+1] - 1
		}
	}
	return pairs
}

func column(keys []uint64) []byte {
	b := make([]byte, 0, 8*len(keys))
	for _, k := range keys {
		b = le.AppendUint64(b, k)
	}
	return b
}

// symbolKeys are of names without the numbers that compilers append.
func (o *object) symbolKeys(table int) []uint64 {
	var keys []uint64
	for _, s := range o.symbols(table) {
		keys = append(keys, key(strings.TrimRight(s.name, "0123456789")+"\x00"+o.sections[s.section].name, int(s.info)))
	}
	return keys
}

// relocationKeys are of the symbol and the place; the places of old relocations are
// moved to where they are in the new file. In tables of addresses alone, which
// have no content of their own, it is what they point to that matters.
func (o *object) relocationKeys(table int, move func(section, offset int) int) []uint64 {
	s := o.sections[table]
	if s.info >= len(o.sections) {
		return nil
	}
	blank := strings.Trim(string(o.content(s.info)), "\x00") == ""
	symbols := o.symbols(s.link)
	var keys []uint64
	for b := o.content(table); len(b) >= relocationSize; b = b[relocationSize:] {
		kind, number := int(le.Uint32(b[8:])), int(le.Uint32(b[12:]))
		var to symbol
		if number < len(symbols) {
			to = symbols[number]
		}
		place := int(le.Uint64(b))
		if !blank {
			place = move(s.info, place)
		} else if place = int(le.Uint64(b[16:])); to.isSection() {
			place = move(to.section, place)
		}
		keys = append(keys, key(to.name, kind, place))
	}
	return keys
}

// mover says where an offset in a section of the old file is in the same section of
// the new one.
func mover(old, new *object, moved *coding.Moves) func(section, offset int) int {
	return func(section, offset int) int {
		s := old.sections[section]
		at, ok := moved.At(s.offset + offset)
		if i := new.find(s.name); ok && i >= 0 {
			return at - new.sections[i].offset
		}
		return offset
	}
}
