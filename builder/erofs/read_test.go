package erofs

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

func lines(t *testing.T, of *tree.Tree) []string {
	t.Helper()
	list, err := treetest.List(of)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func compareTrees(t *testing.T, got, want *tree.Tree) {
	t.Helper()
	a, b := lines(t, got), lines(t, want)
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Fatalf("line %d of %d and %d differs:\n%.300q\n%.300q", i, len(a), len(b), a[min(i, len(a)-1)], b[min(i, len(b)-1)])
		}
	}
}

func TestReadIsTheInverseOfWrite(t *testing.T) {
	all := everything(t)
	name, _ := writeImage(t, all)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(content), "image")
	if err != nil {
		t.Fatal(err)
	}
	compareTrees(t, got, all)
	again, _ := writeImage(t, got)
	second, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(second, content) {
		t.Error("what was read is written as other bytes")
	}
}

func TestADirectoryOfManyBlocksIsReadWhole(t *testing.T) {
	all := tree.New()
	for i := range 5000 {
		put(t, all, "d/"+strings.Repeat("x", i%90)+string(rune('a'+i%26))+"-"+strings.Repeat("y", i/90), file(noise(i, i%7)))
	}
	name, _ := writeImage(t, all)
	image, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	got, err := Read(image, "image")
	if err != nil {
		t.Fatal(err)
	}
	compareTrees(t, got, all)
}

// TestImagesOfMkfsAreRead has what our own images lack: tails behind the inode
// after whole blocks.
func TestImagesOfMkfsAreRead(t *testing.T) {
	folder := t.TempDir()
	sparse := make([]byte, 200_000)
	copy(sparse[131072:], noise(3, 5000))
	contents := map[string][]byte{"tail": noise(1, 10_000), "small": noise(2, 100), "sparse": sparse, "empty": nil, "even": noise(4, 8192)}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{}, {"-Enoinline_data"}, {"-Eforce-inode-extended"}} {
		name := filepath.Join(t.TempDir(), "mkfs.erofs")
		if _, err := tool("mkfs.erofs", slices.Concat(args, []string{name, folder})...); err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(bytes.NewReader(image), "image")
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		for path, want := range contents {
			n, ok := got.Lookup(path)
			if !ok || n.Mode != 0o640 || n.Content.Size != int64(len(want)) {
				t.Fatalf("%v: %s is %+v", args, path, n)
			}
			content := make([]byte, len(want))
			if len(want) > 0 {
				if _, err := io.ReadFull(n.Content.Open(), content); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(content, want) {
				t.Errorf("%v: %s has other content", args, path)
			}
			for range 50 { // from anywhere
				from := rand.IntN(len(want) + 1)
				part := make([]byte, rand.IntN(len(want)-from+1))
				if len(part) == 0 {
					continue
				}
				if _, err := n.Content.At.ReadAt(part, n.Content.Offset+int64(from)); err != nil && err != io.EOF || !bytes.Equal(part, want[from:from+len(part)]) {
					t.Fatalf("%v: %s: %d bytes at %d differ (%v)", args, path, len(part), from, err)
				}
			}
		}
	}
}

func TestContentInPiecesHasItsHoles(t *testing.T) {
	p := &pieces{strings.NewReader("0123456789"), []goerofs.DataRange{{Offset: 4, Size: 3}, {Offset: -1, Size: 2}, {Offset: 0, Size: 2}}, []int64{3, 5, 7}}
	want := "456\x00\x0001"
	for from := range len(want) {
		for to := from + 1; to <= len(want); to++ {
			part := bytes.Repeat([]byte("x"), to-from)
			if n, err := p.ReadAt(part, int64(from)); n != to-from || err != nil || string(part) != want[from:to] {
				t.Errorf("%d to %d: %q, %v", from, to, part[:n], err)
			}
		}
	}
	if n, err := p.ReadAt(make([]byte, 3), 6); n != 1 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// One after the other, the reads would take half an hour if each looked at
// all pieces before it.
func TestPiecesAreFoundWithoutLookingAtAllOfThem(t *testing.T) {
	const count = 1 << 20
	p := &pieces{strings.NewReader("0"), make([]goerofs.DataRange, count), make([]int64, count)}
	for i := range count {
		p.ranges[i], p.ends[i] = goerofs.DataRange{Size: 1}, int64(i+1)
	}
	one := make([]byte, 1)
	for i := range 4 * count {
		if n, err := p.ReadAt(one, int64(i%count)); n != 1 || err != nil || one[0] != '0' {
			t.Fatalf("at %d: %q, %v", i%count, one[:n], err)
		}
	}
}

func TestWhatNoImageMaySayIsRefused(t *testing.T) {
	all := tree.New()
	put(t, all, "a/f", file(noise(1, 9000)))
	put(t, all, "b/g", file(noise(2, 9000)))
	name, _ := writeImage(t, all)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for rule, change := range map[string]func(b []byte) []byte{
		"magic":           func(b []byte) []byte { b[sbMagic]++; return b },
		"ends before":     func(b []byte) []byte { return b[:len(b)-1] },
		"superblock":      func(b []byte) []byte { return b[:1100] },
		"0 blocks":        func(b []byte) []byte { binary.LittleEndian.PutUint32(b[sbBlocks:], 0); return b },
		"blocks of 2^":    func(b []byte) []byte { b[sbOffset+12] = 40; return b },
		"of an image of":  func(b []byte) []byte { return contentBeyond(t, b) },
		"names in order":  func(b []byte) []byte { return renamed(t, b, "..ab", "..ba") },
		"without slashes": func(b []byte) []byte { return renamed(t, b, "..ab", "..a/") },
		"two names":       func(b []byte) []byte { return loop(t, b) },
	} {
		_, err := Read(bytes.NewReader(change(bytes.Clone(good))), "image")
		if err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("error %v: want %q in it", err, rule)
		}
	}
}

func renamed(t *testing.T, image []byte, from, to string) []byte {
	at := bytes.LastIndex(image, []byte(from))
	if at < 0 {
		t.Fatalf("no directory with %q", from)
	}
	copy(image[at:], to)
	return image
}

// loop makes the entry of b in the root directory that of the root itself.
func loop(t *testing.T, image []byte) []byte {
	at := bytes.LastIndex(image, []byte("...ab")) // "." , "..", "a", "b"
	start := at - 4*direntSize
	if at < 0 || image[start+direntNameOffset] != 4*direntSize {
		t.Fatal("the root directory is not where it was expected")
	}
	copy(image[start+3*direntSize:start+3*direntSize+8], image[start:start+8])
	return image
}

// contentBeyond moves the content of a file behind the image.
func contentBeyond(t *testing.T, image []byte) []byte {
	meta := (int(binary.LittleEndian.Uint32(image[sbMetaBlock:])) + 1) * BlockSize
	for at := meta; at+slotSize <= len(image); at += slotSize {
		if binary.LittleEndian.Uint32(image[at+8:]) == 9000 { // i_size
			binary.LittleEndian.PutUint32(image[at+16:], uint32(len(image)/BlockSize-2))
			return image
		}
	}
	t.Fatal("no inode of 9000 bytes")
	return nil
}

func FuzzRead(f *testing.F) {
	small := tree.New()
	node := file([]byte("content"))
	node.Xattrs = map[string]string{"user.a": "b", "security.capability": "cap"}
	for _, p := range []struct {
		path string
		node *tree.Node
	}{
		{"d/f", node}, {"d/g", node}, {"d/big", file(noise(1, 5000))},
		{"l", &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "d/f"}},
		{"null", &tree.Node{Kind: tree.CharDevice, Mode: 0o666, Device: tree.Device{Major: 1, Minor: 3}}},
	} {
		put(f, small, p.path, p.node)
	}
	name := filepath.Join(f.TempDir(), "image")
	out, err := os.Create(name)
	if err != nil {
		f.Fatal(err)
	}
	defer out.Close()
	if _, err := Write(context.Background(), out, small, testConfig); err != nil {
		f.Fatal(err)
	}
	image, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	// Most of an image is zeros: the fuzzer changes what is not.
	f.Add(uint32(0), []byte{}, uint32(0), []byte{})
	meta := (binary.LittleEndian.Uint32(image[sbMetaBlock:]) + 1) * BlockSize
	f.Add(meta, []byte{1, 0, 1, 0, 0xff, 0xff}, uint32(sbOffset+12), []byte{9})
	f.Add(meta+64, bytes.Repeat([]byte{0xff}, 32), meta+8, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, at1 uint32, change1 []byte, at2 uint32, change2 []byte) {
		b := bytes.Clone(image)
		copy(b[int(at1)%len(b):], change1)
		copy(b[int(at2)%len(b):], change2)
		got, err := Read(bytes.NewReader(b), "image")
		if err != nil {
			return
		}
		err = got.Walk(func(path string, n *tree.Node) error {
			if n.Kind == tree.File && n.Content.Size > 0 {
				if n.Content.Size > 16*int64(len(b)) {
					return nil
				}
				if k, err := io.Copy(io.Discard, n.Content.Open()); err != nil || k != n.Content.Size {
					t.Errorf("%q: %d of %d bytes, %v", path, k, n.Content.Size, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
