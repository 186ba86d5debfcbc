package erofs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

const testEpoch = 1700000000

var testConfig = Config{
	UUID:  [16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 1},
	Epoch: testEpoch,
}

func put(t testing.TB, to *tree.Tree, path string, n *tree.Node) {
	t.Helper()
	n.Source = "test"
	if err := to.Put(path, n); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, to *tree.Tree, path, target string) {
	t.Helper()
	if err := to.Link(path, target); err != nil {
		t.Fatal(err)
	}
}

// file is a node with the content, kept in the middle of something longer.
func file(content []byte) *tree.Node {
	kept := slices.Concat([]byte("before"), content, []byte("after"))
	return &tree.Node{
		Kind: tree.File, Mode: 0o644,
		Content: tree.Content{At: bytes.NewReader(kept), Offset: 6, Size: int64(len(content))},
	}
}

// noise is size bytes that no other seed gives.
func noise(seed, size int) []byte {
	b := make([]byte, size)
	state := uint32(seed)*2654435761 + 1
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return b
}

// writeImage writes the tree's image and checks what holds for every image:
// its size, and that fsck.erofs finds nothing.
func writeImage(t testing.TB, from *tree.Tree) (string, Image) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.erofs")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := Write(context.Background(), f, from, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != image.Size || image.Size != int64(image.Blocks)*BlockSize || image.Blocks < 2 {
		t.Errorf("file of %d bytes, image %+v: want the same, in whole blocks, at least two", info.Size(), image)
	}
	run(t, "fsck.erofs", name)
	return name, image
}

// run returns the output of a tool that must succeed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := tool(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tool runs one of erofs-utils. They may report an error, such as a wrong
// checksum, and still exit 0.
func tool(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err == nil && bytes.Contains(out, []byte("<E>")) {
		err = errors.New("reported an error")
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// checkReadBack compares every name in the image, read by go-erofs, with the
// tree.
func checkReadBack(t *testing.T, name string, want *tree.Tree) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	image, err := Open(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	names, links, inodes := 0, map[*tree.Node]int{}, map[*tree.Node]int64{}
	walk(t, want, func(_ string, n *tree.Node) { links[n]++ })
	walk(t, want, func(path string, n *tree.Node) {
		names++
		info, err := lstat(image, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		stat, err := StatOf(info)
		if err != nil {
			t.Fatal(err)
		}
		got := describe(t, image, path, stat)
		if want := describeNode(t, n); got != want {
			t.Errorf("%.80q:\n got %.300s\nwant %.300s", path, got, want)
		}
		if stat.Mtime != testEpoch || stat.MtimeNs != 0 {
			t.Errorf("%.80q: time %d.%d: want %d", path, stat.Mtime, stat.MtimeNs, testEpoch)
		}
		if inode, seen := inodes[n]; seen && inode != stat.Ino {
			t.Errorf("%.80q: inode %d: want its other name's, %d", path, stat.Ino, inode)
		}
		inodes[n] = stat.Ino
		if n.Kind != tree.Directory && stat.Nlink != links[n] {
			t.Errorf("%.80q: %d links: want %d", path, stat.Nlink, links[n])
		}
	})
	if distinct := slices.Compact(slices.Sorted(maps.Values(inodes))); len(distinct) != len(inodes) {
		t.Errorf("%d inode numbers: want %d", len(distinct), len(inodes))
	}
	found := 0
	if err := fs.WalkDir(image, ".", func(string, fs.DirEntry, error) error { found++; return nil }); err != nil || found != names {
		t.Errorf("%d names in the image, %v: want %d", found, err, names)
	}
}

func walk(t *testing.T, from *tree.Tree, fn func(string, *tree.Node)) {
	t.Helper()
	if err := from.Walk(func(path string, n *tree.Node) error { fn(path, n); return nil }); err != nil {
		t.Fatal(err)
	}
}

func lstat(image fs.FS, path string) (fs.FileInfo, error) {
	return image.(interface {
		Lstat(string) (fs.FileInfo, error)
	}).Lstat(path)
}

func describe(t *testing.T, image fs.FS, path string, stat Stat) string {
	text := fmt.Sprintf("%s %d:%d rdev %#x", modeText(stat.Mode), stat.UID, stat.GID, stat.Rdev)
	switch {
	case stat.Mode.IsRegular():
		content, err := fs.ReadFile(image, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		text += fmt.Sprintf(" content %x", content)
	case stat.Mode&fs.ModeSymlink != 0:
		target, err := image.(fs.ReadLinkFS).ReadLink(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		text += " to " + target
	}
	return text + fmt.Sprintf(" %q", stat.Xattrs)
}

// modeText is a mode as kind and Unix bits.
func modeText(mode fs.FileMode) string {
	unix := uint32(mode.Perm())
	for bit, mask := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&mask != 0 {
			unix |= bit
		}
	}
	return fmt.Sprintf("%s %04o", mode.Type().String()[:1], unix)
}

func nodeModeText(n *tree.Node) string {
	kind := map[tree.Kind]string{
		tree.File: "-", tree.Directory: "d", tree.Symlink: "L", tree.CharDevice: "D", tree.BlockDevice: "D",
		tree.FIFO: "p", tree.Socket: "S",
	}[n.Kind]
	return fmt.Sprintf("%s %04o", kind, n.Mode)
}

func describeNode(t *testing.T, n *tree.Node) string {
	text := fmt.Sprintf("%s %d:%d rdev %#x", nodeModeText(n), n.UID, n.GID, encodeDevice(n.Device))
	switch n.Kind {
	case tree.File:
		content := make([]byte, n.Content.Size)
		if n.Content.Size > 0 {
			if _, err := n.Content.At.ReadAt(content, n.Content.Offset); err != nil {
				t.Fatal(err)
			}
		}
		text += fmt.Sprintf(" content %x", content)
	case tree.Symlink:
		text += " to " + n.Target
	}
	xattrs := map[string]string{}
	maps.Copy(xattrs, n.Xattrs)
	return text + fmt.Sprintf(" %q", xattrs)
}

var dumpFields = regexp.MustCompile(`(?s)On-disk size: \d+ +([A-Za-z ]+)\n.*NID: (\d+) +Links: (\d+).*Uid: (\d+) +Gid: (\d+) +Access: (\d+)/.*Timestamp: (.*)\n`)

// dumped is what dump.erofs says of a path: "kind nid links uid gid mode".
func dumped(t *testing.T, image, path string) []string {
	t.Helper()
	out := run(t, "dump.erofs", "--path="+path, image)
	fields := dumpFields.FindStringSubmatch(out)
	if fields == nil {
		t.Fatalf("dump.erofs of %s:\n%s", path, out)
	}
	if !strings.HasPrefix(fields[7], "2023-11-14") {
		t.Errorf("%s: time %s: want the epoch, 2023-11-14 22:13:20 UTC", path, fields[7])
	}
	return fields[1:7]
}
