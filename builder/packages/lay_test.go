package packages_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

func file(path, body string) tree.Entry {
	return tree.Entry{Path: path, Node: &tree.Node{Mode: 0o644, Content: tree.Content{At: strings.NewReader(body), Size: int64(len(body))}}}
}

func dir(path string, mode uint32) tree.Entry {
	return tree.Entry{Path: path, Node: &tree.Node{Kind: tree.Directory, Mode: mode}}
}

func link(path, target string) tree.Entry {
	return tree.Entry{Path: path, Node: &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target}}
}

func hard(path, target string) tree.Entry { return tree.Entry{Path: path, Link: target} }

func with(e tree.Entry, change func(*tree.Node)) tree.Entry {
	change(e.Node)
	return e
}

func pkg(format packages.Format, name string, entries ...tree.Entry) packages.Payload {
	return packages.Payload{About: packages.About{Format: format, Name: name, Version: "1"}, Entries: entries}
}

func rpm(name string, entries ...tree.Entry) packages.Payload {
	return pkg(packages.RPM, name, entries...)
}
func deb(name string, entries ...tree.Entry) packages.Payload {
	return pkg(packages.Deb, name, entries...)
}

func owned(p packages.Payload, owners map[string]packages.Owner) packages.Payload {
	p.Owners = owners
	return p
}

// base is a tree with /lib merged into /usr, from an earlier source.
func base(t *testing.T) *tree.Tree {
	t.Helper()
	into := tree.New()
	for _, e := range []tree.Entry{dir("usr/lib", 0o755), link("lib", "usr/lib"), file("etc/issue", "base")} {
		e.Node.Source = "base"
		if err := into.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return into
}

func TestWhatPackagesBringMeets(t *testing.T) {
	setuid := func(n *tree.Node) { n.Mode = 0o4755 }
	for _, c := range []struct {
		name     string
		payloads []packages.Payload
		conflict string // the path, a blank and what differs; or
		want     []string
	}{
		{"same files", []packages.Payload{rpm("a", file("f", "x")), rpm("b", file("f", "x"))}, "", []string{`f file 0644 0:0 "x"`}},
		{"other contents", []packages.Payload{rpm("a", file("f", "x")), rpm("b", file("f", "y"))}, "f the contents differ", nil},
		{"other sizes", []packages.Payload{rpm("a", file("f", "x")), rpm("b", file("f", "xx"))}, "f files of 1 and of 2 bytes", nil},
		{"long contents that differ at the end", []packages.Payload{rpm("a", file("f", strings.Repeat("x", 1<<17)+"a")),
			rpm("b", file("f", strings.Repeat("x", 1<<17)+"b"))}, "f the contents differ", nil},
		{"other modes", []packages.Payload{rpm("a", file("f", "x")), rpm("b", with(file("f", "x"), setuid))}, "f modes 0644 and 4755", nil},
		{"other owners", []packages.Payload{rpm("a", file("f", "x")), rpm("b", with(file("f", "x"), func(n *tree.Node) { n.GID = 3 }))},
			"f owners 0:0 and 0:3", nil},
		{"other owners by name", []packages.Payload{owned(rpm("a", file("f", "x")), map[string]packages.Owner{"f": {User: "u", Group: "g"}}), rpm("b", file("f", "x"))},
			"f owners u:g and root:root", nil},
		{"other capabilities", []packages.Payload{rpm("a", file("f", "x")),
			rpm("b", with(file("f", "x"), func(n *tree.Node) { n.Xattrs = map[string]string{"security.capability": "x"} }))}, "f extended attributes differ", nil},
		{"same links", []packages.Payload{rpm("a", link("s", "t")), rpm("b", link("s", "t"))}, "", []string{"s symbolic link 0777 0:0 -> t"}},
		{"other links", []packages.Payload{rpm("a", link("s", "t")), rpm("b", link("s", "u"))}, `s links to "t" and to "u"`, nil},
		{"link and file", []packages.Payload{rpm("a", link("s", "t")), rpm("b", file("s", "x"))}, "s a symbolic link and a file", nil},
		{"directory and file", []packages.Payload{rpm("a", dir("d", 0o755)), rpm("b", file("d", "x"))}, "d a directory and a file", nil},
		{"file and directory", []packages.Payload{rpm("a", file("d", "x")), rpm("b", dir("d", 0o755))}, "d a file and a directory", nil},
		{"by a link in the tree", []packages.Payload{rpm("a", file("lib/x", "x")), rpm("b", file("usr/lib/x", "y"))}, "usr/lib/x the contents differ", nil},
		{"the other way round", []packages.Payload{rpm("a", file("usr/lib/x", "x")), rpm("b", file("lib/x", "y"))}, "lib/x the contents differ", nil},
		{"same by a link in the tree", []packages.Payload{rpm("a", file("lib/x", "x")), rpm("b", file("usr/lib/x", "x"))}, "", []string{`usr/lib/x file 0644 0:0 "x"`}},
		{"same directories", []packages.Payload{rpm("a", dir("d", 0o750), file("d/a", "a")), rpm("b", dir("d", 0o750), file("d/b", "b"))}, "",
			[]string{"d directory 0750 0:0", `d/a file 0644 0:0 "a"`, `d/b file 0644 0:0 "b"`}},
		{"other directories of RPM", []packages.Payload{rpm("a", dir("d", 0o750)), rpm("b", dir("d", 0o755))}, "d modes 0750 and 0755", nil},
		{"other directories of Debian", []packages.Payload{deb("a", dir("d", 0o750)), deb("b", dir("d", 0o755))}, "", []string{"d directory 0750 0:0"}},
		{"directory that was only on the way", []packages.Payload{rpm("a", file("d/f", "x")), rpm("b", dir("d", 0o700))}, "",
			[]string{"d directory 0700 0:0", `d/f file 0644 0:0 "x"`}},
		{"directory on another package's link, RPM", []packages.Payload{rpm("a", dir("d", 0o755), link("s", "d")), rpm("b", dir("s", 0o755))},
			"s a symbolic link and a directory", nil},
		{"directory on another package's link, Debian", []packages.Payload{deb("a", dir("d", 0o755), link("s", "d")), deb("b", dir("s", 0o700), file("s/f", "x"))}, "",
			[]string{"d directory 0755 0:0", `d/f file 0644 0:0 "x"`, "s symbolic link 0777 0:0 -> d"}},
		{"directory on the base's link", []packages.Payload{rpm("a", dir("lib", 0o700), file("lib/x", "x"))}, "", []string{`usr/lib/x file 0644 0:0 "x"`}},
		{"file of the base", []packages.Payload{rpm("a", file("etc/issue", "new"))}, "", []string{`etc/issue file 0644 0:0 "new"`}},
		{"hard links", []packages.Payload{rpm("a", file("f", "x"), hard("g", "f")), rpm("b", file("f", "x"), hard("g", "f"))}, "",
			[]string{`f file 0644 0:0 "x"`, "g = f"}},
		{"hard links that differ", []packages.Payload{rpm("a", file("f", "x"), hard("g", "f")), rpm("b", file("h", "y"), hard("g", "h"))}, "g the contents differ", nil},
	} {
		into := base(t)
		err := packages.Lay(t.Context(), into, "rpm", c.payloads, nil)
		var conflict *packages.FileConflictError
		if c.conflict != "" {
			if !errors.As(err, &conflict) || conflict.Path+" "+conflict.Why != c.conflict || conflict.Earlier != "a 1" || conflict.Later != "b 1" {
				t.Errorf("%s: error %v: want the conflict %q", c.name, err, c.conflict)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		list, err := treetest.List(into)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range c.want {
			if !slices.Contains(list, line) {
				t.Errorf("%s: %q is not in\n%s", c.name, line, strings.Join(list, "\n"))
			}
		}
	}
}

func TestOneCanReplaceTheOther(t *testing.T) {
	for _, c := range []struct{ who, want string }{{"b", "from b"}, {"a", "from a"}} {
		into := base(t)
		replaces := func(later, earlier *packages.About, path string) bool { return later.Name == c.who && path == "lib/x" }
		payloads := []packages.Payload{deb("a", file("usr/lib/x", "from a")), deb("b", file("lib/x", "from b"))}
		if err := packages.Lay(t.Context(), into, "deb", payloads, replaces); err != nil {
			t.Errorf("%s replaces: %v", c.who, err)
			continue
		}
		if got, err := into.ReadFile("usr/lib/x", 100); string(got) != c.want {
			t.Errorf("%s replaces: %q, %v", c.who, got, err)
		}
	}
	always := func(_, _ *packages.About, _ string) bool { return true }
	payloads := []packages.Payload{deb("a", dir("d", 0o755), file("d/f", "x")), deb("b", file("d", "y"))}
	var conflict *packages.FileConflictError
	if err := packages.Lay(t.Context(), base(t), "deb", payloads, always); !errors.As(err, &conflict) {
		t.Errorf("error %v: want a conflict, as a directory cannot be replaced", err)
	}
}

func TestLayStopsAndNames(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := packages.Lay(ctx, base(t), "rpm", []packages.Payload{rpm("a")}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
	for words, entry := range map[string]tree.Entry{
		"no ..": file("../f", "x"), "does not exist": hard("g", "f"), "base": dir("etc/issue", 0o755),
	} {
		if err := packages.Lay(t.Context(), base(t), "rpm", []packages.Payload{rpm("a", entry)}, nil); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "package a 1") {
			t.Errorf("error %v: want %q and the package in it", err, words)
		}
	}
	twice := rpm("a", file("lib/x", "x"), file("usr/lib/x", "y"))
	if err := packages.Lay(t.Context(), base(t), "rpm", []packages.Payload{twice}, nil); err == nil || !strings.Contains(err.Error(), "has it twice") {
		t.Errorf("error %v: want one about two files in one place", err)
	}
}

func TestOwnGivesIDsWhenTheUsersExist(t *testing.T) {
	into := base(t)
	setuid := func(n *tree.Node) {
		n.Mode, n.Xattrs = 0o6755, map[string]string{"security.capability": "x"}
	}
	owner := packages.Owner{User: "u", Group: "g"}
	a := owned(rpm("a", dir("d", 0o750), with(file("d/f", "x"), setuid), hard("d/g", "d/f"), file("replaced", "x"), file("lib/x", "x")),
		map[string]packages.Owner{"d": owner, "d/f": owner, "d/g": owner, "replaced": owner, "lib/x": {User: "root", Group: "7"}})
	b := owned(rpm("b", dir("d", 0o750)), map[string]packages.Owner{"d": owner})
	payloads := []packages.Payload{a, b}
	if err := packages.Lay(t.Context(), into, "rpm", payloads, nil); err != nil {
		t.Fatal(err)
	}
	if err := packages.Own(into, payloads); err == nil || !strings.Contains(err.Error(), `user "u"`) || !strings.Contains(err.Error(), "package a 1") {
		t.Errorf("error %v: want one about the user", err)
	}
	for _, e := range []tree.Entry{file("etc/passwd", "u:x:5:6::/:\n"), file("etc/group", "g:x:9:\n"), file("replaced", "overlay")} {
		e.Node.Source = "overlay"
		if err := into.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := packages.Own(into, payloads); err != nil {
		t.Fatal(err)
	}
	list, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"d directory 0750 5:9", `d/f file 6755 5:9 "x" security.capability="x"`, "d/g = d/f",
		`replaced file 0644 0:0 "overlay"`, `usr/lib/x file 0644 0:7 "x"`} {
		if !slices.Contains(list, line) {
			t.Errorf("%q is not in\n%s", line, strings.Join(list, "\n"))
		}
	}
}

func TestSortPutsRequirementsFirst(t *testing.T) {
	needs := func(p packages.Payload, names ...string) packages.Payload {
		for _, name := range names {
			p.Requires = append(p.Requires, packages.Requirement{Relation: packages.Relation{Name: name}})
		}
		return p
	}
	provides := func(p packages.Payload, name string) packages.Payload {
		p.Provides = []packages.Relation{{Name: name}}
		return p
	}
	rich := rpm("rich")
	rich.Requires = []packages.Requirement{{Joined: packages.If, Args: []packages.Requirement{
		{Relation: packages.Relation{Name: "tool"}}, {Relation: packages.Relation{Name: "zebra"}}}}}
	payloads := []packages.Payload{
		needs(rpm("app"), "libz.so.1", "/bin/sh", "nobody"), provides(rpm("zlib"), "libz.so.1"), rpm("shell", file("bin/sh", "x")),
		needs(rpm("one"), "two"), needs(rpm("two"), "three"), needs(rpm("three"), "one", "zlib"),
		rich, needs(rpm("zebra"), "rich"), rpm("tool"), needs(deb("python-x"), "shell:any"),
	}
	want := "shell zlib app three two one python-x tool rich zebra"
	for range 20 {
		var names []string
		for _, p := range packages.Sort(payloads) {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		payloads = append(payloads[3:], payloads[:3]...)
	}
}
