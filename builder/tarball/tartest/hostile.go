package tartest

import (
	"archive/tar"
	"fmt"
	"slices"
	"strings"
)

// Case is an archive made to surprise, and what becomes of it as a source.
type Case struct {
	Name    string
	Archive []byte
	Error   string   // a part of the error; or
	Tree    []string // the tree as treetest.List shows it, without the root's usual line
}

// Hostile are archives that try to get out of the tree, to confuse or to
// exhaust the reader.
func Hostile() []Case {
	return slices.Concat(paths(), links(), kinds(), attributes(), damage())
}

func refused(name, message string, parts ...Part) Case {
	return Case{Name: name, Archive: Archive(parts...), Error: message}
}

func becomes(name string, parts []Part, lines ...string) Case {
	return Case{Name: name, Archive: Archive(parts...), Tree: lines}
}

func paths() []Case {
	long := strings.Repeat("n", 255)
	deep := strings.Repeat("d/", 2047) + "f" // 4095 bytes
	return []Case{
		refused("dot dot first", "no ..", File("../evil", "x")),
		refused("dot dot in the middle", "no ..", File("a/../../evil", "x")),
		refused("dot dot last", "no ..", Dir("a/..")),
		refused("dot dot alone", "no ..", Dir("..")),
		refused("absolute dot dot", "no ..", File("/../etc/passwd", "x")),
		becomes("absolute", []Part{File("/etc/passwd", "x")},
			"etc directory 0755 0:0", `etc/passwd file 0644 0:0 "x"`),
		refused("two slashes first", "no empty names", File("//etc/passwd", "x")),
		refused("two slashes in the middle", "no empty names", File("a//b", "x")),
		refused("dot in the middle", "no . in it", File("a/./b", "x")),
		becomes("dots first", []Part{File("./././a", "x")}, `a file 0644 0:0 "x"`),
		refused("no name", "want a name", Raw(Fields{Type: '0'})),
		refused("NUL in a PAX path", "invalid tar header", File("ok", ""), PAX("a", "x", "path", "a\x00b")),
		refused("NUL in a PAX link", "invalid tar header", File("ok", ""), PAX("a", "x", "linkpath", "a\x00b")),
		becomes("NUL ends a ustar name", []Part{Raw(Fields{Name: "a\x00b", Type: '0'})}, `a file 0644 0:0 ""`),
		becomes("newline", []Part{File("a\nb", "x")}, `"a\nb" file 0644 0:0 "x"`),
		becomes("escape sequence", []Part{File("a\x1b[2J", "x")}, `"a\x1b[2J" file 0644 0:0 "x"`),
		becomes("not UTF-8", []Part{Raw(Fields{Name: "a\xff\xfe", Type: '0'})}, `"a\xff\xfe" file 0644 0:0 ""`),
		becomes("not UTF-8 in PAX", []Part{PAX("x", "", "hdrcharset", "BINARY", "path", "a\xff")}, `"a\xff" file 0644 0:0 ""`),
		becomes("name of 255 bytes", []Part{File(long, "x")}, long+` file 0644 0:0 "x"`),
		refused("name of 256 bytes", "name of 256 bytes", File(long+"n", "x")),
		refused("path of 4097 bytes", "4097 bytes long", File(deep+"ff", "x")),
		refused("path made long by a link", "after following links",
			File(deep, "x"), Symlink("s", "/"+strings.Repeat("d/", 2000)+"d"), File("s/"+strings.Repeat("e/", 100)+"f", "x")),
		refused("PAX path of 2 MiB", "header field too long", File("ok", ""), PAX("a", "x", "path", strings.Repeat("a", 2<<20))),
		becomes("backslashes and drive letters", []Part{File(`C:\..\evil`, "x")}, `"C:\\..\\evil" file 0644 0:0 "x"`),
		becomes("a file with a slash", []Part{Raw(Fields{Name: "x/", Type: '0'}), File("x/y", "")},
			"x directory 0644 0:0", `x/y file 0644 0:0 ""`),
		refused("root as a file", "the root cannot become a file", Raw(Fields{Name: ".", Type: '0'})),
		refused("root as a link", "the root cannot become a symbolic link", Symlink("./", "/etc")),
		becomes("root with a mode", []Part{Header(tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o700, Uid: 7}, "")},
			". directory 0700 7:0"),
	}
}

func links() []Case {
	chain := func(n int) []Part {
		parts := []Part{Dir("end"), Symlink("l0", "end")}
		for i := 1; i < n; i++ {
			parts = append(parts, Symlink(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i-1)))
		}
		return append(parts, File(fmt.Sprintf("l%d/f", n-1), "x"))
	}
	climb := func(first string) string { return first + strings.Repeat("d/../", 700) + "d" }
	return []Case{
		becomes("through an absolute link", []Part{Symlink("a/out", "/etc"), File("a/out/x", "x")},
			"a directory 0755 0:0", "a/out symbolic link 0777 0:0 -> /etc", "etc directory 0755 0:0", `etc/x file 0644 0:0 "x"`),
		becomes("through a climbing link", []Part{Symlink("a/out", "../../../../etc"), File("a/out/x", "x")},
			"a directory 0755 0:0", "a/out symbolic link 0777 0:0 -> ../../../../etc",
			"etc directory 0755 0:0", `etc/x file 0644 0:0 "x"`),
		becomes("through a link to .", []Part{Symlink("s", "."), File("s/s/s/x", "x")},
			"s symbolic link 0777 0:0 -> .", `x file 0644 0:0 "x"`),
		becomes("through a link to ..", []Part{Symlink("a/s", ".."), File("a/s/a/s/x", "x")},
			"a directory 0755 0:0", "a/s symbolic link 0777 0:0 -> ..", `x file 0644 0:0 "x"`),
		refused("through a link to itself", "more than 40 symbolic links", Symlink("s", "s"), File("s/x", "x")),
		refused("through two links in a circle", "more than 40 symbolic links", Symlink("a", "b"), Symlink("b", "a"), File("a/x", "x")),
		refused("chain of 41 links", "more than 40 symbolic links", chain(41)...),
		{Name: "chain of 40 links", Archive: Archive(chain(40)...)},
		refused("links that go up and down", "more than 4096 names", Dir("d"), Symlink("a", climb("")),
			Symlink("b", climb("a/../")), Symlink("c", climb("b/../")), File("c/x", "x")),
		refused("links without an end", "more than 40 symbolic links",
			Symlink("a", "b/b/b"), Symlink("b", "a/a/a"), File("a/x", "x")),
		becomes("dangling parent", []Part{Symlink("s", "no/where"), File("s/x", "x")},
			"no directory 0755 0:0", "no/where directory 0755 0:0", `no/where/x file 0644 0:0 "x"`,
			"s symbolic link 0777 0:0 -> no/where"),
		refused("through a link to a file", "is a file, not a directory", File("f", ""), Symlink("s", "f"), File("s/x", "x")),
		refused("through a file", "is a file, not a directory", File("f", ""), File("f/x", "x")),
		becomes("file on a link replaces the link", []Part{File("f", "old"), Symlink("s", "f"), File("s", "new")},
			`f file 0644 0:0 "old"`, `s file 0644 0:0 "new"`),
		becomes("link replaces itself with a way out", []Part{Dir("d"), Symlink("d", "/etc"), File("d/x", "x")},
			"d symbolic link 0777 0:0 -> /etc", "etc directory 0755 0:0", `etc/x file 0644 0:0 "x"`),
		refused("empty link target", "want 1 to 4095 bytes", Raw(Fields{Name: "s", Type: '2'})),
		refused("link target of 5000 bytes", "want 1 to 4095 bytes", Symlink("s", strings.Repeat("t", 5000))),
		refused("link target name of 300 bytes", "255 in each name", Symlink("s", strings.Repeat("t", 300)), File("s/x", "x")),

		refused("hard link out", `"../../etc/passwd": the target does not exist`, Hardlink("h", "../../etc/passwd")),
		refused("hard link to the host", `"/etc/passwd": the target does not exist`, Hardlink("h", "/etc/passwd")),
		refused("hard link to a later file", `hard link "h" to "f": the target does not exist`, Hardlink("h", "f"), File("f", "x")),
		refused("hard link to a directory", "the target is a directory", Dir("d"), Hardlink("h", "d")),
		refused("hard link to the root", "the target is a directory", Hardlink("h", "./")),
		refused("hard link to nothing but itself", "the target does not exist", Hardlink("h", "h")),
		refused("hard link onto a directory", "a directory is in its place", Dir("d"), File("f", ""), Hardlink("d", "f")),
		refused("hard link named dot dot", "no ..", File("f", ""), Hardlink("../h", "f")),
		refused("hard link without a target", "the target does not exist", Raw(Fields{Name: "h", Type: '1'})),
		becomes("hard link to itself", []Part{File("h", "x"), Hardlink("h", "h")}, `h file 0644 0:0 "x"`),
		becomes("hard link to a link", []Part{Symlink("s", "/etc/shadow"), Hardlink("h", "s")},
			"h symbolic link 0777 0:0 -> /etc/shadow", "s = h"),
		becomes("hard link through a climbing link", []Part{Symlink("s", "../.."), File("f", "x"), Hardlink("h", "s/f")},
			`f file 0644 0:0 "x"`, "h = f", "s symbolic link 0777 0:0 -> ../.."),
	}
}
