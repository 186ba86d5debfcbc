package tree_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

func file(source, body string) *tree.Node {
	return &tree.Node{
		Kind: tree.File, Mode: 0o644, Source: source,
		Content: tree.Content{At: strings.NewReader(body), Size: int64(len(body))},
	}
}

func directory(source string, mode uint32) *tree.Node {
	return &tree.Node{Kind: tree.Directory, Mode: mode, Source: source}
}

func symlink(source, target string) *tree.Node {
	return &tree.Node{Kind: tree.Symlink, Mode: 0o777, Source: source, Target: target}
}

func put(t *testing.T, into *tree.Tree, path string, n *tree.Node) {
	t.Helper()
	if err := into.Put(path, n); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got *tree.Tree, lines ...string) {
	t.Helper()
	all, err := treetest.List(got)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(lines[0], ". ") {
		lines = append([]string{". directory 0755 0:0"}, lines...)
	}
	if !slices.Equal(all, lines) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(lines, "\n"))
	}
}

func TestPathsAreCheckedAndSpelledOneWay(t *testing.T) {
	for path, clean := range map[string]string{
		".": ".", "/": ".", "./": ".", "a": "a", "/a": "a", "./a": "a", "././a/b": "a/b", "/./a": "a", "...": "...", "a b": "a b",
	} {
		if got, err := tree.Clean(path); err != nil || got != clean {
			t.Errorf("%q: %q, %v: want %q", path, got, err, clean)
		}
	}
	for path, rule := range map[string]string{
		"": "want a name", "//a": "no empty names", "a//b": "no empty names", "a/": "no empty names", "..": "no ..", "a/..": "no ..",
		"../a": "no ..", "a/./b": "no .", "a\x00": "no NUL", "/..": "no ..", strings.Repeat("n", 256): "name of 256 bytes",
		strings.Repeat("a/", 2048) + "b": "4097 bytes long",
	} {
		_, err := tree.Clean(path)
		if err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%.20q: error %v: want %q in it", path, err, rule)
		}
	}
}

func TestLookupStopsAtALinkAndResolveFollowsIt(t *testing.T) {
	into := tree.New()
	put(t, into, "usr/lib/f", file("s", "body"))
	put(t, into, "lib", symlink("s", "usr/lib"))
	put(t, into, "f", symlink("s", "/lib/../lib/f"))
	put(t, into, "gone", symlink("s", "nowhere"))
	if n, ok := into.Lookup("f"); !ok || n.Kind != tree.Symlink {
		t.Errorf("Lookup: %+v, %v: want the link", n, ok)
	}
	if n, ok := into.Resolve("f"); !ok || n.Kind != tree.File {
		t.Errorf("Resolve: %+v, %v: want the file", n, ok)
	}
	if n, ok := into.Lookup("lib/f"); !ok || n.Kind != tree.File {
		t.Errorf("Lookup through a link: %+v, %v: want the file", n, ok)
	}
	if n, ok := into.Lookup("."); !ok || n.Kind != tree.Directory {
		t.Errorf("Lookup of the root: %+v, %v", n, ok)
	}
	for _, path := range []string{"gone", "none", "f/x", "gone/x", "../f"} {
		if n, ok := into.Resolve(path); ok {
			t.Errorf("Resolve %s: %+v: want nothing", path, n)
		}
	}
	if data, err := into.ReadFile("f", 4); err != nil || string(data) != "body" {
		t.Errorf("ReadFile: %q, %v", data, err)
	}
	if _, err := into.ReadFile("f", 3); err == nil {
		t.Error("ReadFile reads beyond its limit")
	}
	if _, err := into.ReadFile("lib", 3); err == nil {
		t.Error("ReadFile reads a directory")
	}
	for _, path := range []string{"gone", "usr/none/x", "usr/lib/f/x"} {
		if _, err := into.ReadFile(path, 3); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile %s: %v: want fs.ErrNotExist", path, err)
		}
	}
	if names, err := into.Children("lib"); err != nil || !slices.Equal(names, []string{"f"}) {
		t.Errorf("Children: %q, %v: want f", names, err)
	}
	if names, err := into.Children("."); err != nil || !slices.Equal(names, []string{"f", "gone", "lib", "usr"}) {
		t.Errorf("Children of the root: %q, %v", names, err)
	}
}

func TestDirectoriesMergeAndTheLaterDescribes(t *testing.T) {
	into := tree.New()
	put(t, into, "d/a", file("first", "1"))
	put(t, into, "d", directory("first", 0o700))
	put(t, into, "l", symlink("first", "d"))
	second := directory("second", 0o711)
	second.Xattrs = map[string]string{"user.x": "y"}
	put(t, into, "l", second)
	second.Xattrs["user.x"] = "changed afterwards"
	put(t, into, "l/b", file("second", "2"))
	want(t, into, `d directory 0711 0:0 user.x="y"`, `d/a file 0644 0:0 "1"`, `d/b file 0644 0:0 "2"`, "l symbolic link 0777 0:0 -> d")
}

func TestDirectoryKeepsItsChildrenToItself(t *testing.T) {
	into := tree.New()
	d := directory("s", 0o755)
	put(t, into, "a", d)
	put(t, into, "b", d)
	put(t, into, "a/f", file("s", "1"))
	n, _ := into.Lookup("a")
	put(t, into, "a/f2/deep", n) // a directory can never be put into itself
	want(t, into, "a directory 0755 0:0", `a/f file 0644 0:0 "1"`, "a/f2 directory 0755 0:0", "a/f2/deep directory 0755 0:0", "b directory 0755 0:0")
}

func TestMaskingWithALinkIsNoConflict(t *testing.T) {
	into := tree.New()
	put(t, into, "unit", file("first", "1"))
	put(t, into, "unit", symlink("second", "/dev/null"))
	put(t, into, "unit", &tree.Node{Kind: tree.CharDevice, Source: "third", Device: tree.Device{Major: 1, Minor: 3}})
	want(t, into, "unit character device 0000 0:0 1:3")
}

func TestConflictSaysWhoHasWhat(t *testing.T) {
	into := tree.New()
	put(t, into, "usr/lib/d/f", file("base.tar", ""))
	put(t, into, "lib", symlink("base.tar", "usr/lib"))
	err := into.Put("lib/d", file("overlay", ""))
	const message = `path "usr/lib/d": a directory in "base.tar", but a file in "overlay"`
	var conflict *tree.ConflictError
	if !errors.As(err, &conflict) || err.Error() != message {
		t.Errorf("%v: want %s", err, message)
	}
	if err := into.Replace("lib/d", file("overlay", "")); err != nil {
		t.Errorf("Replace: %v", err)
	}
	want(t, into, "lib symbolic link 0777 0:0 -> usr/lib", "usr directory 0755 0:0", "usr/lib directory 0755 0:0", `usr/lib/d file 0644 0:0 ""`)
}

func TestHardLinksAreOneNodeAndOutliveEachOther(t *testing.T) {
	into := tree.New()
	put(t, into, "a", file("s", "1"))
	for _, name := range []string{"b", "d/c", "a"} {
		if err := into.Link(name, "a"); err != nil {
			t.Fatal(err)
		}
	}
	want(t, into, `a file 0644 0:0 "1"`, "b = a", "d directory 0755 0:0", "d/c = a")
	put(t, into, "a", file("s", "2"))
	if err := into.Remove("b"); err != nil {
		t.Fatal(err)
	}
	want(t, into, `a file 0644 0:0 "2"`, "d directory 0755 0:0", `d/c file 0644 0:0 "1"`)
	for _, path := range []string{"b", "d/none", "a/x"} {
		if err := into.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove %s: %v: want fs.ErrNotExist", path, err)
		}
	}
	if err := into.Remove("."); err == nil {
		t.Error("the root can be removed")
	}
}

func TestMergeLeavesTheOtherTreeAlone(t *testing.T) {
	from := tree.New()
	put(t, from, "d/a", file("image", "1"))
	if err := from.Link("d/b", "d/a"); err != nil {
		t.Fatal(err)
	}
	into := tree.New()
	put(t, into, "d", directory("base", 0o700))
	if err := into.Merge(from); err != nil {
		t.Fatal(err)
	}
	n, _ := into.Lookup("d/a")
	n.Mode = 0o600
	want(t, from, "d directory 0755 0:0", `d/a file 0644 0:0 "1"`, "d/b = d/a")
	want(t, into, "d directory 0700 0:0", `d/a file 0600 0:0 "1"`, "d/b = d/a")
}

func TestOwnersAreThoseOfTheImage(t *testing.T) {
	into := tree.New()
	put(t, into, "usr/etc/passwd", file("s", "# comment\nwww:x:33:34::/:/bin/sh\nbad\nwww:x:99::\n:x:1:\nbig:x:4294967295:1:\nroot:x:0:0:r:/:"))
	put(t, into, "etc", symlink("s", "usr/etc"))
	owners, err := into.Owners()
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]uint32{"www": 33, "root": 0, "4294967294": 1<<32 - 2, "007": 7} {
		if got, err := owners.User(name); err != nil || got != id {
			t.Errorf("user %s: %d, %v: want %d", name, got, err, id)
		}
	}
	for _, name := range []string{"", "bad", "big", "4294967295", "-1", "nobody"} {
		if id, err := owners.User(name); err == nil {
			t.Errorf("user %q: %d: want an error", name, id)
		}
	}
	if id, err := owners.Group("root"); err != nil || id != 0 {
		t.Errorf("group root without etc/group: %d, %v: want 0", id, err)
	}
}
