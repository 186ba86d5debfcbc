package deb_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/deb"
	"github.com/proa-os/proa/builder/deb/debtest"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// build makes a package with these fields, each on its line, behind the usual
// ones.
func build(t testing.TB, name, version, arch, fields string, files map[string]string) string {
	t.Helper()
	text := "Package: " + name + "\nVersion: " + version + "\nArchitecture: " + arch + "\nMaintainer: T <t@example.org>\nDescription: x\n" + fields
	return debtest.Build(t, t.TempDir(), name, text, files, "--root-owner-group")
}

// load reads a root into a tree, as a base image would be.
func load(t testing.TB, root string) *tree.Tree {
	t.Helper()
	into := tree.New()
	if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		n := &tree.Node{Mode: 0o755, Source: "oci base"}
		switch entry.Type() {
		case fs.ModeDir:
			n.Kind = tree.Directory
		case fs.ModeSymlink:
			n.Kind, n.Mode = tree.Symlink, 0o777
			if n.Target, err = os.Readlink(path); err != nil {
				return err
			}
		default:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if n.Mode = 0o644; strings.HasPrefix(string(data), "#!") {
				n.Mode = 0o755
			}
			if len(data) > 0 {
				n.Content = tree.Content{At: strings.NewReader(string(data)), Size: int64(len(data))}
			}
		}
		return into.Put(strings.TrimPrefix(path, root+"/"), n)
	}); err != nil {
		t.Fatal(err)
	}
	return into
}

// add is what a build does with the packages of a source.
func add(t testing.TB, into *tree.Tree, paths ...string) ([]packages.Recorded, error) {
	t.Helper()
	var payloads []packages.Payload
	for _, path := range paths {
		p, err := deb.Read(t.Context(), newStore(t), path, "deb packages")
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	gone, err := deb.MakeRoom(into, payloads)
	if err != nil {
		return nil, err
	}
	if err := packages.Lay(t.Context(), into, "deb packages", payloads, deb.Replaces); err != nil {
		return nil, err
	}
	return gone, deb.WriteDatabase(into, payloads)
}

// dpkgIn has dpkg change a root.
func dpkgIn(t testing.TB, root string, args ...string) error {
	t.Helper()
	args = append([]string{"--root=" + root, "--force-not-root", "--force-script-chrootless", "--force-unsafe-io", "--force-confnew", "--log=/dev/null"}, args...)
	out, err := exec.Command("dpkg", args...).CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

// listRoot is every file and link of a root with what is in it, and directory,
// without the database.
func listRoot(t testing.TB, root string) []string {
	t.Helper()
	var lines []string
	if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root)
		if err != nil {
			return err
		}
		if name == "/var" || name == "/usr/lib/sysimage" {
			return fs.SkipDir
		}
		switch entry.Type() {
		case fs.ModeDir:
			lines = append(lines, name+"/")
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			lines = append(lines, name+" -> "+target)
			return err
		default:
			data, err := os.ReadFile(path)
			lines = append(lines, name+" "+string(data))
			return err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "/usr/lib/" })
}

// bases are the packages of a base image.
func bases(t testing.TB) []string {
	t.Helper()
	arch, script := string(manifests.HostArch()), "#!/bin/sh\nexit 0\n"
	return []string{
		build(t, "tool", "1", arch, "Multi-Arch: same\n", map[string]string{
			"DEBIAN/conffiles": "/etc/tool.conf\n/etc/old.conf\n", "DEBIAN/postinst": script, "DEBIAN/prerm": script, "DEBIAN/triggers": "interest-noawait /usr/share/tool\n",
			"etc/tool.conf": "1", "etc/old.conf": "1", "usr/share/tool/old/gone": "1", "usr/share/tool/same": "1", "usr/share/tool/link": "-> same",
			"usr/share/common/tool": "1", "usr/share/moved": "1",
		}),
		build(t, "data", "1:1", "all", "", map[string]string{"usr/share/data/data": "1", "usr/share/data/old": "1"}),
		build(t, "mail-old", "1", "all", "Provides: mta\n", map[string]string{"usr/share/mail/old": "1"}),
		build(t, "stays", "1", "all", "Conflicts: enemy (<< 2)\n", map[string]string{
			"DEBIAN/postinst": script, "DEBIAN/triggers": "interest-noawait /usr/share/stays\n", "usr/share/stays/f": "1", "usr/share/stays/taken": "1", "usr/share/common/stays": "1",
		}),
	}
}

// TestPackagesOnABaseAreAnUpgrade has dpkg install the same packages into the
// same root.
func TestPackagesOnABaseAreAnUpgrade(t *testing.T) {
	t.Parallel()
	arch := string(manifests.HostArch())
	root := dpkgInstalls(t, bases(t)...)
	own := filepath.Join(root, "var/lib/dpkg")
	for name, text := range map[string]string{"alternatives/editor": "auto\n/usr/bin/editor\n\n", "diversions": "/bin/x\n/bin/x.real\nstays\n", "statoverride": "root root 755 /usr/share/stays/f\n"} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	news := []string{
		build(t, "data", "1:2", "all", "", map[string]string{"usr/share/data/data": "2"}),
		build(t, "tool", "2", arch, "Depends: data (>= 1:2)\n", map[string]string{
			"DEBIAN/conffiles": "/etc/tool.conf\n", "DEBIAN/triggers": "interest-noawait /usr/share/new\n", "etc/tool.conf": "2", "usr/share/tool/same": "2",
			"usr/share/tool/new": "2", "usr/share/tool/link": "-> new",
		}),
		build(t, "mail-new", "2", "all", "Provides: mta\nConflicts: mail-old\nReplaces: mail-old\n", map[string]string{"usr/share/mail/new": "2"}),
		build(t, "taker", "1", "all", "Replaces: stays (<< 2)\n", map[string]string{"usr/share/stays/taken": "2"}),
	}
	into := load(t, root)
	gone, err := add(t, into, news...)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range gone {
		names = append(names, g.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"data", "mail-old", "tool"}) {
		t.Errorf("gone: %q", names)
	}
	ours := export(t, into)
	for _, path := range news {
		if err := dpkgIn(t, root, "--install", path); err != nil {
			t.Fatal(err)
		}
	}
	// What dpkg remembers of packages that were taken away whole.
	if err := dpkgIn(t, root, "--purge", "mail-old"); err != nil {
		t.Fatal(err)
	}
	// It lets configuration be that a package has no more.
	if err := os.Remove(filepath.Join(root, "etc/old.conf")); err != nil {
		t.Fatal(err)
	}
	want, got := readDatabase(t, own), readDatabase(t, filepath.Join(ours, "var/lib/dpkg"))
	for _, file := range []string{"lock", "lock-frontend", "triggers/Lock", "status-old", "available", "arch"} {
		delete(want, file)
		delete(got, file)
	}
	obsolete := " /etc/old.conf c4ca4238a0b923820dcc509a6f75849b obsolete\n"
	want["status"] = strings.Replace(want["status"], obsolete, "", 1)
	want["info/tool.list"] = strings.Replace(want["info/tool.list"], "/etc/old.conf\n", "", 1)
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s:\n%s\ndpkg has\n%s", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s, which dpkg has not", name)
		}
	}
	if got, want := listRoot(t, ours), listRoot(t, root); !slices.Equal(got, want) {
		t.Errorf("files\n%s\ndpkg has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	query := string(tool(t, nil, "dpkg-query", "--root="+ours, "-W", "-f", "${db:Status-Abbrev} ${Package} ${Version}\n"))
	if query != "ii  data 1:2\nii  mail-new 2\nii  stays 1\nii  taker 1\nii  tool 2\n" {
		t.Errorf("dpkg-query has\n%s", query)
	}
	if got := string(tool(t, nil, "dpkg", "--root="+ours, "--verify")); got != "" {
		t.Errorf("dpkg --verify: %s", got)
	}
	if got := string(tool(t, nil, "dpkg", "--root="+ours, "-L", "tool")); strings.Contains(got, "gone") || !strings.Contains(got, "/usr/share/tool/new") {
		t.Errorf("dpkg -L tool: %s", got)
	}
}

func TestWhatCannotStandBesideTheBaseIsRefused(t *testing.T) {
	t.Parallel()
	root := dpkgInstalls(t, bases(t)...)
	for words, path := range map[string]string{
		"package enemy 1 cannot be added to package stays 1, which an earlier source brought: the latter conflicts with enemy < 2": build(t, "enemy", "1", "all", "", nil),
		"the former conflicts with stays":                                   build(t, "quarrel", "1", "all", "Conflicts: stays\n", nil),
		"the former conflicts with data < 1:2":                              build(t, "breaker", "1", "all", "Breaks: data (<< 1:2)\nReplaces: data (<< 1:2)\n", nil),
		`is in package stays 1 and in package thief 1: the contents differ`: build(t, "thief", "1", "all", "", map[string]string{"usr/share/stays/f": "2"}),
	} {
		if _, err := add(t, load(t, root), path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v: want %q", err, words)
		}
		if err := dpkgIn(t, root, "--no-act", "--install", path); err == nil && !strings.Contains(words, "thief") {
			t.Errorf("%s: dpkg does not mind", words)
		}
	}
}

func TestDatabasesThatLeadOutAreRefused(t *testing.T) {
	stanza := "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
	for words, files := range map[string]map[string]string{
		"want a field's name":      {"status": "what\n"},
		"package name":             {"status": strings.Replace(stanza, "Package: a", "Package: ../a", 1)},
		"architecture":             {"status": strings.Replace(stanza, "Architecture: all", "Architecture: ../../x", 1)},
		"package a:all: twice":     {"status": stanza + "\n" + stanza},
		"info/a.list: path":        {"status": stanza, "info/a.list": "/.\n/usr/../../etc/passwd\n"},
		"field Conflicts":          {"status": stanza + "Conflicts: (\n"},
		"a directory, want a file": {"status/x": ""},
	} {
		into := tree.New()
		for name, text := range files {
			n := &tree.Node{Mode: 0o644, Source: "base"}
			if text != "" {
				n.Content = tree.Content{At: strings.NewReader(text), Size: int64(len(text))}
			}
			if err := into.Put("var/lib/dpkg/"+name, n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := add(t, into, build(t, "b", "1", "all", "", nil)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v: want %q", err, words)
		}
	}
}

// TestASecondSourceUpgradesTheFirst puts packages of two sources into one tree.
func TestASecondSourceUpgradesTheFirst(t *testing.T) {
	t.Parallel()
	old := []string{
		build(t, "a", "1", "all", "", map[string]string{"usr/share/a/old": "1", "usr/share/a/same": "1"}),
		build(t, "b", "1", "all", "", map[string]string{"usr/share/b": "1"}),
	}
	next := build(t, "a", "2", "all", "", map[string]string{"usr/share/a/same": "2"})
	into := tree.New()
	if gone, err := add(t, into, old...); err != nil || len(gone) > 0 {
		t.Fatal(gone, err)
	}
	gone, err := add(t, into, next)
	if err != nil || len(gone) != 1 || gone[0].Name != "a" || gone[0].Version != "1" {
		t.Fatal(gone, err)
	}
	root := export(t, into)
	if got := string(tool(t, nil, "dpkg-query", "--root="+root, "-W", "-f", "${Package} ${Version}\n")); got != "a 2\nb 1\n" {
		t.Errorf("dpkg-query has %s", got)
	}
	if got, want := listRoot(t, root), []string{"/", "/usr/", "/usr/share/", "/usr/share/a/", "/usr/share/a/same 2", "/usr/share/b 1"}; !slices.Equal(got[1:], want[1:]) {
		t.Errorf("files %q, want %q", got, want)
	}
}
