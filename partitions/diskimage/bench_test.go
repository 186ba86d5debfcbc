package diskimage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// BenchmarkWrite makes a disk with a root image of 512 MiB, which the kernel
// copies ("file") or this process does ("reader").
func BenchmarkWrite(b *testing.B) {
	const size = 512 * mib
	folder := b.TempDir()
	root, err := os.Create(filepath.Join(folder, "root"))
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	piece := noise("root", mib)
	for at := int64(0); at < size; at += mib {
		if _, err := root.WriteAt(piece, at); err != nil {
			b.Fatal(err)
		}
	}
	config := testConfig(b, 256*mib)
	config.UKI = source(noise("uki", 40*mib))
	config.Layout, err = partitions.Plan("test", "amd64", partitions.Sizes{ESP: 256 * mib, Root: size, Verity: 8 * mib, Var: mib})
	if err != nil {
		b.Fatal(err)
	}
	for name, reader := range map[string]Source{
		"file":   {root, size},
		"reader": {struct{ *os.File }{root}, size},
	} {
		b.Run(name, func(b *testing.B) {
			config.Root = reader
			b.SetBytes(size)
			for b.Loop() {
				file, err := os.Create(filepath.Join(folder, "disk.raw"))
				if err != nil {
					b.Fatal(err)
				}
				if err := Write(b.Context(), file, config); err != nil {
					b.Fatal(err)
				}
				file.Close()
			}
		})
	}
}
