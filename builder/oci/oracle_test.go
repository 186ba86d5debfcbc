package oci_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// unpacked lists a folder as listed does a tree.
func unpacked(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	names := map[uint64][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		line := fmt.Sprintf("%s %v", name, info.Mode().Type())
		switch info.Mode().Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " " + target
		case 0:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %o %q", info.Mode().Perm(), data)
			inode := info.Sys().(*syscall.Stat_t).Ino
			names[inode] = append(names[inode], name)
		default:
			line += fmt.Sprintf(" %o", info.Mode().Perm())
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(lines, groups(names)...)
}

// listed lists a tree: names, kinds, modes, contents and hard links.
func listed(t *testing.T, from *tree.Tree) []string {
	t.Helper()
	var lines []string
	names := map[*tree.Node][]string{}
	err := from.Walk(func(path string, n *tree.Node) error {
		switch {
		case path == ".":
		case n.Kind == tree.Symlink:
			lines = append(lines, fmt.Sprintf("%s %v %s", path, fs.ModeSymlink, n.Target))
		case n.Kind == tree.Directory:
			lines = append(lines, fmt.Sprintf("%s %v %o", path, fs.ModeDir, n.Mode&0o777))
		case n.Kind == tree.File:
			data := make([]byte, n.Content.Size)
			if len(data) > 0 {
				if _, err := io.ReadFull(n.Content.Open(), data); err != nil {
					return err
				}
			}
			lines = append(lines, fmt.Sprintf("%s %v %o %q", path, fs.FileMode(0), n.Mode&0o777, data))
			names[n] = append(names[n], path)
		default:
			return fmt.Errorf("%s: a %s", path, n.Kind)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(lines, groups(names)...)
}

func groups[K comparable](names map[K][]string) []string {
	var lines []string
	for group := range maps.Values(names) {
		if len(group) > 1 {
			lines = append(lines, "linked: "+strings.Join(slices.Sorted(slices.Values(group)), " "))
		}
	}
	return slices.Sorted(slices.Values(lines))
}

func TestTreeIsWhatUmociUnpacks(t *testing.T) {
	for name, layers := range map[string][]parts{
		"whiteouts": {
			{dir("d"), file("d/a", "1"), file("d/b", "1"), dir("e"), file("e/f", "1"), file("gone", "1")},
			{dir("d"), file("d/.wh.a", ""), dir("e"), file("e/.wh..wh..opq", ""), file("e/g", "2"), file(".wh.gone", "")},
			{file("gone", "3"), dir("d"), file("d/a", "3")},
		},
		"hard links": {
			{dir("d"), file("d/a", "1"), hardlink("d/h", "d/a"), file("b", "1")},
			{dir("d"), file("d/a", "2"), hardlink("c", "b"), hardlink("d/i", "d/h")},
			{file("b", "3")},
		},
		"changes of kind": {
			{dir("x"), file("x/a", "1"), file("y", "1"), symlink("z", "x"), dir("w")},
			{file("x", "2"), dir("y"), file("y/a", "2"), dir("z"), file("z/a", "2"), symlink("w", "y")},
		},
		"usr-merged": {
			{dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), file("usr/lib/a", "1")},
			{file("lib/b", "2"), file("lib/.wh.a", "")},
			{symlink("var", "/usr/lib/../../usr"), file("var/c", "3")},
		},
		"through a link": {
			{dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), file("usr/lib/a", "1")},
			{file("lib/.wh..wh..opq", ""), file("lib/b", "2")},
		},
		"modes": {
			{tartest.Raw(tartest.Fields{Name: "m", Type: '5', Mode: "0000711"}), tartest.Raw(tartest.Fields{Name: "f", Type: '0', Mode: "0000640"})},
			{tartest.Raw(tartest.Fields{Name: "m", Type: '5', Mode: "0000750"}), file("m/n", "2")},
		},
	} {
		var archives [][]byte
		for _, l := range layers {
			archives = append(archives, tartest.Archive(l...))
		}
		path := writeLayout(t, map[string]mutate.Appendable{"it": image(t, "amd64", archives...)})
		bundle := filepath.Join(t.TempDir(), "bundle")
		run(t, "umoci", "unpack", "--rootless", "--image", path+":it", bundle)
		want := unpacked(t, filepath.Join(bundle, "rootfs"))

		store, err := content.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		into := tree.New()
		if err := oci.Add(t.Context(), store, into, oci.Config{Name: name, Path: path, Arch: manifests.AMD64}); err != nil {
			t.Fatal(err)
		}
		if got := listed(t, into); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		store.Close()
	}
}

func TestHostileLayersStayInside(t *testing.T) {
	below := tartest.Archive(dir("base"), file("base/x", "below"), symlink("lib", "usr/lib"))
	for _, c := range tartest.Hostile() {
		path := writeLayout(t, map[string]mutate.Appendable{"it": image(t, "amd64", below, c.Archive)})
		results := [2]string{}
		for i := range results {
			lines, err := add(t, nil, oci.Config{Path: path})
			// How far a bomb has come when it is noticed depends on the other layers.
			results[i] = regexp.MustCompile(`expand to \d+`).ReplaceAllString(fmt.Sprint(err, lines), "expand")
			// A layer without entries or end mark is whole if its digests say so,
			// and any kind may replace any other.
			legal := strings.Contains(c.Error, "end mark") || c.Name == "no entries" || c.Name == "nothing at all" || c.Name == "hard link onto a directory"
			if c.Error != "" && err == nil && !legal {
				t.Errorf("%s: accepted", c.Name)
			}
			for _, line := range lines {
				if strings.HasPrefix(line, "/") || strings.Contains(strings.SplitN(line, " ", 2)[0]+"/", "../") {
					t.Errorf("%s: outside: %s", c.Name, line)
				}
			}
		}
		if results[0] != results[1] {
			t.Errorf("%s: twice the same image:\n%s\n%s", c.Name, results[0], results[1])
		}
	}
}

func FuzzImageArchive(f *testing.F) {
	layout := writeSeed(f)
	f.Add(layout)
	f.Add(tartest.Archive(file("manifest.json", `[{"Config":"c.json","RepoTags":["a:b"],"Layers":["l"]}]`), symlink("l", "l"), file("c.json", "{}")))
	f.Add(tartest.Archive(file("index.json", `{"schemaVersion":2,"manifests":[]}`)))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		store, err := content.NewBounded(dir, content.Limits{Spool: 8 << 20, Expanded: 8 << 20, Ratio: 100, Free: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		into := tree.New()
		_ = oci.Add(t.Context(), store, into, oci.Config{Name: "fuzz", Path: path, Arch: manifests.AMD64})
	})
}

// writeSeed is a small docker archive, whose layers only their diff ids guard.
func writeSeed(f *testing.F) []byte {
	f.Helper()
	layer := tartest.Archive(file("a", "1"), file(".wh.b", ""))
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(layer))
	name := fmt.Sprintf("%x.json", sha256.Sum256([]byte(config)))
	return tartest.Archive(
		file("manifest.json", fmt.Sprintf(`[{"Config":%q,"RepoTags":["a:b"],"Layers":["l.tar"]}]`, name)),
		file(name, config), file("l.tar", string(layer)))
}
