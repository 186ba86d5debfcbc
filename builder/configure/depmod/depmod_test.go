package depmod_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/configure/depmod"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/machine/debian"
)

// index are the files that depmod makes.
var index = []string{
	"modules.dep", "modules.dep.bin", "modules.alias", "modules.alias.bin", "modules.softdep", "modules.symbols",
	"modules.symbols.bin", "modules.builtin.bin", "modules.builtin.alias.bin", "modules.devname",
}

// kernel unpacks the modules of a real kernel once: a folder RELEASE below the
// one returned, without an index.
var kernel = sync.OnceValues(func() (folder string, err error) {
	dir, err := debian.CheckoutDir()
	if err != nil {
		return "", err
	}
	root, err := debian.Root(context.Background(), debian.Config{Dir: dir})
	if err != nil {
		return "", err
	}
	folder, err = os.MkdirTemp("", "depmod-test-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("tar", "-xf", root, "-C", folder, "--no-same-owner", "--strip-components=4", "./usr/lib/modules").CombinedOutput()
	if err != nil {
		return folder, fmt.Errorf("tar: %w: %s", err, out)
	}
	for _, name := range index {
		found, _ := filepath.Glob(folder + "/*/" + name)
		for _, file := range found {
			os.Remove(file)
		}
	}
	return folder, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, _ := kernel(); folder != "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// root makes a root folder whose lib/modules/RELEASE has the kernel's files, of
// the modules those in the given folders only, or all.
func root(t *testing.T, folders ...string) (dir, release string) {
	t.Helper()
	from, err := kernel()
	if err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(from)
	if err != nil || len(names) != 1 {
		t.Fatalf("kernels %v (%v): want one", names, err)
	}
	dir, release = t.TempDir(), names[0].Name()
	run(t, "mkdir", "-p", dir+"/usr/lib/modules")
	run(t, "ln", "-s", "usr/lib", dir+"/lib")
	if len(folders) == 0 {
		run(t, "cp", "-al", from+"/"+release, dir+"/usr/lib/modules/")
		return dir, release
	}
	script := `mkdir "$2" && cp -l "$1"/modules.* "$2" && cd "$1" && shift && to=$1 && shift && cp -al --parents "$@" "$to"`
	run(t, "sh", append([]string{"-c", script, "sh", from + "/" + release, dir + "/usr/lib/modules/" + release}, folders...)...)
	return dir, release
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// compare wants the tree's index to be what depmod makes in the folder.
func compare(t *testing.T, into *tree.Tree, dir, release string) {
	t.Helper()
	run(t, "depmod", "-b", dir, "-C", dir+"/etc/depmod.d", release)
	for _, name := range index {
		want, err := os.ReadFile(filepath.Join(dir, "lib/modules", release, name))
		if err != nil {
			t.Fatal(err)
		}
		got := file(t, into, path.Join("usr/lib/modules", release, name))
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes: want %d: %s", name, len(got), len(want), difference(got, want))
		}
	}
}

func file(t *testing.T, from *tree.Tree, at string) []byte {
	t.Helper()
	n, ok := from.Resolve(at)
	if !ok {
		t.Fatalf("%s: not in the tree", at)
	}
	if n.Content.Size == 0 {
		return nil
	}
	data, err := io.ReadAll(n.Content.Open())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func difference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("at %d %.80q: want %.80q", i, got[i:], want[i:])
}

func write(t *testing.T, into *tree.Tree) {
	t.Helper()
	if err := depmod.Write(t.Context(), into, "test"); err != nil {
		t.Fatal(err)
	}
}

func TestTheIndexOfARealKernelIsThatOfDepmod(t *testing.T) {
	t.Parallel()
	dir, release := root(t)
	into := configuretest.Read(t, dir)
	write(t, into)
	compare(t, into, dir, release)
	if lines := strings.Count(string(file(t, into, "usr/lib/modules/"+release+"/modules.dep")), "\n"); lines < 500 {
		t.Errorf("%d modules: want a kernel with hundreds", lines)
	}
}

func TestModulesWithoutAnOrderComeAsWithDepmod(t *testing.T) {
	t.Parallel()
	dir, release := root(t)
	folder := filepath.Join(dir, "usr/lib/modules", release)
	run(t, "sh", "-c", `cd "$1" && sed -n '1~3p' modules.order > o && mv o modules.order && rm modules.builtin*`, "sh", folder)
	into := configuretest.Read(t, dir)
	write(t, into)
	compare(t, into, dir, release)
}

func TestCompressedModulesAreRead(t *testing.T) {
	t.Parallel()
	dir, release := root(t, "kernel/crypto", "kernel/fs", "kernel/lib", "kernel/net/sunrpc", "kernel/net/dns_resolver")
	folder := filepath.Join(dir, "usr/lib/modules", release)
	run(t, "sh", "-c", `cd "$1" &&
		find kernel/fs -name '*.ko' | xargs -P2 -n50 xz -f -0 --check=crc32 && find kernel/net -name '*.ko' | xargs -P2 -n50 zstd -q --rm -f`, "sh", folder)
	into := configuretest.Read(t, dir)
	write(t, into)
	compare(t, into, dir, release)
	dep := string(file(t, into, "usr/lib/modules/"+release+"/modules.dep"))
	for _, suffix := range []string{".ko:", ".ko.xz:", ".ko.zst:"} {
		if !strings.Contains(dep, suffix) {
			t.Errorf("modules.dep has no %s", suffix)
		}
	}
}

func TestGzippedModulesSayTheSame(t *testing.T) { // Debian's depmod does not read them
	t.Parallel()
	dir, release := root(t, "kernel/crypto", "kernel/lib")
	folder := filepath.Join(dir, "usr/lib/modules", release)
	plain := configuretest.Read(t, dir)
	write(t, plain)
	run(t, "sh", "-c", `cd "$1" && find kernel -name '*.ko' | xargs -P2 -n50 gzip -f -1`, "sh", folder)
	zipped := configuretest.Read(t, dir)
	write(t, zipped)
	for _, name := range []string{"modules.dep", "modules.symbols.bin", "modules.alias.bin"} {
		at := path.Join("usr/lib/modules", release, name)
		got := strings.ReplaceAll(string(file(t, zipped, at)), ".ko.gz", ".ko")
		if got != string(file(t, plain, at)) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestUpdatesOverridesAndSearchOrdersCountAsWithDepmod(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]string{
		"without configuration": "",
		"a search order":        "search extra built-in updates\n",
		"no built-in":           "search extra\n",
		"an override":           "search updates built-in\noverride nfs * kernel/fs/nfs\noverride xfs 6\\.1.* extra\noverride btrfs 5\\.* extra\n",
		"an excluded folder":    "# comment\nexclude updates net\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, release := root(t, "kernel/crypto", "kernel/lib", "kernel/fs")
			folder := filepath.Join(dir, "usr/lib/modules", release)
			// One file under each of several names and folders.
			run(t, "sh", "-c", `cd "$1" && mkdir -p updates/dkms extra/deep &&
				cp kernel/fs/nfs/nfs.ko kernel/fs/xfs/xfs.ko updates/dkms/ && cp kernel/fs/nfs/nfs.ko kernel/fs/xfs/xfs.ko kernel/fs/btrfs/btrfs.ko extra/deep/ &&
				cp kernel/fs/xfs/xfs.ko extra/ && rm extra/deep/xfs.ko && ln -s ../kernel/fs/fuse/fuse.ko extra/other-name.ko`, "sh", folder)
			run(t, "mkdir", "-p", dir+"/etc/depmod.d")
			if err := os.WriteFile(dir+"/etc/depmod.d/x.conf", []byte(conf), 0o644); err != nil {
				t.Fatal(err)
			}
			into := configuretest.Read(t, dir)
			write(t, into)
			compare(t, into, dir, release)
		})
	}
}

func TestAnIndexThatListsTheModulesStays(t *testing.T) {
	t.Parallel()
	dir, release := root(t, "kernel/fs/fuse", "kernel/lib")
	run(t, "depmod", "-b", dir, release)
	into := configuretest.Read(t, dir)
	at := path.Join("usr/lib/modules", release, "modules.dep")
	before, _ := into.Lookup(at)
	write(t, into)
	if after, _ := into.Lookup(at); after != before {
		t.Error("modules.dep was written anew")
	}
	if err := into.Remove(path.Join("usr/lib/modules", release, "kernel/fs/fuse/fuse.ko")); err != nil {
		t.Fatal(err)
	}
	if err := into.Remove(path.Join("usr/lib/modules", release, "kernel/fs/fuse/cuse.ko")); err != nil {
		t.Fatal(err)
	}
	write(t, into)
	if strings.Contains(string(file(t, into, at)), "fuse/fuse.ko:") {
		t.Error("modules.dep still has a module that is gone")
	}
}

func TestATreeWithoutModulesStaysAsItIs(t *testing.T) {
	into := tree.New()
	if err := into.Put("usr/lib/modules/6.1/vmlinuz", &tree.Node{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	write(t, into)
	if names, _ := into.Children("usr/lib/modules/6.1"); !slices.Equal(names, []string{"vmlinuz"}) {
		t.Errorf("the folder has %v", names)
	}
}

func TestBadModulesAreRefusedByName(t *testing.T) {
	for name, c := range map[string]struct{ file, data, want string }{
		"no ELF file":        {"a.ko", "no module", "module a.ko: starts with"},
		"empty":              {"a.ko", "", "module a.ko: starts with"},
		"cut off":            {"a.ko", "\x7fELF\x02\x01" + strings.Repeat("\xff", 60), "section headers"},
		"damaged compressed": {"a.ko.xz", "\xfd7zXZ\x00broken", "module a.ko.xz: "},
		"a space in a name":  {"a b.ko", "", "visible ASCII"},
		"a colon in a name":  {"a:b.ko", "", "visible ASCII"},
	} {
		t.Run(name, func(t *testing.T) {
			into := tree.New()
			n := &tree.Node{Source: "test"}
			if c.data != "" {
				n.Content = tree.Content{At: strings.NewReader(c.data), Size: int64(len(c.data))}
			}
			if err := into.Put("lib/modules/6.1/"+c.file, n); err != nil {
				t.Fatal(err)
			}
			err := depmod.Write(t.Context(), into, "test")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "/lib/modules/6.1") {
				t.Errorf("error %v: want %q and the folder", err, c.want)
			}
		})
	}
}

func TestModulesOfOtherMachinesAreRead(t *testing.T) {
	dir := t.TempDir()
	run(t, "mkdir", "-p", dir+"/usr/lib/modules/1.0/kernel")
	run(t, "ln", "-s", "usr/lib", dir+"/lib")
	run(t, "cp", "testdata/module64.ko", "testdata/module32be.ko", dir+"/usr/lib/modules/1.0/kernel")
	into := configuretest.Read(t, dir)
	if err := into.Put("usr/lib/modules/1.0/modules.order", &tree.Node{Source: "test"}); err != nil {
		t.Fatal(err)
	}
	write(t, into)
	compare(t, into, dir, "1.0")
	if names := string(file(t, into, "usr/lib/modules/1.0/modules.devname")); strings.Count(names, " fuse c10:229\n") != 2 {
		t.Errorf("modules.devname has %q: want both modules", names)
	}
}
