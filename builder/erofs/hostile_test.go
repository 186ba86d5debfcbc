package erofs

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests/filemap"
)

// TestAnyPreviousLayoutGivesARightImage has layouts that no build wrote.
func TestAnyPreviousLayoutGivesARightImage(t *testing.T) {
	s := newSystem()
	first := s.after(t, nil)
	for what, change := range map[string]func(k int, n *filemap.Node){
		"far away":          func(k int, n *filemap.Node) { n.Offset += 1 << 43; n.Number += 1 << 38 },
		"root far away":     func(k int, n *filemap.Node) { n.Number += 1 << 16 },
		"one far away":      func(k int, n *filemap.Node) { n.Number += int64(k/1000) << 38; n.Offset += int64(k/630) << 43 },
		"superblock":        func(k int, n *filemap.Node) { n.Offset -= BlockSize; n.Number -= 127 },
		"across blocks":     func(k int, n *filemap.Node) { n.Number++ },
		"all in one place":  func(k int, n *filemap.Node) { n.Offset, n.Number = 4096, 128 },
		"negative":          func(k int, n *filemap.Node) { n.Offset, n.Number = math.MinInt64, math.MinInt64 },
		"without numbers":   func(k int, n *filemap.Node) { n.Number, n.Slots = 0, 0 },
		"larger than it is": func(k int, n *filemap.Node) { n.Slots, n.Size = math.MaxInt32, math.MaxInt64/2 },
	} {
		layout := slices.Clone(first.Layout)
		for k := range layout {
			change(k, &layout[k])
		}
		if got := s.after(t, layout); got.Blocks > first.Blocks+first.Blocks/wasteShare+2*wasteBit {
			t.Errorf("%s: %d blocks: want about %d", what, got.Blocks, first.Blocks)
		}
		if t.Failed() {
			t.Fatal(what)
		}
	}
}

// TestKeptInodesAreWhereTheyMayBe has previous places from which an inode could
// not be read.
func TestKeptInodesAreWhereTheyMayBe(t *testing.T) {
	s := newSystem()
	number := int64(3*slotsPerBlock - 5) // its names would lie in two blocks
	moved := s.after(t, filemap.Layout{{Extent: filemap.Extent{Path: "usr/lib/d00"}, Number: number, Slots: 100}})
	for _, n := range moved.Layout {
		if n.Path == "usr/lib/d00" && (n.Slots < 6 || n.Number == number) {
			t.Errorf("%+v: want a directory of 6 slots or more, in one block", n)
		}
	}

	// The superblock has 16 bits for the root directory's number.
	all := tree.New()
	for i := range rootNumberMost + 1000 {
		put(t, all, fmt.Sprintf("%03d/%d", i/500, i), file(nil))
	}
	for _, previous := range []filemap.Layout{
		{{Extent: filemap.Extent{Path: "."}, Number: 521 * slotsPerBlock, Slots: 128}}, // behind the others
		{{Extent: filemap.Extent{Path: "."}, Number: 128, Slots: 1}},                   // the root is larger now
	} {
		for i := range rootNumberMost + 1000 {
			previous = append(previous, filemap.Node{Extent: filemap.Extent{Path: fmt.Sprintf("%03d/%d", i/500, i)}, Number: int64(129 + i), Slots: 1})
		}
		image := write(t, all, previous)
		got, err := Read(bytes.NewReader(image.bytes), "image")
		if err != nil {
			t.Fatal(err)
		}
		root := image.Layout[slices.IndexFunc(image.Layout, func(n filemap.Node) bool { return n.Path == "." })]
		if _, ok := got.Lookup("100/50000"); !ok || root.Number > rootNumberMost {
			t.Errorf("the root directory is %+v: want a number of 16 bits, and all files", root)
		}
	}
}

func FuzzPrevious(f *testing.F) {
	s := system{"etc/d/0": noise(1, 5000), "etc/d/1": noise(2, 50), "usr/bin/a": noise(3, 9000), "usr/bin/b": noise(4, 1)}
	all := s.tree(f)
	put(f, all, "usr/xattrs", &tree.Node{Kind: tree.Directory, Mode: 0o755, Xattrs: map[string]string{"user.a": strings.Repeat("v", 5000)}})
	f.Add(write(f, all, nil).Layout.Append(nil))
	f.Add([]byte("proa root map 1\n1 1 65535 1 etc/d/1\n5 9000 1 1 usr/bin/a\n0 0 200 300 .\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		layout, err := filemap.ParseLayout(data)
		if err != nil {
			return
		}
		write(t, all, layout).checkLayout(t, all)
	})
}
