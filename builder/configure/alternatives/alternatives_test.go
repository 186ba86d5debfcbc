package alternatives_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/alternatives"
	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
)

var installs = []string{
	"--install /usr/bin/awk awk /usr/bin/mawk 5 --slave /usr/share/man/awk.1 awk.1 /usr/share/man/mawk.1 --slave /usr/bin/nawk nawk /usr/bin/mawk",
	"--install /usr/bin/awk awk /usr/bin/gawk 10 --slave /usr/share/man/awk.1 awk.1 /usr/share/man/gawk.1 --slave /usr/bin/igawk igawk /usr/bin/absent",
	"--install /usr/bin/pager pager /usr/bin/more 50",
	"--install /usr/bin/pager pager /usr/bin/less 50",
	"--install /usr/bin/editor editor /usr/bin/less -10",
	"--install /usr/bin/taken taken /usr/bin/less 1",
	"--install /usr/bin/editor editor /usr/bin/more -20",
}

func files() map[string]string {
	out := map[string]string{"etc/alternatives": "/", "var/lib/dpkg/alternatives": "/", "usr/bin/taken": "a file of its own", "var/log": "/"}
	for _, name := range []string{"usr/bin/mawk", "usr/bin/gawk", "usr/bin/more", "usr/bin/less", "usr/share/man/mawk.1", "usr/share/man/gawk.1"} {
		out[name] = ""
	}
	return out
}

func TestTheSameLinksAndStateAsUpdateAlternatives(t *testing.T) {
	ours := configuretest.Tree(t, files())
	dir := configuretest.Folder(t, ours)
	var set alternatives.Set
	for _, line := range installs {
		c, ok, err := alternatives.Parse(strings.Fields(line))
		if err != nil || !ok {
			t.Fatalf("%s: %v", line, err)
		}
		if err := set.Add(c); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("update-alternatives", append([]string{"--root", dir}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if _, err := set.Write(ours, "var/lib/dpkg/alternatives", "test"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "var/log")); err != nil {
		t.Fatal(err)
	}
	if err := ours.Remove("var/log"); err != nil {
		t.Fatal(err)
	}
	got, err := treetest.List(ours)
	if err != nil {
		t.Fatal(err)
	}
	want, err := treetest.List(configuretest.Read(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBadAlternativesAreRefused(t *testing.T) {
	for _, line := range []string{
		"--install /a a /b", "--install /a a /b x", "--install a a /b 1", "--install /a a/b /b 1", "--install /a .. /b 1",
		"--install /a a /b 1 --slave /c c", "--install /a a /b 1 --slave /a c /d",
	} {
		if _, ok, err := alternatives.Parse(strings.Fields(line)); err == nil || ok {
			t.Errorf("%s is accepted", line)
		}
	}
	if _, ok, err := alternatives.Parse([]string{"--remove", "a", "/b"}); ok || err != nil {
		t.Errorf("--remove is an install: %v, %v", ok, err)
	}
}

func TestTheSameErrorEachTime(t *testing.T) {
	var set alternatives.Set
	for _, name := range strings.Fields("h g f e d c b a") {
		c := alternatives.Choice{Link: "/l" + name, Name: name, Path: "/p", Followers: []alternatives.Follower{{Link: "/s", Name: "shared", Path: "/q"}}}
		if err := set.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		err := set.Add(alternatives.Choice{Link: "/l", Name: "shared", Path: "/p"})
		if err == nil || err.Error() != "shared goes with a already" {
			t.Fatalf("error %v", err)
		}
	}
}

func FuzzAlternatives(f *testing.F) {
	for _, line := range installs {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, ok, err := alternatives.Parse(strings.Fields(line))
		if !ok || err != nil {
			return
		}
		var set alternatives.Set
		if err := set.Add(c); err != nil {
			t.Fatal(err)
		}
		into := tree.New()
		_, _ = set.Write(into, "var/lib/dpkg/alternatives", "test")
		if err := into.Walk(func(at string, n *tree.Node) error { _, err := tree.Clean(at); return err }); err != nil {
			t.Error(err)
		}
	})
}
