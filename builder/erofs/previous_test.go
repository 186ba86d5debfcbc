package erofs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests/filemap"
)

// system is the files of an image that changes from release to release.
type system map[string][]byte

func newSystem() system {
	s := system{}
	for i := range 600 {
		s[fmt.Sprintf("usr/lib/d%02d/file-%d", i%23, i)] = noise(i, 1+i*i%30_000)
	}
	for i := range 40 {
		s[fmt.Sprintf("etc/d/%d", i)] = noise(1000+i, 100+i)
	}
	return s
}

func (s system) tree(t testing.TB) *tree.Tree {
	all := tree.New()
	for path, content := range s {
		put(t, all, path, file(content))
	}
	link(t, all, "usr/lib/link", "etc/d/0")
	return all
}

// written is an image with its bytes.
type written struct {
	Image
	bytes []byte
}

// after writes the system as it follows a layout, and checks the image.
func (s system) after(t testing.TB, previous filemap.Layout) written {
	t.Helper()
	all := s.tree(t)
	w := write(t, all, previous)
	name := filepath.Join(t.TempDir(), "image.erofs")
	if err := os.WriteFile(name, w.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "fsck.erofs", name)
	w.checkLayout(t, all)
	return w
}

func write(t testing.TB, all *tree.Tree, previous filemap.Layout) written {
	t.Helper()
	config := testConfig
	config.Previous = previous
	var out bytes.Buffer
	image, err := Write(context.Background(), &out, all, config)
	if err != nil {
		t.Fatal(err)
	}
	return written{image, out.Bytes()}
}

// checkLayout compares the map of an image with what Read finds in it, and that
// with the tree.
func (w written) checkLayout(t testing.TB, all *tree.Tree) {
	t.Helper()
	layout, err := filemap.ParseLayout(w.Layout.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]filemap.Extent{}
	for _, e := range layout.Map() {
		places[e.Path] = e
	}
	got, err := Read(bytes.NewReader(w.bytes), "image")
	if err != nil {
		t.Fatal(err)
	}
	files, nodes := 0, map[*tree.Node]bool{}
	err = all.Walk(func(path string, want *tree.Node) error {
		n, ok := got.Lookup(path)
		if !ok || n.Kind != want.Kind || n.Mode != want.Mode || n.Content.Size != want.Content.Size {
			return fmt.Errorf("%s is %+v: want %+v", path, n, want)
		}
		if nodes[want] || n.Kind != tree.File || n.Content.Size == 0 {
			return nil
		}
		nodes[want] = true
		files++
		content := make([]byte, n.Content.Size)
		if _, err := want.Content.At.ReadAt(content, want.Content.Offset); err != nil && err != io.EOF {
			return err
		}
		e := places[path]
		if e.Offset != n.Content.Offset || e.Size != n.Content.Size {
			return fmt.Errorf("%s is at %d: the map says %+v", path, n.Content.Offset, e)
		}
		end := e.Offset + blocksOf(e.Size)*BlockSize
		if filled := w.bytes[e.Offset:end]; !bytes.Equal(bytes.TrimRight(filled, "\x00"), bytes.TrimRight(content, "\x00")) {
			return fmt.Errorf("%s has other content, or more than zeros behind it", path)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// fresh counts the blocks of w that old does not have anywhere, but for zeros.
func (w written) fresh(old written) int {
	has := map[string]bool{string(make([]byte, BlockSize)): true}
	for block := range slices.Chunk(old.bytes, BlockSize) {
		has[string(block)] = true
	}
	n := 0
	for block := range slices.Chunk(w.bytes, BlockSize) {
		if !has[string(block)] {
			n++
		}
	}
	return n
}

// moved counts the blocks that differ from what old has in their place.
func (w written) moved(old written) int {
	n := 0
	for at := 0; at < len(w.bytes); at += BlockSize {
		if at >= len(old.bytes) || !bytes.Equal(w.bytes[at:at+BlockSize], old.bytes[at:at+BlockSize]) {
			n++
		}
	}
	return n
}

func TestWithoutChangesTheImageStays(t *testing.T) {
	s := newSystem()
	first := s.after(t, nil)
	if again := s.after(t, first.Layout); !bytes.Equal(again.bytes, first.bytes) {
		t.Errorf("%d blocks differ", again.moved(first))
	}
}

func TestAChangedFileChangesItsBlocksAndItsInode(t *testing.T) {
	s := newSystem()
	first := s.after(t, nil)
	s["etc/d/7"] = noise(5000, 300)
	if n := s.after(t, first.Layout).moved(first); n != 2 {
		t.Errorf("%d blocks differ: want 2", n)
	}
	if n := s.after(t, nil).moved(first); n != 2 {
		t.Errorf("without the previous layout, %d blocks differ: want 2", n)
	}
	s["usr/lib/d07/file-7"] = noise(5001, 20_000) // of 49 bytes
	// Its 5 blocks, the inodes' two and the superblock.
	if n := s.after(t, first.Layout).fresh(first); n != 1+5+2+1 {
		t.Errorf("%d blocks are new: want 9", n)
	}
	delete(s, "usr/lib/d22/file-597") // the inode, and the names of its directory
	if n := s.after(t, first.Layout).fresh(first); n > 9+2 {
		t.Errorf("%d blocks are new: want at most 11", n)
	}
}

func TestARenamedFolderLeavesTheRestInPlace(t *testing.T) {
	s := newSystem()
	first := s.after(t, nil)
	next := system{}
	for path, content := range s {
		next[strings.Replace(path, "usr/lib/d05/", "usr/lib/moved/", 1)] = content
	}
	grown := "usr/lib/d06/" + strings.Repeat("n", 100)
	next[grown] = noise(1, 1)
	second := next.after(t, first.Layout)
	was := map[string]filemap.Node{}
	for _, n := range first.Layout {
		was[n.Path] = n
	}
	for _, n := range second.Layout {
		if old, ok := was[n.Path]; ok && n != old && n.Path != "." && n.Path != "usr/lib" && n.Path != "usr/lib/d06" {
			t.Errorf("%+v: was %+v", n, old)
		}
	}
	if second.Blocks > first.Blocks+4 {
		t.Errorf("%d blocks: want about as many as before, %d", second.Blocks, first.Blocks)
	}
}

func TestGapsStayFewOverManyReleases(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	s := newSystem()
	last := s.after(t, nil)
	anew, kept := 0, 0
	for release := range 20 {
		paths := make([]string, 0, len(s))
		for path := range s {
			paths = append(paths, path)
		}
		slices.Sort(paths)
		for _, path := range paths {
			switch random.IntN(25) {
			case 0:
				if path != "etc/d/0" {
					delete(s, path)
				}
			case 1:
				s[path] = noise(random.Int(), 1+random.IntN(40_000))
			case 2:
				s[fmt.Sprintf("%s-%d", path, release)] = noise(random.Int(), 1+random.IntN(20_000))
			}
		}
		next, without := s.after(t, last.Layout), write(t, s.tree(t), nil)
		if most := without.Blocks + without.Blocks/wasteShare + wasteBit + 2; next.Blocks > most {
			t.Errorf("release %d has %d blocks: want at most %d", release, next.Blocks, most)
		}
		if bytes.Equal(next.bytes, without.bytes) {
			anew++
		} else if next.moved(last) < without.moved(last)/2 {
			kept++
		}
		last = next
	}
	if kept < 10 {
		t.Errorf("%d of 20 releases resemble the one before more than without it, %d are new layouts: want 10", kept, anew)
	}
}
