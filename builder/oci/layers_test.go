package oci_test

import (
	"errors"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
)

type parts = []tartest.Part

var (
	file, dir, symlink, hardlink = tartest.File, tartest.Dir, tartest.Symlink, tartest.Hardlink
)

// stack writes an image with the given layers.
func stack(t *testing.T, layers ...parts) string {
	t.Helper()
	var archives [][]byte
	for _, l := range layers {
		archives = append(archives, tartest.Archive(l...))
	}
	return writeLayout(t, map[string]mutate.Appendable{"it": image(t, "amd64", archives...)})
}

func TestLayersBecomeTheTreeTheyMean(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers []parts
		want   []string
	}{
		{"whiteout of a file", []parts{{file("a", "1"), file("b", "1")}, {file(".wh.a", "")}}, []string{`b file 0644 0:0 "1"`}},
		{"whiteout of a directory", []parts{{dir("d"), file("d/a", "1")}, {file(".wh.d", "")}}, nil},
		{"whiteout, then the new one", []parts{{dir("d"), file("d/a", "1")}, {file(".wh.d", ""), file("d", "2")}}, []string{`d file 0644 0:0 "2"`}},
		{"the new one, then whiteout", []parts{{file("d/a", "1")}, {dir("d"), file("d/b", "2"), file(".wh.d", "")}},
			[]string{"d directory 0755 0:0", `d/b file 0644 0:0 "2"`}},
		{"opaque first", []parts{{file("d/a", "1")}, {dir("d"), file("d/.wh..wh..opq", ""), file("d/b", "2")}},
			[]string{"d directory 0755 0:0", `d/b file 0644 0:0 "2"`}},
		{"opaque last", []parts{{file("d/a", "1")}, {dir("d"), file("d/b", "2"), file("d/.wh..wh..opq", "")}},
			[]string{"d directory 0755 0:0", `d/b file 0644 0:0 "2"`}},
		{"opaque root", []parts{{file("a", "1"), file("d/a", "1")}, {file(".wh..wh..opq", ""), file("b", "2")}},
			[]string{`b file 0644 0:0 "2"`}},
		{"whiteout of nothing", []parts{{file("a", "1")}, {file(".wh.b", ""), file("no/.wh.b", ""), file("a/.wh.b", "")}},
			[]string{`a file 0644 0:0 "1"`}},
		{"whiteout hides no layer above", []parts{{file("a", "1")}, {file(".wh.a", "")}, {file("a", "3")}}, []string{`a file 0644 0:0 "3"`}},
		{"whiteout through a link", []parts{{dir("usr/lib"), file("usr/lib/a", "1"), symlink("lib", "usr/lib")}, {file("lib/.wh.a", "")}},
			[]string{"lib symbolic link 0777 0:0 -> usr/lib", "usr directory 0755 0:0", "usr/lib directory 0755 0:0"}},
		{"opaque file", []parts{{file("d", "1")}, {file("d/.wh..wh..opq", "")}}, []string{`d file 0644 0:0 "1"`}},
		{"whiteout of a link and through it", []parts{{file("usr/lib/a", "1"), symlink("lib", "usr/lib")}, {file(".wh.lib", ""), file("lib/.wh.a", "")}},
			[]string{"usr directory 0755 0:0", "usr/lib directory 0755 0:0"}},
		{"whiteout through a climbing link", []parts{{symlink("s", "../../.."), file("a", "1")}, {file("s/.wh.a", "")}},
			[]string{"s symbolic link 0777 0:0 -> ../../.."}},
		{"whiteout of a link", []parts{{symlink("s", "/d"), file("d/a", "1")}, {file(".wh.s", "")}},
			[]string{"d directory 0755 0:0", `d/a file 0644 0:0 "1"`}},
		{"marks of AUFS", []parts{{file("a", "1")}, {dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", ""), file(".wh..wh.aufs", "")}}, []string{`a file 0644 0:0 "1"`}},

		{"directory for a link, opaque", []parts{{file("t/a", "1"), symlink("d", "t")}, {dir("d"), file("d/.wh..wh..opq", ""), file("d/.wh.a", "")}},
			[]string{"d directory 0755 0:0", "t directory 0755 0:0", `t/a file 0644 0:0 "1"`}},
		{"file for a directory", []parts{{file("x/a", "1")}, {file("x", "2")}}, []string{`x file 0644 0:0 "2"`}},
		{"directory for a file", []parts{{file("x", "1")}, {dir("x"), file("x/a", "2")}}, []string{"x directory 0755 0:0", `x/a file 0644 0:0 "2"`}},
		{"link for a directory", []parts{{file("x/a", "1")}, {symlink("x", "/")}}, []string{"x symbolic link 0777 0:0 -> /"}},
		{"below a link of a lower layer", []parts{{dir("usr/lib"), symlink("lib", "usr/lib")}, {file("lib/a", "2")}},
			[]string{"lib symbolic link 0777 0:0 -> usr/lib", "usr directory 0755 0:0", "usr/lib directory 0755 0:0", `usr/lib/a file 0644 0:0 "2"`}},

		{"hard link keeps what it was made to", []parts{{file("a", "1"), hardlink("h", "a")}, {file("a", "2")}},
			[]string{`a file 0644 0:0 "2"`, `h file 0644 0:0 "1"`}},
		{"hard link to a lower layer", []parts{{file("a", "1")}, {hardlink("h", "a")}, {file("a", "3")}},
			[]string{`a file 0644 0:0 "3"`, `h file 0644 0:0 "1"`}},
		{"hard link shares across layers", []parts{{file("a", "1")}, {hardlink("h", "a")}}, []string{`a file 0644 0:0 "1"`, "h = a"}},
		{"hard link before its layer's own target", []parts{{file("a", "1")}, {hardlink("h", "a"), file("a", "2")}},
			[]string{`a file 0644 0:0 "2"`, `h file 0644 0:0 "1"`}},
		{"hard link to what the layer removes", []parts{{file("a", "1")}, {file(".wh.a", ""), hardlink("h", "a")}},
			[]string{`h file 0644 0:0 "1"`}},
		{"two hard links to what the layer removes", []parts{{file("a", "1")}, {file(".wh.a", ""), hardlink("h", "a"), hardlink("i", "a")}},
			[]string{`h file 0644 0:0 "1"`, "i = h"}},
		{"hard link for a directory", []parts{{file("a", "1"), dir("d")}, {hardlink("d", "a")}}, []string{`a file 0644 0:0 "1"`, "d = a"}},
	} {
		got, err := add(t, nil, oci.Config{Path: stack(t, c.layers...)})
		check(t, c.name, got, err, c.want...)
	}
}

func TestLayersThatMakeNoSenseAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, message string
		layers        []parts
	}{
		{"whiteout of dot dot", "no ..", []parts{{file("a", "1")}, {file("../.wh.a", "")}}},
		{"opaque dot dot", "no ..", []parts{{file("a", "1")}, {file("d/../../.wh..wh..opq", "")}}},
		{"whiteout named dot dot", "a whiteout of no name", []parts{{file("a", "1")}, {file(".wh...", "")}}},
		{"whiteout named dot", "a whiteout of no name", []parts{{file("d/a", "1")}, {file("d/.wh..", "")}}},
		{"whiteout without a name", "a whiteout of no name", []parts{{file("a", "1")}, {file(".wh.", "")}}},
		{"something below a whiteout", "below a whiteout", []parts{{file("a", "1")}, {file(".wh.a/b", "")}}},
		{"whiteout through a circle", "more than 40 symbolic links", []parts{{symlink("s", "s")}, {file("s/.wh.a", "")}}},
		{"hard link to an upper layer", "neither before it in this layer nor in one below", []parts{{hardlink("h", "a")}, {file("a", "2")}}},
		{"hard link to nothing", "neither before it", []parts{{hardlink("h", "")}}},
		{"hard link to a lower directory", "the target is a directory", []parts{{dir("d")}, {hardlink("h", "d")}}},
		{"below a lower file", "not a directory", []parts{{file("a", "1")}, {file("a/b", "2")}}},
	} {
		_, err := add(t, nil, oci.Config{Path: stack(t, c.layers...)})
		wantError(t, c.name, err, c.message)
	}
}

func TestImageJoinsEarlierSources(t *testing.T) {
	base := tartest.Archive(
		tartest.Raw(tartest.Fields{Name: "var", Type: '5', Mode: "0000700"}), file("var/keep", "base"), file("etc/a", "base"),
		dir("usr/lib"), symlink("lib", "usr/lib"))
	got, err := add(t, base, oci.Config{Path: stack(t,
		parts{file("etc/a", "1"), file("x", "1")},
		parts{file("etc/.wh.a", ""), file("var/.wh..wh..opq", ""), file(".wh.x", ""), dir("x"), file("var/new", "2"), dir("lib"), file("lib/b", "2")})})
	check(t, "base and image", got, err,
		"etc directory 0755 0:0", `etc/a file 0644 0:0 "base"`, "lib symbolic link 0777 0:0 -> usr/lib",
		"usr directory 0755 0:0", "usr/lib directory 0755 0:0", `usr/lib/b file 0644 0:0 "2"`,
		"var directory 0700 0:0", `var/keep file 0644 0:0 "base"`, `var/new file 0644 0:0 "2"`, "x directory 0755 0:0")

	_, err = add(t, base, oci.Config{Path: stack(t, parts{dir("var")}, parts{file("var", "2")})})
	var conflict *tree.ConflictError
	if !errors.As(err, &conflict) || conflict.Earlier.Source != "base" || conflict.Later.Source != "image" {
		t.Errorf("error %v: want a conflict of base and image", err)
	}
}
