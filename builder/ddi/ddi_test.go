package ddi

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions/verity"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes an image of a file system that mkfs.erofs made of a folder.
func create(t testing.TB, arch string) (path string, root verity.Root) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"usr/share/hello": strings.Repeat("hello\n", 2000),
		"usr/lib/extension-release.d/extension-release.ext": "ID=_any\n",
	} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, "tree", name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, "tree", name), []byte(text), 0o644))
	}
	run(t, "mkfs.erofs", "-T0", "-U", "11111111-1111-1111-1111-111111111111", filepath.Join(dir, "fs"), filepath.Join(dir, "tree"))
	content, err := os.ReadFile(filepath.Join(dir, "fs"))
	check(t, err)
	path = filepath.Join(dir, "ext.raw")
	file, err := os.Create(path)
	check(t, err)
	defer file.Close()
	root, err = Create(t.Context(), file, Config{
		Arch: arch, Seed: "test", Salt: bytes.Repeat([]byte{7}, 32), UUID: [16]byte{1},
		Write: func(w io.Writer) (int64, error) { n, err := w.Write(content); return int64(n), err },
	})
	check(t, err)
	return path, root
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestSystemdFindsAnExtensionByItsRootHash(t *testing.T) {
	path, root := create(t, "amd64")
	out := run(t, "systemd-dissect", "--no-pager", "--json=short", "--root-hash="+hex.EncodeToString(root.Hash[:]), path)
	for _, want := range []string{`"fstype":"erofs"`, `"rw":"ro","designator":"root"`, `"designator":"root-verity"`, `"verity":"yes"`, `"useSystemExtension":true`, `"ID=_any"`} {
		if !strings.Contains(out, want) {
			t.Errorf("systemd-dissect does not say %s:\n%s", want, out)
		}
	}
	other := root.Hash
	other[0]++
	if out, err := exec.Command("systemd-dissect", "--root-hash="+hex.EncodeToString(other[:]), path).CombinedOutput(); err == nil {
		t.Errorf("systemd-dissect finds another root hash:\n%s", out)
	}
}

func TestTheTableIsWhole(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		path, _ := create(t, arch)
		if out := run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
			t.Errorf("sgdisk -v:\n%s", out)
		}
	}
}

func TestVeritysetupAcceptsTheHashTree(t *testing.T) {
	path, root := create(t, "amd64")
	image := open(t, path, root.Hash)
	dir := t.TempDir()
	for name, part := range map[string]*io.SectionReader{"data": image.Data, "tree": image.Tree} {
		content, err := io.ReadAll(part)
		check(t, err)
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	run(t, "veritysetup", "verify", filepath.Join(dir, "data"), filepath.Join(dir, "tree"), hex.EncodeToString(root.Hash[:]))
}

func open(t testing.TB, path string, hash [32]byte) Image {
	t.Helper()
	content, err := os.ReadFile(path)
	check(t, err)
	image, err := Open(bytes.NewReader(content), int64(len(content)), "amd64", hash)
	check(t, err)
	return image
}

func TestTheSameContentGivesTheSameImage(t *testing.T) {
	first, root := create(t, "amd64")
	second, again := create(t, "amd64")
	run(t, "cmp", first, second)
	if root.Hash != again.Hash {
		t.Errorf("root hashes %x and %x", root.Hash, again.Hash)
	}
}

func TestAChangedImageIsNotTheOneThatItsRootHashNames(t *testing.T) {
	path, root := create(t, "amd64")
	check(t, open(t, path, root.Hash).Verify(t.Context(), nil))
	content, err := os.ReadFile(path)
	check(t, err)

	other := root.Hash
	other[0]++
	if _, err := Open(bytes.NewReader(content), int64(len(content)), "amd64", other); err == nil {
		t.Error("another root hash opens it")
	}
	if _, err := Open(bytes.NewReader(content), int64(len(content)), "arm64", root.Hash); err == nil {
		t.Error("it opens as one of another architecture")
	}
	content[start+1100]++
	image, err := Open(bytes.NewReader(content), int64(len(content)), "amd64", root.Hash)
	check(t, err)
	var corrupt *verity.CorruptError
	if err := image.Verify(context.Background(), nil); !errors.As(err, &corrupt) {
		t.Errorf("a changed byte: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	path, root := create(f, "amd64")
	content, err := os.ReadFile(path)
	check(f, err)
	f.Add(content)
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := Open(bytes.NewReader(data), int64(len(data)), "amd64", root.Hash)
		if err == nil && image.Verify(t.Context(), nil) == nil && image.Data.Size()+image.Tree.Size() > int64(len(data)) {
			t.Errorf("partitions of %d and %d bytes in an image of %d", image.Data.Size(), image.Tree.Size(), len(data))
		}
	})
}
