package rpm_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/proa-os/proa/builder/rpm/rpmtest"
)

// hostile is a package made to surprise, and what becomes of it.
type hostile struct {
	name  string
	pkg   Package
	words string   // of the error; or
	tree  []string // as treetest.List shows it
}

func refused(name, words string, files ...File) hostile {
	return hostile{name, Package{Files: files}, words, nil}
}

func becomes(name string, files []File, lines ...string) hostile {
	return hostile{name, Package{Files: files}, "", lines}
}

// payload is a package whose archive is not the one that goes with its files.
func payload(name, words string, files []File, archive []byte) hostile {
	return hostile{name, Package{Files: files, Payload: archive}, words, nil}
}

func more(name, words string, files []File, values ...Value) hostile {
	return hostile{name, Package{Files: files, More: values}, words, nil}
}

func TestHostilePackagesStayInside(t *testing.T) {
	cases := slices.Concat(hostilePaths(), hostileLinks(), hostileFiles(), hostilePayloads(), hostileHeaders())
	if len(cases) < 60 {
		t.Errorf("%d cases: want at least 60", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := c.pkg.Build(ours().sign)
			for range 2 {
				var got []string
				p, err := read(t, data)
				if err == nil {
					got, err = lay(t, p)
				}
				if c.words != "" {
					if err == nil || !strings.Contains(err.Error(), c.words) {
						t.Fatalf("error %v: want %q in it; tree %q", err, c.words, got)
					}
					if len(err.Error()) > 1500 || strings.ContainsAny(err.Error(), "\x00\x1b") {
						t.Errorf("error %q: want it short and printable", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				want := c.tree
				if !strings.HasPrefix(want[0], ". ") {
					want = append([]string{". directory 0755 0:0"}, want...)
				}
				if !slices.Equal(got, want) {
					t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

func hostilePaths() []hostile {
	long := strings.Repeat("n", 255)
	deep := strings.Repeat("/d", 2046) // 4092 bytes
	one := []File{Plain("/f", "x")}
	named := func(name, cpioName string) hostile {
		return payload(name, "is not in the header", one, Archive(Entry(Fields{Name: cpioName}, "x")))
	}
	return []hostile{
		refused("dot dot in a directory", "no ..", Plain("/etc/../../evil", "x")),
		refused("dot dot as a name", "no ..", Dir("/a/..")),
		refused("dot as a name", "no . in it", Dir("/a/.")),
		refused("two slashes", "no empty names", Plain("/a//b", "x")),
		refused("relative directory", "want / at its start", Plain("etc/passwd", "x")),
		refused("climbing relative directory", "want / at its start", Plain("../evil", "x")),
		refused("no directory", "want / at its start", Plain("evil", "x")),
		refused("no name", "want a name without /", File{Path: "/etc/", Mode: 0o040755}),
		more("slash in a name", "want a name without /", one, Words(1117, "a/b")),
		more("climbing name", "want a name without /", one, Words(1117, "../evil")),
		more("directory without its slash", "want / at its start and end", one, Words(1118, "/etc")),
		more("directory that is not there", "directory 7 of 1", one, Numbers(1116, Int32, 7)),
		more("directory of 2^32-1", "directory 4294967295 of 1", one, Numbers(1116, Int32, 1<<32-1)),
		becomes("newline and escape", []File{Plain("/a\nb\x1b[2J", "x")}, `"a\nb\x1b[2J" file 0644 0:0 "x"`),
		becomes("not UTF-8", []File{Plain("/a\xff\xfe", "x")}, `"a\xff\xfe" file 0644 0:0 "x"`),
		becomes("name of 255 bytes", []File{Plain("/"+long, "x")}, long+` file 0644 0:0 "x"`),
		{"zero in a name", Package{Files: one, More: []Value{Words(1117, "f\x00../evil")}}, "", []string{`f file 0644 0:0 "x"`}},
		refused("name of 256 bytes", "name of 256 bytes", Plain("/"+long+"n", "x")),
		refused("path of 4097 bytes", "bytes long", Plain(deep+"/fffff", "x")),
		refused("twice the same name", "is there twice", Plain("/f", "x"), Plain("/f", "y")),
		refused("twice the same directory", "is there twice", Dir("/d"), Dir("/d")),
		becomes("root with a mode", []File{{Path: "/", Mode: 0o040700}}, ". directory 0700 0:0"),
		refused("root as a file", "the root cannot become a file", Plain("/", "x")),
		refused("root as a link", "the root cannot become a symbolic link", Link("/", "etc")),
		refused("through a file", "is a file, not a directory", Plain("/f", ""), Plain("/f/x", "x")),

		named("archive with dot dot", "../evil"), named("archive with dot dot behind a dot", "./../evil"),
		named("archive with an absolute dot dot", "/../f"), named("archive with another name", "./g"),
		named("archive with two slashes", ".//f"), named("archive with dots in the middle", "././f"),
		named("archive with two dots first", "../f"),
	}
}

func hostileLinks() []hostile {
	pair := func(change func(*File)) []File {
		files := []File{{Path: "/a", Body: "x", Inode: 9}, {Path: "/b", Body: "x", Inode: 9}}
		change(&files[1])
		return files
	}
	same := pair(func(*File) {})
	return []hostile{
		becomes("through an absolute link", []File{Link("/out", "/etc"), Plain("/out/x", "x")},
			"etc directory 0755 0:0", `etc/x file 0644 0:0 "x"`, "out symbolic link 0777 0:0 -> /etc"),
		becomes("through a climbing link", []File{Link("/a/out", "../../../../etc"), Plain("/a/out/x", "x")},
			"a directory 0755 0:0", "a/out symbolic link 0777 0:0 -> ../../../../etc", "etc directory 0755 0:0", `etc/x file 0644 0:0 "x"`),
		becomes("through a link to .", []File{Link("/s", "."), Plain("/s/s/x", "x")},
			"s symbolic link 0777 0:0 -> .", `x file 0644 0:0 "x"`),
		refused("through a link to itself", "more than 40 symbolic links", Link("/s", "s"), Plain("/s/x", "x")),
		refused("through links in a circle", "more than 40 symbolic links", Link("/a", "b"), Link("/b", "a"), Plain("/b/x", "x")),
		refused("two things in one place by a link", "the package has it twice", Dir("/d"), Plain("/d/x", "one"), Link("/s", "d"), Plain("/s/x", "two")),
		refused("directory in the place of its link", "a symbolic link and a directory", Dir("/d"), Link("/e", "d"), Link("/f", "."), Dir("/f/e")),
		refused("link without a target", "without a target", File{Path: "/s", Mode: 0o120777}),
		refused("link target of 5000 bytes", "want 1 to 4095 bytes", Link("/s", strings.Repeat("t", 5000))),
		payload("archive with another target", `want the header's "t"`, []File{Link("/s", "t")},
			Archive(Entry(Fields{Name: "./s"}, "u"))),
		payload("archive with a longer target", `want the header's "t"`, []File{Link("/s", "t")},
			Archive(Entry(Fields{Name: "./s"}, strings.Repeat("t", 1<<20)))),

		becomes("hard link", same, `a file 0644 0:0 "x"`, "b = a"),
		refused("hard links of two contents", "hard links to each other, but differ", pair(func(f *File) { f.Body = "y" })...),
		refused("hard links of two modes", "hard links to each other, but differ", pair(func(f *File) { f.Mode = 0o104755 })...),
		refused("hard links of two owners", "hard links to each other, but differ", pair(func(f *File) { f.User = "bin" })...),
		becomes("directory with the inode of a file", []File{{Path: "/a", Body: "x", Inode: 9}, {Path: "/d", Mode: 0o040755, Inode: 9}},
			`a file 0644 0:0 "x"`, "d directory 0755 0:0"),
		payload("hard links without contents", "no content under any of its names", same,
			Archive(Entry(Fields{Name: "./a"}, ""), Entry(Fields{Name: "./b"}, ""))),
		payload("hard links with contents twice", "under another of its names already", same,
			Archive(Entry(Fields{Name: "./a"}, "x"), Entry(Fields{Name: "./b"}, "x"))),
		payload("hard links of which one is missing", `"b" is missing`, same, Archive(Entry(Fields{Name: "./a"}, "x"))),
		payload("file without its contents", "has 0 bytes, want the header's 1", []File{Plain("/f", "x")},
			Archive(Entry(Fields{Name: "./f"}, ""))),
	}
}
