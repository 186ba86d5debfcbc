package plan

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/deltas"
	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/partitions/verity"
)

const block = verity.BlockSize

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var salt = bytes.Repeat([]byte{7}, 32)

// image makes a block of each letter: equal letters are equal blocks.
func image(letters string) []byte {
	var out []byte
	for _, letter := range letters {
		out = append(out, bytes.Repeat([]byte(string(letter)), block)[:block]...)
	}
	return out
}

// stored is the tree of an image.
func stored(t testing.TB, image []byte) Leaves {
	t.Helper()
	tree, err := verity.NewTree(verity.LeafHashes(nil, salt, image), salt)
	check(t, err)
	var out bytes.Buffer
	check(t, tree.Store(&out, [16]byte{}))
	return Leaves{tree.Root(), bytes.NewReader(out.Bytes())}
}

// chunks cuts an image at spaces, each letter being a block.
func chunks(cut string) []chunkindex.Chunk {
	var out []chunkindex.Chunk
	offset := int64(0)
	for _, letters := range strings.Fields(cut) {
		leaves := verity.LeafHashes(nil, salt, image(letters))
		size := int64(len(letters)) * block
		out = append(out, chunkindex.Chunk{Offset: offset, Size: size, First: chunkindex.Tag(leaves[:4]), Digest: chunkindex.DigestOf(leaves)})
		offset += size
	}
	return out
}

func TestLocateFindsChunksWhereverTheyLie(t *testing.T) {
	for _, test := range []struct{ old, cut, want string }{
		{"abcdef", "ab cd ef", "0 2 4"},
		{"abcdef", "ef ab cd", "4 0 2"},
		{"xabcdef", "abc def", "1 4"},
		{"abcdef", "ab cX ef", "0 - 4"},
		{"abcdef", "abX cdef", "- 2"},
		{"ababab", "ab ab ab", "0 2 4"},   // each is the one that follows the last
		{"zabzcd", "zcd zab", "3 0"},      // the second candidate is the right one
		{"zazbzc", "za zb zd", "0 2 -"},   // none of the candidates is
		{"zzzz", "z zzz zzzz", "0 1 0"},   // behind the end of the image is nothing
		{"ab", "ab ab b", "0 0 1"},        // more than the image has
		{"abcdef", "f", "5"},              // the last block
		{"ab", "abc", "-"},                // longer than what is there
		{"0123456789abcdef", "f0", "-"},   // no way round
		{"0123456789", "789 0123", "7 0"}, // another order
	} {
		old, err := Locate(context.Background(), chunks(test.cut), stored(t, image(test.old)))
		check(t, err)
		var got []string
		for _, at := range old {
			text := "-"
			if at != Absent {
				text = fmt.Sprint(at / block)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%q in %q: at %s, want %s", test.cut, test.old, text, test.want)
		}
	}
}

// unreadable fails where a tree is damaged.
type unreadable struct {
	io.ReaderAt
	from, to int64
}

func (u unreadable) ReadAt(p []byte, off int64) (int, error) {
	if off < u.to && off+int64(len(p)) > u.from {
		return 0, io.ErrUnexpectedEOF
	}
	return u.ReaderAt.ReadAt(p, off)
}

func TestADamagedTreeCostsOnlyWhatItHidesFromLocate(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	old := make([]byte, 20000*block) // more than one piece of the scan
	for at := 0; at < len(old); at += block {
		random.Read(old[at : at+8])
	}
	leaves := stored(t, old)
	var cut []chunkindex.Chunk
	hashes := verity.LeafHashes(nil, salt, old)
	for at := 0; at < 20000; at += 10 {
		piece := hashes[at*32 : (at+10)*32]
		cut = append(cut, chunkindex.Chunk{Offset: int64(at * block), Size: 10 * block, First: chunkindex.Tag(piece), Digest: chunkindex.DigestOf(piece)})
	}
	start := verity.LeafOffset(leaves.Root.Blocks)
	leaves.Stored = unreadable{leaves.Stored, start + 100*320, start + 101*320}
	got, err := Locate(context.Background(), cut, leaves)
	check(t, err)
	for i, at := range got {
		if want := cut[i].Offset; at != want && i != 100 || i == 100 && at != Absent {
			t.Fatalf("chunk %d at %d: want %d", i, at, want)
		}
	}
	if err := leaves.Check(context.Background()); err == nil {
		t.Error("the tree passes its check")
	}
}

func TestCheckFindsATreeOfAnotherRootHash(t *testing.T) {
	leaves := stored(t, image("abcdef"))
	check(t, leaves.Check(context.Background()))
	leaves.Root.Hash[3] ^= 1
	if err := leaves.Check(context.Background()); err == nil {
		t.Error("it passes")
	}
}

func TestInPlaceFindsChunksAtTheirOwnOffsetsOnly(t *testing.T) {
	got := InPlace(chunks("ab cX ef gh"), stored(t, image("abcdefxgh")))
	if want := []bool{true, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("got %v: want %v", got, want)
	}
}

func TestADeltaIsLaidOutWithTheDigestsOfWhatItCopies(t *testing.T) {
	old := make([]byte, 600*block)
	rand.NewChaCha8([32]byte{2}).Read(old)
	from := stored(t, old)
	to := verity.Root{Hash: [32]byte{9}, Salt: salt, Blocks: 603}
	d := &deltas.Delta{
		From: deltas.Image{RootHash: from.Root.Hash, Blocks: 600}, To: deltas.Image{RootHash: to.Hash, Blocks: 603},
		Segments: []deltas.Segment{
			{Offset: 0, Size: 597 * block, Copy: 3 * block},
			{Offset: 597 * block, Size: 6 * block, Copy: -1, Method: patch.Zstd, Payload: deltas.Range{Offset: 99, Size: 7}, Digest: chunkindex.Digest{5}},
		},
	}
	l, err := OfDelta(d, from, to)
	check(t, err)
	end := int64(0)
	for i, c := range l.Chunks {
		if c.Offset != end {
			t.Fatalf("chunk %d at %d: want %d", i, c.Offset, end)
		}
		end += c.Size
		if at := l.Old[i]; at != Absent {
			want := chunkindex.DigestOf(verity.LeafHashes(nil, salt, old[at:at+c.Size]))
			if c.Digest != want || at != c.Offset+3*block || c.Encoded != 0 || c.Size > copyMost {
				t.Errorf("chunk %d is %+v, from %d", i, c, at)
			}
		} else if c.Digest != d.Segments[1].Digest || c.Frame != 99 || c.Encoded != 7 || l.Patches[i] != &d.Segments[1] {
			t.Errorf("chunk %d is %+v", i, c)
		}
	}
	if end != to.Size() {
		t.Errorf("%d bytes: want %d", end, to.Size())
	}
	for name, change := range map[string]func(d *deltas.Delta, from *Leaves, to *verity.Root){
		"of another image":          func(_ *deltas.Delta, from *Leaves, _ *verity.Root) { from.Root.Hash[0] ^= 1 },
		"to another image":          func(_ *deltas.Delta, _ *Leaves, to *verity.Root) { to.Hash[0] ^= 1 },
		"of other blocks":           func(d *deltas.Delta, _ *Leaves, _ *verity.Root) { d.From.Blocks++ },
		"of another salt":           func(_ *deltas.Delta, _ *Leaves, to *verity.Root) { to.Salt = salt[1:] },
		"that copies what is not":   func(d *deltas.Delta, _ *Leaves, _ *verity.Root) { d.Segments[0].Copy = 4 * block },
		"that copies from 2^63 - x": func(d *deltas.Delta, _ *Leaves, _ *verity.Root) { d.Segments[0].Copy = 1<<63 - block },
	} {
		d2, from2, to2 := *d, from, to
		d2.Segments = slices.Clone(d.Segments)
		change(&d2, &from2, &to2)
		if _, err := OfDelta(&d2, from2, to2); err == nil {
			t.Errorf("a delta %s is laid out", name)
		}
	}
}

// BenchmarkLocate plans for 1 GB in chunks of 32 KiB, a third of which moved.
func BenchmarkLocate(b *testing.B) {
	const blocks = 1_000_000_000 / block
	hashes := make([]byte, int(blocks)*verity.HashSize)
	rand.NewChaCha8([32]byte{3}).Read(hashes)
	tree, err := verity.NewTree(hashes, salt)
	check(b, err)
	var out bytes.Buffer
	check(b, tree.Store(&out, [16]byte{}))
	leaves := Leaves{tree.Root(), bytes.NewReader(out.Bytes())}
	var cut []chunkindex.Chunk
	random := rand.New(rand.NewPCG(1, 2))
	for at := 0; at+8 < blocks; at += 8 {
		from := at
		if at/800%3 == 0 {
			from = random.IntN(blocks - 8)
		}
		piece := hashes[from*32 : (from+8)*32]
		cut = append(cut, chunkindex.Chunk{Offset: int64(at * block), Size: 8 * block, First: chunkindex.Tag(piece), Digest: chunkindex.DigestOf(piece)})
	}
	b.ReportAllocs()
	for b.Loop() {
		check(b, leaves.Check(context.Background()))
		old, err := Locate(context.Background(), cut, leaves)
		check(b, err)
		if slices.Contains(old, Absent) {
			b.Fatal("a chunk was not found")
		}
	}
}
