package verity

import (
	"bytes"
	"context"
	"testing"
)

func BenchmarkLeafHashes(b *testing.B) {
	data := image(256)
	b.SetBytes(int64(len(data)))
	leaves := make([]byte, 0, 256*HashSize)
	for b.Loop() {
		LeafHashes(leaves, testSalt(), data)
	}
}

func BenchmarkHashImage(b *testing.B) {
	const blocks = 16384
	r := bytes.NewReader(image(blocks))
	b.SetBytes(blocks * BlockSize)
	for b.Loop() {
		if _, err := HashImage(context.Background(), r, blocks, testSalt(), 0, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTree(b *testing.B) {
	leaves := make([]byte, 16384*HashSize)
	b.SetBytes(int64(len(leaves)))
	for b.Loop() {
		if _, err := NewTree(leaves, testSalt()); err != nil {
			b.Fatal(err)
		}
	}
}
