package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ociserver "github.com/google/go-containerregistry/pkg/registry"

	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/repository/ociregistry"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/testhost"
)

func (w *world) export(t testing.TB, path string) string {
	t.Helper()
	_, err := repository.Export(t.Context(), repository.ExportConfig{Dir: w.config.Dir, Path: path, Channel: "stable", Now: w.config.Now})
	check(t, err)
	return path
}

// wantAgent runs the agent and compares its exit code and what it says.
func (w *world) wantAgent(t testing.TB, code int, said string, args ...string) {
	t.Helper()
	out, err := exec.Command(program(t), append([]string{"--host", w.host.Path("host.yaml")}, args...)...).CombinedOutput()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code || !strings.Contains(string(out), said) {
		t.Errorf("%v ends with %d, want %d and %q:\n%s", args, got, code, said, out)
	}
}

func TestAHostWithoutANetworkIsUpdatedFromAStick(t *testing.T) {
	for _, kind := range []string{"os.tar", "folder", "repository"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, 1)
			w.server.Close()
			w.host.File(t)
			next := w.publish(t, testhost.Spec{Version: "1.1.0"})
			path := w.config.Dir
			if kind != "repository" {
				path = w.export(t, filepath.Join(t.TempDir(), kind))
			}
			w.wantAgent(t, exitNetwork, "", "update")
			w.wantAgent(t, 0, "installed 1.1.0 in slot b", "update", "--from", path)
			if booted := w.host.Boot(t); booted.Release != next {
				t.Errorf("booted %s", booted.Release.Release.Version)
			}
			w.wantAgent(t, 0, "", "judge")
			w.wantAgent(t, 0, "up to date: 1.1.0", "update", "--from", path)
		})
	}
}

// A host asks for the notices of what it runs and of what it has begun, too.
func TestAStickTellsOfWhatItDoesNotBring(t *testing.T) {
	w := newWorld(t, 1)
	w.host.File(t)
	w.publish(t, testhost.Spec{Version: "1.0.0"})
	w.publish(t, testhost.Spec{Version: "1.1.0"})
	w.wantAgent(t, 0, "installed 1.1.0", "update", "--stage")
	for _, version := range []manifests.Version{"1.0.0", "1.1.0"} {
		_, err := repository.Retract(t.Context(), repository.RetractConfig{Config: w.config, Version: version, Reason: "loses /var"})
		check(t, err)
	}
	next := w.publish(t, testhost.Spec{Version: "1.2.0"})
	w.server.Close()
	w.wantAgent(t, 0, "gave up 1.1.0: it was retracted", "update", "--from", w.export(t, filepath.Join(t.TempDir(), "os.tar")))
	if booted := w.host.Boot(t); booted.Release != next {
		t.Errorf("booted %s", booted.Release.Release.Version)
	}
}

// What a host demands comes along, too.
func TestAStickBringsWhatIsAttested(t *testing.T) {
	w := newWorld(t, 1)
	w.server.Close()
	path := filepath.Join(t.TempDir(), "rebuilder.pem")
	public, err := signing.CreateKeyFile(path)
	check(t, err)
	line, err := public.MarshalText()
	check(t, err)
	w.host.Configure(t, "demands: {rebuilds: {keys: ["+string(line)+"]}}\n")
	w.host.File(t)
	next := w.publish(t, testhost.Spec{Version: "1.1.0"})
	const lacks = "release 1.1.0: it lacks what this host demands: 0 of 1 independent rebuilds attest its root hash"
	without := w.export(t, filepath.Join(t.TempDir(), "without.tar"))
	w.wantAgent(t, exitRefused, lacks, "update", "--from", without)

	release, digest, err := repository.Find(repository.ExtractConfig{Dir: w.config.Dir, Version: "1.1.0"})
	check(t, err)
	uki, _ := release.Artifact(manifests.UKIFile)
	rebuild := manifests.Rebuild{
		Product: release.Product, Version: release.Version, Arch: release.Arch, RootHash: release.Root.Hash, Kernel: uki.Digest,
		Recipe: manifests.DigestOf(nil), Same: []string{manifests.RootFile, manifests.StateFile}, Otherwise: []string{},
	}
	statement, err := rebuild.Statement(digest)
	check(t, err)
	key, err := signing.ReadKeyFile(path)
	check(t, err)
	envelope, err := signing.Seal(signing.PayloadInToto, statement, key)
	check(t, err)
	_, err = repository.Attach(t.Context(), repository.AttachConfig{Config: w.config, Version: "1.1.0", Files: []repository.File{{Name: "rebuild", Content: envelope}}})
	check(t, err)
	w.wantAgent(t, 0, "installed 1.1.0", "update", "--from", w.export(t, filepath.Join(t.TempDir(), "with.tar")))
	if booted := w.host.Boot(t); booted.Release != next {
		t.Errorf("booted %s", booted.Release.Release.Version)
	}
}

func TestAStickIsBelievedNoMoreThanAServer(t *testing.T) {
	w := newWorld(t, 1)
	w.host.File(t)
	w.publish(t, testhost.Spec{Version: "1.1.0"})
	dir := t.TempDir()
	old := w.export(t, filepath.Join(dir, "old.tar"))
	w.publish(t, testhost.Spec{Version: "1.2.0"})
	good := w.export(t, filepath.Join(dir, "good.tar"))

	damage(t, w.export(t, filepath.Join(dir, "damaged")))

	stranger := &world{config: newRepository(t), host: w.host}
	stranger.publish(t, testhost.Spec{Version: "1.3.0"})
	stranger.export(t, filepath.Join(dir, "stranger.tar"))

	aged := *w
	aged.config.Lifetimes = signing.Lifetimes{signing.RoleTimestamp: 24 * time.Hour}
	aged.config.Now = func() time.Time { return time.Now().Add(-48 * time.Hour) }
	_, err := repository.Refresh(t.Context(), aged.config)
	check(t, err)
	aged.export(t, filepath.Join(dir, "aged.tar"))

	write := func(name string, content []byte) {
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	content, err := os.ReadFile(good)
	check(t, err)
	write("cut.tar", content[:len(content)/2])
	write("none.tar", make([]byte, 10240))

	for _, test := range []struct {
		file, said string
		code       int
	}{
		{"stranger.tar", "not signed as the trusted root demands", exitUntrusted},
		{"aged.tar", "hint: export it again", exitUntrusted},
		{"cut.tar", "was it copied in full?", 1},
		{"none.tar", "hint: make one with 'proa repo export'", 1},
		{"missing.tar", "no such file", 1},
		{"damaged", "hint: it is damaged or changed", exitUntrusted},
	} {
		w.wantAgent(t, test.code, test.said, "update", "--from", filepath.Join(dir, test.file))
		if booted := w.host.Boot(t); booted.Release.Release.Version != "1.0.0" {
			t.Errorf("%s: booted %s", test.file, booted.Release.Release.Version)
		}
	}
	w.wantAgent(t, 0, "installed 1.2.0", "update", "--from", good)
	w.wantAgent(t, exitUntrusted, "this host has seen a newer state", "update", "--from", old)
}

// damage changes a byte here and there in the largest artifact, the root image.
func damage(t *testing.T, export string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(export, "artifacts/*/*"))
	check(t, err)
	var largest []byte
	at := ""
	for _, path := range paths {
		content, err := os.ReadFile(path)
		check(t, err)
		if len(content) > len(largest) {
			largest, at = content, path
		}
	}
	for i := 0; i < len(largest); i += 1000 {
		largest[i] ^= 1
	}
	check(t, os.WriteFile(at, largest, 0o644))
}

// ociWorld is a world whose host updates from a registry in this process that
// wants a name and a password, and has its blobs elsewhere.
type ociWorld struct {
	*world
	inner http.Handler
	tag   registry.Reference
	blobs atomic.Pointer[http.HandlerFunc] // answers for blobs in place of the store
	leaks atomic.Int64
}

func newOCIWorld(t *testing.T) *ociWorld {
	t.Helper()
	w := &ociWorld{world: newWorld(t, 1), inner: ociserver.New(ociserver.Logger(log.New(io.Discard, "", 0)))}
	w.server.Close()
	store := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.leaks.Add(1)
		}
		if instead := w.blobs.Load(); instead != nil {
			(*instead)(rw, r)
			return
		}
		w.inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(store.Close)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/token" && given == basic:
			fmt.Fprint(rw, `{"token":"good"}`)
		case given != "Bearer good":
			rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="it"`, r.Host))
			rw.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(rw, r, store.URL+r.URL.Path, http.StatusTemporaryRedirect)
		default:
			w.inner.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(front.Close)
	host := strings.TrimPrefix(front.URL, "http://")
	var err error
	w.tag, err = registry.ParseReference("oci://" + host + "/team/os:stable")
	check(t, err)
	w.host.URL = w.tag.String()
	w.host.Configure(t, "")

	auth := fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("u:p")))
	check(t, os.WriteFile(w.host.Path("config.json"), auth, 0o600))
	t.Setenv("DOCKER_CONFIG", w.host.Dir)
	text, err := os.ReadFile(w.host.File(t))
	check(t, err)
	check(t, os.WriteFile(w.host.Path("host.yaml"), fmt.Appendf(text, "registryAuth: %s\n", w.host.Path("config.json")), 0o600))
	return w
}

func (w *ociWorld) push(t *testing.T) {
	t.Helper()
	_, err := ociregistry.Push(t.Context(), ociregistry.Config{Dir: w.config.Dir, Reference: w.tag})
	check(t, err)
}

func TestAHostIsUpdatedFromARegistry(t *testing.T) {
	w := newOCIWorld(t)
	w.publish(t, testhost.Spec{Version: "1.0.1"})
	w.push(t)
	w.wantAgent(t, exitAvailable, "1.0.1", "check")
	next := w.publish(t, testhost.Spec{Version: "1.1.0"})
	w.push(t)
	w.wantAgent(t, 0, "installed 1.1.0 in slot b", "update")
	if booted := w.host.Boot(t); booted.Release != next {
		t.Errorf("booted %s", booted.Release.Release.Version)
	}
	w.wantAgent(t, 0, "", "judge")
	if n := w.leaks.Load(); n > 0 {
		t.Errorf("%d requests for blobs had credentials", n)
	}
	check(t, os.WriteFile(w.host.Path("config.json"), []byte("{}"), 0o600))
	w.wantAgent(t, exitNetwork, "the registry refuses access", "check")
}

func TestAHostileRegistryInstallsNothing(t *testing.T) {
	w := newOCIWorld(t)
	next := w.publish(t, testhost.Spec{Version: "1.1.0"})
	w.push(t)
	uki := "sha256:" + manifests.DigestOf(next.UKI).Hex()
	for name, test := range map[string]struct {
		blobs http.HandlerFunc
		code  int
	}{
		"other bytes": {func(rw http.ResponseWriter, r *http.Request) {
			got := httptest.NewRecorder()
			w.inner.ServeHTTP(got, r)
			body := got.Body.Bytes()
			body[len(body)/2] ^= 1
			rw.Header().Set("Content-Range", got.Header().Get("Content-Range"))
			rw.WriteHeader(got.Code)
			rw.Write(body)
		}, exitUntrusted},
		"no blobs": {http.NotFound, exitNetwork},
		"no kernel image": {func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, uki) {
				http.NotFound(rw, r)
				return
			}
			w.inner.ServeHTTP(rw, r)
		}, exitNetwork},
		"endless": {func(rw http.ResponseWriter, r *http.Request) {
			for {
				if _, err := rw.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, exitUntrusted},
		"back to the registry": {func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, w.tag.String(), http.StatusFound)
		}, exitNetwork},
	} {
		w.blobs.Store(&test.blobs)
		w.wantAgent(t, test.code, "error: ", "update")
		if booted := w.host.Boot(t); booted.Release.Release.Version != "1.0.0" {
			t.Errorf("%s: booted %s", name, booted.Release.Release.Version)
		}
	}
	// Without ranges it takes more bytes, and comes to the same.
	plain := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		w.inner.ServeHTTP(rw, r)
	})
	w.blobs.Store(&plain)
	w.wantAgent(t, 0, "installed 1.1.0 in slot b", "update")
	if booted := w.host.Boot(t); booted.Release != next {
		t.Errorf("booted %s", booted.Release.Release.Version)
	}
}

func TestADeltaOnAStickIsEnoughForItsBase(t *testing.T) {
	w := newWorld(t, 1)
	w.server.Close()
	w.host.File(t)
	image := testhost.Content("1.0.0", 150*4096)
	publish := func(version manifests.Version) *testhost.Release {
		release := testhost.FromImage(t, testhost.Spec{Version: version}, image)
		files := filemap.Map{{Offset: 4096, Size: int64(len(image)) - 4096, Path: "file"}}.Append(nil)
		release.Release.Artifacts = append(release.Release.Artifacts,
			manifests.Artifact{Name: manifests.RootMapFile, Size: int64(len(files)), Digest: manifests.DigestOf(files)})
		slices.SortFunc(release.Release.Artifacts, func(a, b manifests.Artifact) int { return strings.Compare(a.Name, b.Name) })
		dir := filepath.Join(t.TempDir(), "release")
		release.WriteFolder(t, dir)
		check(t, os.WriteFile(filepath.Join(dir, manifests.RootMapFile), files, 0o644))
		_, err := repository.Publish(t.Context(), repository.PublishConfig{Config: w.config, ReleaseDir: dir, Channel: "stable", Deltas: 1})
		check(t, err)
		w.host.Know(release)
		return release
	}
	publish("1.0.0")
	image = bytes.Clone(image)
	for at := 5000; at < len(image); at += 20_000 {
		image[at] ^= 1
	}
	next := publish("1.1.0")
	path := filepath.Join(t.TempDir(), "delta.tar")
	exported, err := repository.Export(t.Context(), repository.ExportConfig{Dir: w.config.Dir, Path: path, Channel: "stable", Base: "1.0.0", DeltaOnly: true})
	check(t, err)
	if exported.Size > int64(len(image))/4 {
		t.Errorf("%d bytes for an image of %d", exported.Size, len(image))
	}
	stranger := &world{host: testhost.NewSized(t, w.host.URL, trust(t, w.config), testhost.NewRelease(t, testhost.Spec{Version: "0.9.0"}), 1)}
	stranger.host.File(t)
	stranger.wantAgent(t, exitNetwork, "hint: something is missing", "update", "--from", path)
	w.wantAgent(t, 0, "installed 1.1.0 in slot b", "update", "--from", path)
	if booted := w.host.Boot(t); booted.Release != next {
		t.Errorf("booted %s", booted.Release.Release.Version)
	}
}

func trust(t *testing.T, config repository.Config) []byte {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(config.Dir, "metadata", "root.json"))
	check(t, err)
	return root
}
