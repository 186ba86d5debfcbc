package erofs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
)

func TestSameTreeGivesTheSameBytes(t *testing.T) {
	var first []byte
	for i := range 3 {
		name, _ := writeImage(t, everything(t))
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && !bytes.Equal(content, first) {
			t.Fatalf("image %d differs from the first", i)
		}
		first = content
	}
}

func TestContentsLieInTheOrderOfPathsAtBlocks(t *testing.T) {
	all := tree.New()
	paths := []string{
		"a", "a-", "b/c", "b/d/e", "b0", "etc-", "usr/bin/x", "usr/lib/modules-load.d/x", "usr/lib/y", "zz",
		"boot/z", "lib/modules/1/a", "usr/lib/modules/1/a", "usr/lib/sysimage/a", "var/x", "etc/a", "etc/z", "usr/lib/os-release", "usr/lib/proa/a",
	}
	for i, path := range append([]string{}, paths...) {
		put(t, all, path, file(noise(1000+i, 5000)))
	}
	name, _ := writeImage(t, all)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// "a" sorts before "a-" and "b" before "b0", so what is in b comes first. From
	// boot on, it is what changes with every release.
	for i := range paths {
		want := BlockSize + i*2*BlockSize
		if at := bytes.Index(content, noise(1000+i, 5000)); at != want {
			t.Errorf("content of %s at byte %d: want %d", paths[i], at, want)
		}
	}
}

func TestEmptyTreeIsAnImage(t *testing.T) {
	empty := tree.New()
	name, image := writeImage(t, empty)
	checkReadBack(t, name, empty)
	if image.Blocks != 2 || image.Inodes != 1 {
		t.Errorf("image %+v: want 2 blocks, 1 inode", image)
	}
}

// TestTheLastInodeMayEndWithItsBlock fills the first block of inodes to its end,
// and to a little less and more.
func TestTheLastInodeMayEndWithItsBlock(t *testing.T) {
	for files := 75; files < 95; files++ {
		for width := 3; width < 9; width++ {
			all := tree.New()
			for i := range files {
				put(t, all, fmt.Sprintf("%0*d", width, i), file(nil))
			}
			name, _ := writeImage(t, all)
			if out, err := exec.Command("fsck.erofs", "--extract="+filepath.Join(t.TempDir(), "root"), "--no-preserve", name).CombinedOutput(); err != nil {
				t.Fatalf("%d files, names of %d bytes: fsck.erofs: %v\n%s", files, width, err, out)
			}
		}
	}
}

// TestInlineDataNeverCrossesABlock puts inodes with every alignment of
// extended attributes, contents and names before block boundaries.
func TestInlineDataNeverCrossesABlock(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 8 {
		all := tree.New()
		for i := range 400 {
			path := fmt.Sprintf("d%02d/%d-%s", random.IntN(30), i, strings.Repeat("n", random.IntN(200)))
			var n *tree.Node
			switch random.IntN(4) {
			case 0:
				n = &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: strings.Repeat("t", 1+random.IntN(4095))}
			case 1:
				n = &tree.Node{Kind: tree.Directory, Mode: 0o755}
			default:
				n = file(noise(i, random.IntN(4500)))
			}
			if random.IntN(3) == 0 {
				n.Xattrs = map[string]string{"user.x": strings.Repeat("v", random.IntN(300)<<random.IntN(6))}
			}
			n.UID = uint32(random.IntN(2) * 70000)
			put(t, all, path, n)
		}
		name, _ := writeImage(t, all)
		checkReadBack(t, name, all)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

func TestLargeDirectoriesAndManyInodes(t *testing.T) {
	const names = 100_000
	all := tree.New()
	for i := range names {
		put(t, all, fmt.Sprintf("wide/%06d-%s", i, strings.Repeat("x", i%50)), &tree.Node{Kind: tree.File, Mode: 0o644})
	}
	put(t, all, "last", file([]byte("last")))
	link(t, all, "wide/~link", "last")
	name, image := writeImage(t, all)
	if image.Inodes != names+3 {
		t.Errorf("%d inodes: want %d", image.Inodes, names+3)
	}
	checkReadBack(t, name, all)
	listed := strings.Count(run(t, "dump.erofs", "--path=/wide", "--ls", name), "\n")
	if listed < names {
		t.Errorf("dump.erofs lists %d lines: want at least %d", listed, names)
	}
	if a, b := dumped(t, name, "/last"), dumped(t, name, "/wide/~link"); a[1] != b[1] {
		t.Errorf("nid %s and %s: want the same", a[1], b[1])
	}
}

func TestMoreThan65535LinksToOneFile(t *testing.T) {
	const links = 70_000
	all := tree.New()
	put(t, all, "d/000000", file([]byte("shared")))
	for i := 1; i < links; i++ {
		link(t, all, fmt.Sprintf("d/%06d", i), "d/000000")
	}
	name, image := writeImage(t, all)
	if got := dumped(t, name, "/d/069999"); image.Inodes != 3 || got[2] != fmt.Sprint(links) {
		t.Errorf("%d inodes, %s links: want 3 and %d", image.Inodes, got[2], links)
	}
}
