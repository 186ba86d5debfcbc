package deb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/manifests"
)

func TestUsrIsMergedBeforePackagesCome(t *testing.T) {
	into := tree.New()
	if err := into.Put("lib/there", &tree.Node{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := deb.Prepare(into, manifests.AMD64); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		". directory 0755 0:0", "bin symbolic link 0777 0:0 -> usr/bin", "lib directory 0755 0:0", `lib/there file 0644 0:0 ""`,
		"lib32 symbolic link 0777 0:0 -> usr/lib32", "lib64 symbolic link 0777 0:0 -> usr/lib64", "libx32 symbolic link 0777 0:0 -> usr/libx32",
		"run directory 0755 0:0", "run/lock directory 1777 0:0", "sbin symbolic link 0777 0:0 -> usr/sbin", "usr directory 0755 0:0", "usr/bin directory 0755 0:0", "usr/lib32 directory 0755 0:0",
		"usr/lib64 directory 0755 0:0", "usr/libx32 directory 0755 0:0", "usr/sbin directory 0755 0:0",
		"var directory 0755 0:0", "var/lock symbolic link 0777 0:0 -> /run/lock", "var/run symbolic link 0777 0:0 -> /run",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	into = tree.New()
	if err := deb.Prepare(into, manifests.ARM64); err != nil {
		t.Fatal(err)
	}
	if _, there := into.Lookup("lib64"); there {
		t.Error("arm64 has a lib64")
	}
}

func TestFilesAreReplacedAsTheFieldSays(t *testing.T) {
	about := func(name, version, replaces string) *packages.About {
		text := "Package: " + name + "\nReplaces: " + replaces + "\n"
		return &packages.About{Name: name, Version: version, Arch: "amd64", Record: map[string][]byte{"control": []byte(text)}}
	}
	for replaces, want := range map[string]bool{
		"": false, "other": false, "old": true, "x, old (<< 2)": true, "old (<< 1)": false, "old (= 1.5)": true, "old (<= 1.5)": true,
		"old (>= 1.5-1)": false, "old (>> 1.5~)": true, "old (>= 1.5)": true, "old:any (= 1)": false, "broken (": false,
	} {
		if got := deb.Replaces(about("new", "1", replaces), about("old", "1.5", "new"), "f"); got != want {
			t.Errorf("Replaces: %s: %v, want %v", replaces, got, want)
		}
	}
}
