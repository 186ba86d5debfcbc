package vendoring_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/download"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/builder/vendoring"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

// vendor is a world, and a recipe of all that is in it.
func vendor(t *testing.T) (*resolvetest.World, vendoring.Config) {
	t.Helper()
	w := resolvetest.Open(t)
	w.AddDeb(t, resolvetest.Package{Name: "tool", Version: "1"})
	w.Push(t, "app", "1", nil)
	folder := t.TempDir()
	w.DebFile(t, folder, resolvetest.Package{Name: "own", Version: "1"})
	if err := os.WriteFile(filepath.Join(folder, "root.tar"), []byte("an archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+w.Registry+"/app:1", "oci:"+folder+"/layout:it")
	text := "product: test\nsources:\n  - tar: root.tar\n  - oci: ./layout\n  - oci: " + w.Registry + "/app:1\n" +
		"  - deb: {repositories: [{url: " + w.URL + "/debian, suites: [stable], signedBy: [" + w.Key + "]}], packages: [tool, ./own_1.deb]}\n"
	recipe, err := manifests.ParseRecipe("recipe.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fetcher := download.New(kept, download.Config{Patience: fetch.Patience{Pause: time.Millisecond}})
	t.Cleanup(func() { fetcher.Close(); kept.Close() })
	remote := oci.Remote{Patience: fetch.Patience{Pause: time.Millisecond, Attempts: 2}}
	lock, err := resolve.Lock(t.Context(), resolve.Config{Recipe: recipe, Folder: folder, Fetcher: fetcher, Now: time.Now(), Registry: remote})
	if err != nil {
		t.Fatal(err)
	}
	return w, vendoring.Config{Lock: lock, Folder: folder, Dir: filepath.Join(t.TempDir(), "inputs"), Cache: kept, Fetcher: fetcher, Registry: remote}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestEveryInputIsThereOnce(t *testing.T) {
	w, c := vendor(t)
	result, err := vendoring.Write(t.Context(), c)
	if err != nil || result.Removed != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	entries, err := os.ReadDir(filepath.Join(c.Dir, "blobs/sha256"))
	if err != nil || len(entries) != result.Blobs || len(entries) != 6 {
		t.Errorf("%d blobs, %+v: want 3 of the image, 2 packages, an archive; %v", len(entries), result, err)
	}
	run(t, "sh", "-c", `cd "$1" && for f in *; do echo "$f  $f"; done | sha256sum -c`, "sh", filepath.Join(c.Dir, "blobs/sha256"))
	run(t, "skopeo", "inspect", "oci:"+c.Dir+":"+w.Registry+"/app:1")

	// Again: nothing is asked for, nothing is written but the index.
	w.Requests()
	before := run(t, "sh", "-c", `cd "$1" && ls -i --full-time blobs/sha256 && cat index.json`, "sh", c.Dir)
	again, err := vendoring.Write(t.Context(), c)
	if after := run(t, "sh", "-c", `cd "$1" && ls -i --full-time blobs/sha256 && cat index.json`, "sh", c.Dir); err != nil || after != before || again != result || w.Requests() != 0 {
		t.Errorf("%+v, %v\n%s\n%s", again, err, before, after)
	}

	// A lock of less: the rest goes.
	c.Lock.Inputs = c.Lock.Inputs[:1]
	less, err := vendoring.Write(t.Context(), c)
	if err != nil || less.Blobs != 1 || less.Removed != 5 {
		t.Errorf("%+v, %v", less, err)
	}
}

func TestWhatIsNotTheLockedInputIsNotTaken(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *resolvetest.World, folder string) error
		want   string
	}{
		"an archive that changed": {func(_ *resolvetest.World, folder string) error {
			return os.WriteFile(filepath.Join(folder, "root.tar"), []byte("An archive"), 0o644)
		}, "tar root.tar: 10 bytes with digest"},
		"an archive without end": {func(_ *resolvetest.World, folder string) error {
			return os.Truncate(filepath.Join(folder, "root.tar"), 1<<40)
		}, "tar root.tar: 11 bytes with digest"},
		"a pipe": {func(_ *resolvetest.World, folder string) error {
			return errors.Join(os.Remove(filepath.Join(folder, "root.tar")), syscall.Mkfifo(filepath.Join(folder, "root.tar"), 0o600))
		}, "want a regular file"},
		"a package beside the recipe": {func(_ *resolvetest.World, folder string) error {
			return os.WriteFile(filepath.Join(folder, "own_1.deb"), []byte("!<arch>\n"), 0o644)
		}, "./own_1.deb: 8 bytes with digest"},
		"a package of the repository": {func(w *resolvetest.World, _ string) error {
			return os.WriteFile(filepath.Join(w.Dir, resolvetest.DebPool, "tool_1.deb"), []byte("!<arch>\n"), 0o644)
		}, "tool_1.deb"},
		"a blob of the registry": {func(w *resolvetest.World, _ string) error {
			w.Misbehave(func(out http.ResponseWriter, r *http.Request, server http.Handler) {
				if strings.Contains(r.URL.Path, "/blobs/") {
					out.Write([]byte("another"))
					return
				}
				server.ServeHTTP(out, r)
			})
			return nil
		}, "/app:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c := vendor(t)
			if name == "a blob of the registry" { // the layout has it, too
				c.Lock.Inputs = append(c.Lock.Inputs[:1:1], c.Lock.Inputs[2:]...)
			}
			if err := test.change(w, c.Folder); err != nil {
				t.Fatal(err)
			}
			result, err := vendoring.Write(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v, error %v: want one with %q", result, err, test.want)
			}
			run(t, "sh", "-c", `cd "$1" && for f in *; do [ "$f" = '*' ] || echo "$f  $f"; done | sha256sum -c --status || [ "$(ls -A)" = "" ]`, "sh", filepath.Join(c.Dir, "blobs/sha256"))
		})
	}
}

func TestAFolderOfSomebodyElseIsLeftAlone(t *testing.T) {
	_, c := vendor(t)
	for name, dir := range map[string]string{"a layout": filepath.Join(c.Folder, "layout"), "another folder": c.Folder} {
		c.Dir = dir
		before := run(t, "find", dir)
		if _, err := vendoring.Write(t.Context(), c); err == nil || !strings.Contains(err.Error(), "made by this command") {
			t.Errorf("%s: error %v", name, err)
		}
		if after := run(t, "find", dir); after != before {
			t.Errorf("%s: it holds\n%s\nand held\n%s", name, after, before)
		}
	}
}

func TestARunThatWasCutOffCanBeRunAgain(t *testing.T) {
	w, c := vendor(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.Misbehave(func(out http.ResponseWriter, r *http.Request, server http.Handler) {
		if strings.HasSuffix(r.URL.Path, ".deb") {
			cancel()
		}
		server.ServeHTTP(out, r)
	})
	if _, err := vendoring.Write(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	// What a kill leaves of a blob is no blob.
	if err := os.WriteFile(filepath.Join(c.Dir, "blobs/sha256", strings.Repeat("0", 64)), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.Misbehave(nil)
	result, err := vendoring.Write(t.Context(), c)
	if err != nil || result.Blobs != 6 || result.Removed != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}
