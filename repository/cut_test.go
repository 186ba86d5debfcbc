package repository

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/manifests/filemap"
)

func TestCutsAreWhereFilesBeginAndEnd(t *testing.T) {
	const k = 1 << 10
	file := func(offset, size int64) filemap.Extent { return filemap.Extent{Offset: offset, Size: size} }
	for name, test := range map[string]struct {
		files filemap.Map
		size  int64
		want  []int64
	}{
		"no files known":           {nil, 2*pieceMost + 4*k, []int64{pieceMost, pieceMost, 4 * k}},
		"metadata in small pieces": {filemap.Map{file(4*k, 100*k)}, 144 * k, []int64{4 * k, 100 * k, metadataPiece, metadataPiece, 40*k - 2*metadataPiece}},
		"a long file in pieces":    {filemap.Map{file(0, 2*pieceMost+1)}, 2*pieceMost + 8*k, []int64{pieceMost, pieceMost, 4 * k, 4 * k}},
		"small files in groups":    {filemap.Map{file(0, 10), file(4*k, 20*k), file(24*k, 103*k), file(128*k, 1)}, 132 * k, []int64{128 * k, 4 * k}},
		"a long file in no group":  {filemap.Map{file(0, 10), file(4*k, 129*k), file(136*k, 1)}, 140 * k, []int64{4 * k, 132 * k, 4 * k}},
		"a gap ends a group":       {filemap.Map{file(0, 10), file(8*k, 10)}, 12 * k, []int64{4 * k, 4 * k, 4 * k}},
	} {
		if got := cut(test.files, test.size, nil); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// However files lie, chunks tile the image, and none begins within a file that is
// no longer than a group, nor has a part of a long file and something else.
func TestChunksTileTheImageAndRespectFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var files filemap.Map
		at := int64(0)
		for range random.IntN(100) {
			at += random.Int64N(3) * random.Int64N(10) * 4096
			size := 1 + random.Int64N(1<<(10+random.IntN(13)))
			files = append(files, filemap.Extent{Offset: at, Size: size, Path: fmt.Sprint(at)})
			at += (size + 4095) / 4096 * 4096
		}
		size := at + 4096*(1+random.Int64N(20))
		begins := map[int64]bool{}
		offset := int64(0)
		for _, s := range cut(files, size, nil) {
			if s <= 0 || s%4096 != 0 || s > pieceMost {
				t.Fatalf("a chunk of %d bytes", s)
			}
			begins[offset] = true
			offset += s
		}
		if offset != size {
			t.Fatalf("chunks of %d bytes for an image of %d", offset, size)
		}
		for _, f := range files {
			end := f.Offset + (f.Size+4095)/4096*4096
			for at := f.Offset + 4096; at < end && end-f.Offset <= groupMost; at += 4096 {
				if begins[at] {
					t.Fatalf("a chunk begins at %d, within a file from %d to %d", at, f.Offset, end)
				}
			}
			if end-f.Offset > groupMost && (!begins[f.Offset] || !begins[end] && end < size) {
				t.Fatalf("a long file from %d to %d shares a chunk", f.Offset, end)
			}
		}
	}
}

func TestVeryManyFilesMakeLargerGroups(t *testing.T) {
	const blocks = 40 << 18
	files := make(filemap.Map, 0, blocks)
	for n := int64(0); n < blocks; n += 9 {
		files = append(files, filemap.Extent{Offset: n * 4096, Size: 9 * 4096})
	}
	end := (files[len(files)-1].Offset + 9*4096)
	if n := len(cut(files, end, nil)); n > chunkindex.ChunksMost || n < chunkindex.ChunksMost/8 {
		t.Errorf("%d chunks", n)
	}
}

// A host that has one of two older images finds all of a chunk there or nothing.
func TestChunksAreWholeOrAbsentInOlderImages(t *testing.T) {
	hashes := func(blocks ...byte) leafHashes {
		var l leafHashes
		for _, b := range blocks {
			l = append(l, bytes.Repeat([]byte{b}, 32)...)
		}
		return l
	}
	image := hashes(1, 2, 3, 90, 91, 4, 5, 92, 1, 7, 8)
	places := [][]int{
		image.placesIn(hashes(1, 2, 3, 4, 5, 0, 6, 7, 8)),
		image.placesIn(hashes(9, 1, 2, 3, 91, 4, 5)),
	}
	if want := []int{0, 1, 2, -1, -1, 3, 4, -1, 0, 7, 8}; !slices.Equal(places[0], want) {
		t.Errorf("places %v, want %v", places[0], want)
	}
	var got []int64
	for _, s := range cut(filemap.Map{{Offset: 0, Size: 11 * 4096}}, 11*4096, places) {
		got = append(got, s/4096)
	}
	// 123, 90 in none, 91 in the second, 45, 92 in none, 1 from elsewhere, 78.
	if want := []int64{3, 1, 1, 2, 1, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("chunks of %v blocks, want %v", got, want)
	}
}

func TestNeighboursThatWereApartAreInChunksOfTheirOwn(t *testing.T) {
	places := [][]int{{0, 1, 4, 5}}
	if got := cut(filemap.Map{{Offset: 0, Size: 4 * 4096}}, 4*4096, places); !slices.Equal(got, []int64{8192, 8192}) {
		t.Errorf("chunks of %v bytes, want two of two blocks", got)
	}
	// What is left of a file is one still.
	places = [][]int{nil}
	for n := range 20 {
		places[0] = append(places[0], n+n/10)
	}
	if got := cut(filemap.Map{{Offset: 0, Size: 20 * 4096}}, 20*4096, places); !slices.Equal(got, []int64{40960, 40960}) {
		t.Errorf("chunks of %v bytes, want the halves of the file", got)
	}
}

// Where an older image has been shuffled, all of its blocks would be chunks.
func TestOlderImagesThatMakeTooManyChunksDoNotCount(t *testing.T) {
	const blocks = chunkindex.ChunksMost + 100
	whole, shuffled := make([]int, blocks), make([]int, blocks)
	for n := range blocks {
		whole[n], shuffled[n] = n, blocks-n
	}
	whole[blocks-1] = -1
	sizes := cut(nil, blocks*4096, [][]int{whole, shuffled})
	if n := len(sizes); n > blocks/256+2 || sizes[n-1] != 4096 {
		t.Errorf("%d chunks, the last of %d bytes: want pieces, and the last block alone", n, sizes[n-1])
	}
}

func TestPlacesGoOnBehindTheBlockBefore(t *testing.T) {
	block := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	old := leafHashes(slices.Concat(block(0), block(5), block(0), block(0), block(6)))
	image := leafHashes(slices.Concat(block(5), block(0), block(0), block(6), block(0), block(9)))
	if got, want := image.placesIn(old), []int{1, 2, 3, 4, 0, -1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
