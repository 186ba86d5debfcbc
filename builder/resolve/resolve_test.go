package resolve_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/download"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/resolve"
	"github.com/proa-os/proa/builder/resolve/resolvetest"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

// setup is a recipe in the making.
type setup struct {
	*resolvetest.World
	t      *testing.T
	config resolve.Config
}

func open(t *testing.T) *setup {
	t.Helper()
	return &setup{resolvetest.Open(t), t, resolve.Config{
		Folder: t.TempDir(), Fetcher: fetcher(t), Now: time.Now(),
		Registry: oci.Remote{Patience: fetch.Patience{Pause: time.Millisecond, Attempts: 3, MinimumRate: 1, Window: 500 * time.Millisecond}},
	}}
}

// fetcher has an empty cache.
func fetcher(t *testing.T) *download.Fetcher {
	t.Helper()
	kept, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := download.New(kept, download.Config{Patience: fetch.Patience{Pause: time.Millisecond, Attempts: 3, MinimumRate: 1, Window: 500 * time.Millisecond}})
	t.Cleanup(func() { f.Close(); kept.Close() })
	return f
}

func (s *setup) deb(packages ...string) string {
	return fmt.Sprintf("  - deb: {repositories: [{url: %s/debian, suites: [stable], signedBy: [%s]}], packages: [%s]}\n", s.URL, s.Key, strings.Join(packages, ", "))
}

func (s *setup) rpm(packages ...string) string {
	return fmt.Sprintf("  - rpm: {repositories: [{url: %s/rpm, gpgkey: [%s]}], packages: [%s]}\n", s.URL, s.Key, strings.Join(packages, ", "))
}

func recipe(t *testing.T, sources string) manifests.Recipe {
	t.Helper()
	r, err := manifests.ParseRecipe("recipe.yaml", []byte("product: test\nsources:\n"+sources))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *setup) lock(sources string, update ...string) (manifests.Lock, error) {
	s.t.Helper()
	s.config.Recipe, s.config.Update = recipe(s.t, sources), resolve.Update{Names: update}
	return resolve.Lock(s.t.Context(), s.config)
}

func (s *setup) mustLock(sources string, update ...string) manifests.Lock {
	s.t.Helper()
	lock, err := s.lock(sources, update...)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := lock.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	read, err := manifests.ParseLock(text)
	if err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
	again, err := read.Encode()
	if err != nil || !bytes.Equal(text, again) {
		s.t.Errorf("the lock does not come back as it was written: %v", err)
	}
	return lock
}

func versions(lock manifests.Lock) string {
	var all []string
	for _, in := range lock.Inputs {
		for _, p := range in.Packages {
			all = append(all, p.Name+" "+p.Version)
		}
	}
	return strings.Join(all, ", ")
}

func TestALockDoesNotDependOnTheOrderOfAnIndex(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddDeb(t, resolvetest.Package{Name: "a", Version: "1"}, resolvetest.Package{Name: "b", Version: "1", Needs: "a | c, d"},
		resolvetest.Package{Name: "c", Version: "1"}, resolvetest.Package{Name: "d", Version: "2"}, resolvetest.Package{Name: "d", Version: "1"})
	first := s.mustLock(s.deb("b", "c"))
	if got := versions(first); got != "a 1, b 1, c 1, d 2" && got != "b 1, c 1, d 2" {
		t.Fatalf("chosen are %s", got)
	}
	list, err := os.ReadFile(filepath.Join(s.Dir, "debian/dists/stable/main/binary-amd64/Packages"))
	if err != nil {
		t.Fatal(err)
	}
	stanzas := strings.Split(strings.TrimSpace(string(list)), "\n\n")
	slices.Reverse(stanzas)
	s.ReleaseDeb(t, []byte(strings.Join(stanzas, "\n\n")+"\n"))
	second := s.mustLock(s.deb("b", "c"))
	if first.Inputs[0].Repositories[0].Digest == second.Inputs[0].Repositories[0].Digest {
		t.Fatal("the index is the same")
	}
	if !slices.Equal(first.Inputs[0].Packages, second.Inputs[0].Packages) {
		t.Errorf("first %+v\nsecond %+v", first.Inputs[0].Packages, second.Inputs[0].Packages)
	}
}

func TestAnUpdateBringsWhatItNeedsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddDeb(t, resolvetest.Package{Name: "lib", Version: "1"}, resolvetest.Package{Name: "tool", Version: "1", Needs: "lib"}, resolvetest.Package{Name: "other", Version: "1"})
	s.config.Previous = s.mustLock(s.deb("tool", "other"))
	s.AddDeb(t, resolvetest.Package{Name: "lib", Version: "2"}, resolvetest.Package{Name: "lib", Version: "3"},
		resolvetest.Package{Name: "tool", Version: "2", Needs: "lib (= 2)"}, resolvetest.Package{Name: "other", Version: "2"})
	if got := versions(s.mustLock(s.deb("tool", "other"))); got != "lib 1, other 1, tool 1" {
		t.Errorf("without an update: %s", got)
	}
	if got := versions(s.mustLock(s.deb("tool", "other"), "tool")); got != "lib 2, other 1, tool 2" {
		t.Errorf("an update of tool brings %s", got)
	}
	// What is held is gone from the repository: it cannot be held then.
	if err := os.Remove(filepath.Join(s.Dir, resolvetest.DebPool, "other_1.deb")); err != nil {
		t.Fatal(err)
	}
	s.IndexDeb(t)
	if got := versions(s.mustLock(s.deb("tool", "other"), "tool")); got != "lib 2, other 2, tool 2" {
		t.Errorf("with a package gone: %s", got)
	}
	var unknown *resolve.UnknownError
	if _, err := s.lock(s.deb("tool", "other"), "tool", "tol"); !errors.As(err, &unknown) || unknown.Name != "tol" {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestAPackageOfAnotherChecksumIsFetchedToLearnItsOwn also sees that nothing else
// is fetched.
func TestAPackageOfAnotherChecksumIsFetchedToLearnItsOwn(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"}, resolvetest.Package{Name: "spare", Version: "1"})
	fetched := 0
	count := func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if strings.HasSuffix(r.URL.Path, ".rpm") {
			fetched++
		}
		server.ServeHTTP(w, r)
	}
	s.Misbehave(count)
	usual := s.mustLock(s.rpm("gear"))
	if fetched != 0 {
		t.Errorf("%d packages were fetched", fetched)
	}
	s.IndexRPM(t, "--checksum", "sha512")
	long := s.mustLock(s.rpm("gear"))
	if fetched != 1 || long.Inputs[0].Packages[0] != usual.Inputs[0].Packages[0] {
		t.Errorf("%d packages were fetched; %+v: want %+v", fetched, long.Inputs[0].Packages, usual.Inputs[0].Packages)
	}
}

func TestRepositoriesThatMisbehave(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.AddDeb(t, resolvetest.Package{Name: "tool", Version: "1"})
	s.AddRPM(t, resolvetest.Package{Name: "gear", Version: "1"})
	s.Push(t, "app", "1", nil)
	image := "  - oci: " + s.Registry + "/app:1\n"
	status := func(code int) resolvetest.Manners {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(code)
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("a: b\n"), 1<<12)); err != nil {
				return
			}
		}
	}
	silent := func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
	page := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Write([]byte("<html>please log in</html>"))
	}
	for _, what := range []struct{ sources, at, names string }{
		{s.deb("tool"), "/InRelease", "InRelease"},
		{s.deb("tool"), "/Packages", "Packages"},
		{s.rpm("gear"), "/repomd.xml", "repomd.xml"},
		{s.rpm("gear"), "primary", "primary"},
		{image, "/manifests/", "app:1"},
	} {
		for name, how := range map[string]resolvetest.Manners{"500": status(500), "429": status(429), "404": status(404), "endless": endless, "silent": silent, "a page": page} {
			if name == "silent" && what.at != "/InRelease" && what.at != "/manifests/" {
				continue // the others are read in the same way, and each takes a while
			}
			s.Misbehave(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
				if strings.Contains(r.URL.Path, what.at) {
					how(w, r, server)
					return
				}
				server.ServeHTTP(w, r)
			})
			s.config.Fetcher = fetcher(t)
			lock, err := s.lock(what.sources)
			if err == nil || !strings.Contains(err.Error(), what.names) {
				t.Errorf("%s, %s: %v, error %v: want one that names %s", what.at, name, versions(lock), err, what.names)
			}
		}
	}
}

func TestWhatIsAskedIsEveryWordOfASourceAndItsKeys(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("key", "one")
	write("other", "one")
	sources := []string{
		"deb: {repositories: [{url: http://a.test, suites: [s], signedBy: [key]}], packages: [a]}",
		"deb: {repositories: [{url: http://b.test, suites: [s], signedBy: [key]}], packages: [a]}",
		"deb: {repositories: [{url: http://a.test, suites: [t], signedBy: [key]}], packages: [a]}",
		"deb: {repositories: [{url: http://a.test, suites: [s], components: [c], signedBy: [key]}], packages: [a]}",
		"deb: {repositories: [{url: http://a.test, suites: [s], signedBy: [other]}], packages: [a]}",
		"deb: {repositories: [{url: http://a.test, suites: [s], signedBy: [key]}], packages: [b]}",
		"deb: {repositories: [{url: http://a.test, suites: [s], signedBy: [key]}], packages: [a], exclude: [b]}",
		"deb: {repositories: [{url: http://a.test, suites: [s], signedBy: [key]}], packages: [a], recommends: true}",
		"rpm: {repositories: [{url: http://a.test, gpgkey: [key]}], packages: [a]}",
		"rpm: {repositories: [{url: http://a.test, gpgkey: [key], priority: 1}], packages: [a]}",
		"rpm: {repositories: [{url: http://a.test, gpgkey: [key], unsignedMetadata: true}], packages: [a]}",
		"{oci: a.test/b:1}", "{oci: a.test/b:2}", "{oci: a.test/b:1, cosign: key}", "{oci: ./b}", "{oci: ./b, ref: x}", "{tar: a}", "{tar: b}",
	}
	seen := map[manifests.Digest]string{}
	for _, text := range sources {
		r := recipe(t, "  - "+text+"\n")
		asked, err := resolve.Asked(r.Sources[0], folder)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[asked]; ok {
			t.Errorf("%s asks for the same as %s", text, other)
		}
		seen[asked] = text
		lock := manifests.Lock{Schema: 1, Inputs: []manifests.Locked{{Source: r.Sources[0].Name(), Arch: manifests.AMD64, Asked: asked}}}
		if moved, err := resolve.Moved(r, folder, lock); err != nil || len(moved) != 0 {
			t.Errorf("%s: moved %q, %v", text, moved, err)
		}
		write("key", "two")
		moved, err := resolve.Moved(r, folder, lock)
		if want := strings.Contains(text, "key]") || strings.Contains(text, "cosign"); err != nil || (len(moved) == 1) != want {
			t.Errorf("%s with another key: moved %q, %v", text, moved, err)
		}
		write("key", "one")
		if moved, err := resolve.Moved(recipe(t, "  - dir: overlay\n"), folder, lock); err != nil || len(moved) != 1 {
			t.Errorf("%s dropped: moved %q, %v", text, moved, err)
		}
		r.Arch = append(r.Arch, manifests.ARM64)
		if moved, err := resolve.Moved(r, folder, lock); err != nil || len(moved) != 1 || !strings.HasSuffix(moved[0], "for arm64") {
			t.Errorf("%s with another architecture: moved %q, %v", text, moved, err)
		}
	}
	if len(seen) != len(sources) {
		t.Errorf("%d of %d sources differ", len(seen), len(sources))
	}
}
