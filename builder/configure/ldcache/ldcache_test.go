package ldcache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/configure/ldcache"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/machine/debian"
)

// libraries unpacks what counts of a real root, once.
var libraries = sync.OnceValues(func() (folder string, err error) {
	dir, err := debian.CheckoutDir()
	if err != nil {
		return "", err
	}
	root, err := debian.Root(context.Background(), debian.Config{Dir: dir})
	if err != nil {
		return "", err
	}
	if folder, err = os.MkdirTemp("", "ldcache-test-"); err != nil {
		return "", err
	}
	out, err := exec.Command("tar", "-xf", root, "-C", folder, "--no-same-owner", "--wildcards", "--no-wildcards-match-slash",
		"./lib", "./lib64", "./etc/ld.so.conf", "./etc/ld.so.conf.d", "./usr/lib/x86_64-linux-gnu/*.so*", "./usr/lib64", "./usr/sbin/ldconfig*").CombinedOutput()
	if err != nil {
		return folder, fmt.Errorf("tar: %w: %s", err, out)
	}
	return folder, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, _ := libraries(); folder != "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// root is a copy of the libraries, changed by a shell script that runs in it.
func root(t *testing.T, script string) string {
	t.Helper()
	from, err := libraries()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/root"
	run(t, "cp", "-a", from, dir)
	run(t, "sh", "-ec", `cd "$1"; `+script, "sh", dir)
	return dir
}

func cacheOf(t *testing.T, into *tree.Tree) []byte {
	t.Helper()
	if err := ldcache.Write(t.Context(), into, "test"); err != nil {
		t.Fatal(err)
	}
	n, ok := into.Lookup("etc/ld.so.cache")
	if !ok {
		t.Fatal("there is no etc/ld.so.cache")
	}
	data, err := io.ReadAll(n.Content.Open())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// printed is what ldconfig reads in a cache.
func printed(t *testing.T, cache []byte) string {
	t.Helper()
	at := t.TempDir() + "/cache"
	if err := os.WriteFile(at, cache, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ldconfig", "-p", "-C", at).CombinedOutput()
	if err != nil {
		t.Fatalf("ldconfig -p: %v: %s", err, out)
	}
	return strings.ReplaceAll(string(out), at, "")
}

func links(t *testing.T, into *tree.Tree) string {
	t.Helper()
	var out strings.Builder
	err := into.Walk(func(path string, n *tree.Node) error {
		if n.Kind == tree.Symlink {
			fmt.Fprintf(&out, "%s -> %s\n", path, n.Target)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const lib = "usr/lib/x86_64-linux-gnu"

func TestTheCacheIsThatOfLdconfig(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"a Debian root":    "",
		"without a config": "rm -r etc/ld.so.conf*",
		"missing links":    "find " + lib + " -type l -name 'lib[a-m]*' -delete",
		"links elsewhere":  "ln -sf libc.so.6 " + lib + "/libz.so.1; ln -s nowhere.so " + lib + "/libgone.so.1",
		"two versions":     "cp " + lib + "/libz.so.1.2.13 " + lib + "/libz.so.1.2.9; cp " + lib + "/libz.so.1.2.13 " + lib + "/libz.so.1.2.100; rm " + lib + "/libz.so.1",
		"developers' links": `ln -s libz.so.1 ` + lib + `/libz.so; ln -s libm.so.6 ` + lib + `/libother.so; ln -s libz.so.1.2.13 ` + lib + `/libname.so.3
			mkdir -p etc/alternatives; ln -s /` + lib + `/libm.so.6 etc/alternatives/m; ln -s /etc/alternatives/m ` + lib + `/libalt.so.2`,
		"other folders": `mkdir -p opt/a opt/b usr/local/lib; cp ` + lib + `/libz.so.1.2.13 opt/a/; cp ` + lib + `/libm.so.6 opt/b/libmine.so.1
			printf '# comment\n/opt/a # one\n  /opt/b/ \ninclude /etc/ld.so.conf.d/[a-z]*.conf\n/nowhere\n/usr/lib\n' > etc/ld.so.conf; cp ` + lib + `/libm.so.6 usr/local/lib/libmine.so.1`,
		"hwcaps": `for c in x86-64-v2 x86-64-v3 other; do mkdir -p ` + lib + `/glibc-hwcaps/$c; cp ` + lib + `/libz.so.1.2.13 ` + lib + `/libm.so.6 ` + lib + `/glibc-hwcaps/$c; done
			ln -s libz.so.1.2.13 ` + lib + `/glibc-hwcaps/other/libz.so.1; mkdir ` + lib + `/glibc-hwcaps/.hidden ` + lib + `/glibc-hwcaps/a:b`,
		"no libraries at all": `printf 'INPUT(x)' > ` + lib + `/libscript.so; : > ` + lib + `/libempty.so.1; head -c 200 ` + lib + `/libz.so.1.2.13 > ` + lib + `/libcut.so.1; mkdir ` + lib + `/libfolder.so.1`,
		"an executable":       "chmod +x " + lib + "/libz.so.1.2.13; cp /proc/self/exe " + lib + "/lib-sh.so.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := root(t, script)
			into := configuretest.Read(t, dir)
			got := cacheOf(t, into)
			run(t, "ldconfig", "-r", dir)
			want, err := os.ReadFile(dir + "/etc/ld.so.cache")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the caches differ: %d bytes, want %d\n%s\nwant\n%s", len(got), len(want), printed(t, got), printed(t, want))
			}
			if is, want := links(t, into), links(t, configuretest.Read(t, dir)); is != want {
				t.Errorf("links\n%s\nwant\n%s", is, want)
			}
		})
	}
}

// Each file includes all others twice: without a bound, that would be 28 files
// to the power of 14.
func TestFilesThatIncludeEachOtherAreReadOnce(t *testing.T) {
	t.Parallel()
	dir := root(t, `mkdir -p opt/last; cp `+lib+`/libz.so.1.2.13 opt/last/
		for i in $(seq 14); do printf 'include /etc/ld.so.conf.d/*\ninclude /etc/ld.so.conf.d/*\n' > etc/ld.so.conf.d/$i.conf; done
		echo /opt/last > etc/ld.so.conf.d/z.conf`)
	if !bytes.Contains(cacheOf(t, configuretest.Read(t, dir)), []byte("/opt/last/libz.so.1")) {
		t.Error("the last one is not read")
	}
	dir = root(t, `for i in $(seq 3000); do : > etc/ld.so.conf.d/$i; done; for i in $(seq 3000); do echo 'include /etc/ld.so.conf.d/no*'; done >> etc/ld.so.conf`)
	if err := ldcache.Write(t.Context(), configuretest.Read(t, dir), "test"); err == nil || !strings.Contains(err.Error(), "patterns look at more than") {
		t.Errorf("error %v", err)
	}
}

func TestATreeWithoutGlibcStaysAsItIs(t *testing.T) {
	into := tree.New()
	if err := into.Put("lib/ld-musl-x86_64.so.1", &tree.Node{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := ldcache.Write(t.Context(), into, "test"); err != nil {
		t.Fatal(err)
	}
	if _, ok := into.Lookup("etc"); ok {
		t.Error("etc was made")
	}
}

func TestTheLevelOfTheInstructionSetCounts(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-baseline"} {
		dir := root(t, "cp "+lib+"/libz.so.1.2.13 "+lib+"/keep; rm "+lib+"/libz*; mkdir -p "+lib+"/glibc-hwcaps/x86-64-v3")
		file := filepath.Join(dir, lib, "glibc-hwcaps/x86-64-v3/libneeds.so.1")
		source := filepath.Join(t.TempDir(), "a.s")
		if err := os.WriteFile(source, []byte(".globl f\nf: ret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "as", source, "-o", source+".o")
		run(t, "ld", "-shared", "-soname", "libneeds.so.1", "-z", level, source+".o", "-o", file)
		into := configuretest.Read(t, dir)
		got := cacheOf(t, into)
		run(t, "ldconfig", "-r", dir)
		want, err := os.ReadFile(dir + "/etc/ld.so.cache")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the caches differ", level)
		}
	}
}
