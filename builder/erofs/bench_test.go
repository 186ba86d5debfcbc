package erofs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

// BenchmarkWrite writes 20,000 files of 370 MB in all, about what a small
// Debian root has.
func BenchmarkWrite(b *testing.B) {
	all := tree.New()
	shared := bytes.NewReader(noise(1, 4<<20))
	var total int64
	for i := range 20_000 {
		size := int64(i*i%9001) + int64(i%100/99)*1_400_000
		total += size
		put(b, all, fmt.Sprintf("usr/d%03d/file-%05d", i%300, i), &tree.Node{
			Kind: tree.File, Mode: 0o644, Content: tree.Content{At: shared, Offset: int64(i), Size: size},
		})
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "image.erofs"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(total)
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Truncate(0); err != nil {
			b.Fatal(err)
		}
		if _, err := f.Seek(0, 0); err != nil {
			b.Fatal(err)
		}
		if _, err := Write(context.Background(), f, all, testConfig); err != nil {
			b.Fatal(err)
		}
	}
}
