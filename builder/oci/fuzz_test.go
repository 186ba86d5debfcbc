package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
)

// FuzzLayers gives the layers the digests they have, so that what is inside
// gets fuzzed.
func FuzzLayers(f *testing.F) {
	file := tartest.File
	for _, upper := range [][]byte{
		tartest.Archive(file(".wh.a", ""), file("d/.wh..wh..opq", ""), tartest.Hardlink("h", "a")),
		tartest.Archive(tartest.Symlink("d", "/"), file("d/x", "2"), file("d/.wh.a", "")),
		tartest.Archive(file("lib/.wh.x", ""), tartest.Dir("lib"), file("lib/.wh..wh..opq", "")),
	} {
		f.Add(tartest.Archive(file("a", "1"), file("d/b", "1"), tartest.Symlink("lib", "usr/lib"), file("lib/x", "1")), upper)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		store, err := content.NewBounded(dir, content.Limits{Spool: 8 << 20, Expanded: 8 << 20, Ratio: 100, Free: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		from := map[string][]byte{"lower": lower, "upper": upper}
		var layers []layer
		for _, name := range []string{"lower", "upper"} {
			id := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(from[name]))}
			open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(from[name])), nil }
			layers = append(layers, layer{name: name, open: open, diffID: id})
		}
		rootfs, err := flatten(t.Context(), store, layers, Config{Name: "fuzz"})
		if err != nil {
			return
		}
		err = rootfs.Walk(func(path string, _ *tree.Node) error {
			_, err := tree.Clean(path)
			return err
		})
		if err != nil {
			t.Errorf("outside: %v", err)
		}
		if err := tree.New().Merge(rootfs); err != nil {
			t.Errorf("merging into an empty tree: %v", err)
		}
	})
}
