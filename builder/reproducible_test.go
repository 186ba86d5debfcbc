package builder

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/download"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/manifests"
)

// elsewhere, set, makes the test binary build what is in the working folder:
// recipe.yaml, proa.lock and the program init, into the folder out, with the
// cache in the folder cache.
const elsewhere = "PROA_TEST_BUILD_HERE"

func buildHere() error {
	text, err := os.ReadFile("recipe.yaml")
	if err != nil {
		return err
	}
	recipe, err := manifests.ParseRecipe("recipe.yaml", text)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(manifests.LockFile)
	if err != nil {
		return err
	}
	lock, err := manifests.ParseLock(data)
	if err != nil {
		return err
	}
	program, err := os.ReadFile("init")
	if err != nil {
		return err
	}
	kept, err := cache.Open("cache")
	if err != nil {
		return err
	}
	defer kept.Close()
	fetcher := download.New(kept, download.Config{})
	defer fetcher.Close()
	_, err = Build(context.Background(), Config{
		Recipe: recipe, RecipeText: text, Folder: ".", Output: "out", Version: "1.0.0", Arch: manifests.AMD64,
		Epoch: manifests.DefaultEpoch, Init: program, Lock: lock, Cache: kept, Fetcher: fetcher,
	})
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	fmt.Println(host, os.Getuid(), runtime.GOMAXPROCS(0), time.Local)
	return err
}

// workplace is a folder that any user may build in.
func workplace(t *testing.T, w *resolvetest.World, files ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "proa-elsewhere-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"root.tar": shared.root, "build": program, "key.asc": w.Key} {
		run(t, "cp", from, filepath.Join(dir, to))
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "init"), shared.init, 0o644), os.Chmod(dir, 0o777))
	for _, name := range files {
		path := filepath.Join(dir, "overlay/usr/share", name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPackagesAndImagesGiveTheSameBytesEverywhere builds with a filled cache
// and, as another user on a host of another name, with an empty one: under all
// that has been seen to make builds differ but the clock, of which see
// TestNoBuildReadsTheClock.
func TestPackagesAndImagesGiveTheSameBytesEverywhere(t *testing.T) {
	w := resolvetest.Open(t)
	fill(t, w)
	first := workplace(t, w, "a/1", "b/2", "c/3")
	second := workplace(t, w, "c/3", "b/2", "a/1")
	text := "product: test\nplatform: qemu\nesp: 96MiB\nvar: 16MiB\nsources:\n  - tar: root.tar\n" +
		strings.ReplaceAll(sources(w), w.Key, "key.asc") + "  - dir: overlay\n"
	recipe, err := manifests.ParseRecipe("recipe.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, "")
	c.Recipe, c.RecipeText, c.Folder = recipe, []byte(text), first
	c = locked(t, c, filepath.Join(first, "cache"))
	c.Output = filepath.Join(first, "cold")
	mustBuild(t, c)
	c.Output = filepath.Join(first, "warm")
	mustBuild(t, c)
	same(t, filepath.Join(first, "cold"), filepath.Join(first, "warm"))

	lock, err := c.Lock.Encode()
	if err := errors.Join(err, os.WriteFile(filepath.Join(second, manifests.LockFile), lock, 0o644), os.WriteFile(filepath.Join(second, "recipe.yaml"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	// Whoever may not change the host's name and their own id does it in a user
	// namespace.
	there := []string{"unshare", "--user", "--map-root-user", "--uts", "sh", "-c", `hostname elsewhere && umask 077 && exec "$@"`, "sh"}
	if os.Getuid() == 0 {
		there = []string{"unshare", "--uts", "sh", "-c", `hostname elsewhere && umask 077 && exec setpriv --reuid=12345 --regid=12345 --clear-groups "$@"`, "sh"}
	}
	cmd := exec.Command(there[0], append(there[1:], "./build")...)
	cmd.Dir = second
	cmd.Env = append(os.Environ(), elsewhere+"=1", "TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=1", "HOME=/nonexistent", "USER=other", "TMPDIR="+second)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("building elsewhere: %v\n%s", err, out)
	}
	if uid := os.Getuid(); strings.HasPrefix(string(out), fmt.Sprintf("elsewhere %d ", uid)) || !strings.HasPrefix(string(out), "elsewhere ") || !strings.Contains(string(out), " 1 ") {
		t.Fatalf("it was built by %q: want another host, user and number of cores", out)
	}
	same(t, filepath.Join(first, "cold"), filepath.Join(second, "out"))
}

// same compares two releases.
func same(t *testing.T, a, b string) {
	t.Helper()
	names, err := os.ReadDir(a)
	if err != nil || len(names) < 8 {
		t.Fatalf("%s holds %v, %v", a, names, err)
	}
	for _, name := range names {
		if out, err := exec.Command("cmp", filepath.Join(a, name.Name()), filepath.Join(b, name.Name())).CombinedOutput(); err != nil {
			t.Errorf("%s", out)
		}
	}
}

// clocks are the folders of what a build consists of that may read the clock, and
// what for. Programs without a C library cannot be given another time by
// preloading, so this holds for every clock what a test at one other time would
// show for that one.
var clocks = map[string]string{
	"builder/cache": "when an entry was last used, for prune",
	"builder/oci":   "how long to wait for a registry",
	"signing":       "whether metadata of a repository has expired; of the root that a release carries, that does not count",
}

func TestNoBuildReadsTheClock(t *testing.T) {
	seen := 0
	for _, room := range []string{"builder", "manifests", "partitions", "signing", "durable"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			seen++
			ast.Inspect(file, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				name := fmt.Sprint(selector.X) + "." + selector.Sel.Name
				folder, _ := filepath.Rel("..", filepath.Dir(path))
				if slices.Contains([]string{"time.Now", "time.Since", "time.Until"}, name) && clocks[folder] == "" {
					t.Errorf("%s: %s: a build depends on its epoch alone; if this cannot reach a release, say so in clocks", path, name)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("looked at %d files", seen)
	}
}
