package ociregistry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
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

	server "github.com/google/go-containerregistry/pkg/registry"

	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/repository/ociregistry"
	"github.com/proa-os/proa/signing"
	"github.com/proa-os/proa/updater/testhost"
)

// TestMain keeps the credentials of whoever runs the tests out of them.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "proa-push-*")
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("HOME", home)
	for _, name := range []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		os.Unsetenv(name)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shop is a registry in this process.
type shop struct {
	*httptest.Server
	inner http.Handler
	wrap  atomic.Pointer[func(http.ResponseWriter, *http.Request, http.Handler)]
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{inner: server.New(server.Logger(log.New(io.Discard, "", 0)), server.WithBlobHandler(server.NewDiskBlobHandler(t.TempDir())))}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wrap := s.wrap.Load(); wrap != nil {
			(*wrap)(w, r, s.inner)
			return
		}
		s.inner.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s
}

func (s *shop) misbehave(how func(w http.ResponseWriter, r *http.Request, registry http.Handler)) {
	s.wrap.Store(&how)
}

func (s *shop) behave() { s.wrap.Store(nil) }

func (s *shop) host() string { return strings.TrimPrefix(s.URL, "http://") }

// world is a repository with a release, and a registry to push it to.
type world struct {
	repository.Config
	shop *shop
	now  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{shop: openShop(t), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	w.Config = newRepository(t, func() time.Time { return w.now })
	w.publish(t, "1.0.0")
	return w
}

func newRepository(t *testing.T, now func() time.Time) repository.Config {
	t.Helper()
	folder := t.TempDir()
	for _, role := range signing.Roles() {
		_, err := signing.CreateKeyFile(filepath.Join(folder, signing.KeyFileName(role, 1)))
		check(t, err)
	}
	keys, err := signing.LoadKeys(folder)
	check(t, err)
	cfg := repository.Config{Dir: filepath.Join(t.TempDir(), "repo"), Keys: keys, Now: now}
	check(t, repository.Init(t.Context(), repository.InitConfig{Config: cfg, RootThreshold: 1}))
	return cfg
}

func (w *world) publish(t *testing.T, version manifests.Version) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "release")
	testhost.NewRelease(t, testhost.Spec{Version: version}).WriteFolder(t, dir)
	_, err := repository.Publish(t.Context(), repository.PublishConfig{Config: w.Config, ReleaseDir: dir, Channel: "stable"})
	check(t, err)
}

func (w *world) reference(t *testing.T, tag string) registry.Reference {
	t.Helper()
	ref, err := registry.ParseReference("oci://" + w.shop.host() + "/team/os:" + tag)
	check(t, err)
	return ref
}

func (w *world) push(t *testing.T, versions ...manifests.Version) (ociregistry.Pushed, error) {
	t.Helper()
	return ociregistry.Push(t.Context(), ociregistry.Config{
		Dir: w.Dir, Reference: w.reference(t, "stable"), Versions: versions, Now: func() time.Time { return w.now }, Pause: time.Millisecond,
	})
}

func (w *world) mustPush(t *testing.T) ociregistry.Pushed {
	t.Helper()
	pushed, err := w.push(t)
	check(t, err)
	return pushed
}

// hostSees is the version that a new host finds on the channel, all of whose
// artifacts it has read.
func (w *world) hostSees(t *testing.T) manifests.Version {
	t.Helper()
	return w.hostSeesFrom(t, t.TempDir())
}

// hostSeesFrom is hostSees for a host that keeps what it trusts in a folder.
func (w *world) hostSeesFrom(t *testing.T, trusted string) manifests.Version {
	t.Helper()
	ref := w.reference(t, "stable")
	c, err := fetch.New(fetch.Config{Base: ref.String(), Schemes: map[string]func(http.RoundTripper) http.RoundTripper{
		"oci": func(pool http.RoundTripper) http.RoundTripper {
			return registry.New(registry.Config{Reference: ref, Pool: pool})
		},
	}})
	check(t, err)
	root, err := os.ReadFile(filepath.Join(w.Dir, "metadata", "1.root.json"))
	check(t, err)
	client, err := signing.OpenClient(signing.Config{URL: ref.String(), Dir: trusted, Root: root, HTTP: c.HTTP(), Now: func() time.Time { return w.now }})
	check(t, err)
	check(t, client.Refresh(t.Context()))
	get := func(name string) []byte {
		verified, err := client.Fetch(t.Context(), name)
		check(t, err)
		return verified.Bytes()
	}
	channel, err := manifests.ParseChannel(get(manifests.ChannelTarget(testhost.Product, manifests.AMD64, "stable")))
	check(t, err)
	release, err := manifests.ParseRelease(get(manifests.ReleaseTarget(testhost.Product, manifests.AMD64, channel.Version)))
	check(t, err)
	transport, err := manifests.ParseTransport(get(manifests.TransportTarget(testhost.Product, manifests.AMD64, channel.Version)))
	check(t, err)
	if _, err := client.Fetch(t.Context(), manifests.NoticeTarget(testhost.Product, manifests.AMD64, channel.Version)); !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("a notice of %s: %v", channel.Version, err)
	}
	state, _ := release.Artifact(manifests.StateFile)
	for _, f := range []manifests.FetchFile{transport.Root, transport.Index, transport.UKI.FetchFile, {Size: state.Size, Digest: state.Digest}} {
		check(t, c.File(t.Context(), manifests.ArtifactPath(f.Digest), f, filepath.Join(t.TempDir(), "got")))
	}
	return channel.Version
}

func TestAHostReadsWhatWasPushed(t *testing.T) {
	w := newWorld(t)
	first := w.mustPush(t)
	if got := w.hostSees(t); got != "1.0.0" || !first.Changed || first.Uploaded < first.Size-100 {
		t.Errorf("host sees %s: %+v", got, first)
	}
	again := w.mustPush(t)
	if again.Changed || again.Uploaded != 0 || again.Manifest != first.Manifest {
		t.Errorf("the same again: %+v", again)
	}
	w.publish(t, "1.1.0")
	second := w.mustPush(t)
	if got := w.hostSees(t); got != "1.1.0" || !second.Changed {
		t.Errorf("host sees %s: %+v", got, second)
	}
	if most := second.Size - first.Size/2; second.Uploaded > most {
		t.Errorf("uploaded %d bytes of %d, those of the first release again", second.Uploaded, second.Size)
	}
}

func TestAHostFollowsAPushedRepositoryIntoBins(t *testing.T) {
	w := newWorld(t)
	w.mustPush(t)
	trusted := t.TempDir()
	if got := w.hostSeesFrom(t, trusted); got != "1.0.0" {
		t.Fatalf("host sees %s", got)
	}
	w.addTargets(t, 94) // with the two of the release as many as targets.json lists
	for _, version := range []manifests.Version{"1.1.0", "1.2.0"} {
		w.publish(t, version)
		if bins, err := filepath.Glob(filepath.Join(w.Dir, "metadata/1.targets-??.json")); err != nil || len(bins) != 64 {
			t.Fatalf("%d bins, %v: want 64", len(bins), err)
		}
		w.mustPush(t)
		if known, stranger := w.hostSeesFrom(t, trusted), w.hostSees(t); known != version || stranger != version {
			t.Errorf("hosts see %s and %s, want %s", known, stranger, version)
		}
	}
}

// addTargets signs so many targets beside the release.
func (w *world) addTargets(t *testing.T, count int) {
	t.Helper()
	folder := filepath.Join(w.Dir, "metadata")
	meta, err := signing.OpenMetadata(os.DirFS(folder))
	check(t, err)
	for n := range count {
		check(t, meta.SetTarget(fmt.Sprintf("releases/%s/amd64/1.0.0/more-%d.json", testhost.Product, n), []byte("{}")))
	}
	files, err := meta.Sign(w.now, nil, w.Keys)
	check(t, err)
	for _, f := range files {
		check(t, os.WriteFile(filepath.Join(folder, f.Name), f.Content, 0o644))
	}
}

// TestOtherToolsReadTheArtifact: the oracle is skopeo.
func TestOtherToolsReadTheArtifact(t *testing.T) {
	w := newWorld(t)
	pushed := w.mustPush(t)
	run := func(args ...string) []byte {
		out, err := exec.Command("skopeo", append([]string{"--insecure-policy", "--tmpdir", t.TempDir()}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo %v: %v\n%s", args, err, out)
		}
		return out
	}
	at := "docker://" + w.shop.host() + "/team/os:stable"
	raw := run("inspect", "--tls-verify=false", "--raw", at)
	if manifests.DigestOf(raw) != pushed.Manifest {
		t.Error("the manifest is another")
	}
	dir := t.TempDir()
	run("copy", "--src-tls-verify=false", at, "oci:"+dir+":x")
	for _, layer := range layers(t, raw) {
		copied, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex()))
		check(t, err)
		original, err := os.ReadFile(filepath.Join(w.Dir, layer.Annotations.Title))
		check(t, err)
		if !bytes.Equal(copied, original) || int64(len(copied)) != layer.Size {
			t.Errorf("%s differs", layer.Annotations.Title)
		}
	}
	// A mirror made by another tool serves hosts as well.
	run("copy", "--src-tls-verify=false", "--dest-tls-verify=false", at, "docker://"+w.shop.host()+"/mirror/os:1")
}

func layers(t *testing.T, raw []byte) []registry.Descriptor {
	t.Helper()
	var m registry.Manifest
	check(t, json.Unmarshal(raw, &m))
	return m.Layers
}

func TestOnlyTheReleasesThatAreNamedArePushed(t *testing.T) {
	w := newWorld(t)
	w.publish(t, "1.1.0")
	pushed, err := w.push(t, "1.1.0")
	check(t, err)
	if len(pushed.Releases) != 1 || w.hostSees(t) != "1.1.0" {
		t.Errorf("%+v", pushed)
	}
	if _, err := w.push(t, "7.0"); !errors.Is(err, repository.ErrNoRelease) {
		t.Errorf("an unknown version: %v", err)
	}
}

// TestACutPushLeavesWhatThereWas fails every request in turn; the next push
// completes it.
func TestACutPushLeavesWhatThereWas(t *testing.T) {
	w := newWorld(t)
	w.mustPush(t)
	w.publish(t, "1.1.0")
	cuts := 0
	for done := false; !done; cuts++ {
		left := atomic.Int64{}
		left.Store(int64(3 * cuts))
		w.shop.misbehave(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			if left.Add(-1) < 0 {
				rw.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(rw, r)
		})
		_, err := w.push(t)
		w.shop.behave()
		done = err == nil
		want := manifests.Version("1.0.0")
		if done {
			want = "1.1.0"
		}
		if got := w.hostSees(t); got != want {
			t.Fatalf("cut %d: host sees %s, want %s, %v", cuts, got, want, err)
		}
	}
	if cuts < 5 {
		t.Errorf("only %d cuts", cuts)
	}
}

func TestWhatHostsWouldRefuseIsNotPushed(t *testing.T) {
	w := newWorld(t)
	old := filepath.Join(t.TempDir(), "old")
	check(t, os.CopyFS(old, os.DirFS(w.Dir)))
	w.publish(t, "1.1.0")
	w.mustPush(t)
	for name, test := range map[string]struct {
		change func(*world)
		want   error
	}{
		"an older state": {func(c *world) { c.Dir = old }, signing.ErrRollback},
		"expired":        {func(c *world) { c.now = c.now.AddDate(0, 6, 0) }, signing.ErrExpired},
		"of other keys": {func(c *world) {
			c.Config = newRepository(t, func() time.Time { return w.now })
			c.publish(t, "3.0.0")
		}, ociregistry.ErrRefused},
		"no repository": {func(c *world) { c.Dir = t.TempDir() }, repository.ErrNoRepository},
	} {
		changed := *w
		test.change(&changed)
		if _, err := changed.push(t); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := w.hostSees(t); got != "1.1.0" {
		t.Errorf("host sees %s", got)
	}
}

func TestDamagedArtifactsAreNotPushed(t *testing.T) {
	w := newWorld(t)
	paths, err := filepath.Glob(filepath.Join(w.Dir, "artifacts/*/*"))
	check(t, err)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		check(t, err)
		content[len(content)/2] ^= 1
		check(t, os.WriteFile(path, content, 0o644))
		w.shop = openShop(t) // an earlier one may have this artifact, and be sent it no more
		if _, err := w.push(t); !errors.Is(err, repository.ErrBroken) {
			t.Errorf("%s: %v", path, err)
		}
		content[len(content)/2] ^= 1
		check(t, os.WriteFile(path, content, 0o644))
	}
	w.mustPush(t)
}

func TestATagOfSomethingElseIsNotTaken(t *testing.T) {
	w := newWorld(t)
	request, err := http.NewRequest(http.MethodPut, w.shop.URL+"/v2/team/os/manifests/stable", strings.NewReader(
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:`+strings.Repeat("ab", 32)+`","size":2},"layers":[]}`))
	check(t, err)
	request.Header.Set("Content-Type", registry.ManifestType)
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	response.Body.Close()
	if _, err := w.push(t); !errors.Is(err, registry.ErrNotRepository) {
		t.Errorf("error %v", err)
	}
}

func TestTheUsersCredentialsAreUsed(t *testing.T) {
	w := newWorld(t)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	var scopes []string
	w.shop.misbehave(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		switch given := r.Header.Get("Authorization"); {
		case r.URL.Path == "/token" && given == basic:
			scopes = append(scopes, r.URL.Query()["scope"]...)
			fmt.Fprint(rw, `{"token":"good"}`)
		case given == "Bearer good":
			next.ServeHTTP(rw, r)
		default:
			rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="it"`, r.Host))
			rw.WriteHeader(http.StatusUnauthorized)
		}
	})
	if _, err := w.push(t); !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("nobody: %v", err)
	}
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	check(t, os.WriteFile(filepath.Join(dir, "config.json"),
		fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, w.shop.host(), base64.StdEncoding.EncodeToString([]byte("u:p"))), 0o600))
	w.mustPush(t)
	if !slices.Contains(scopes, "repository:team/os:push,pull") {
		t.Errorf("scopes %q", scopes)
	}
}

func TestABusyRegistryIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	failed := map[string]bool{}
	lock := make(chan struct{}, 1)
	w.shop.misbehave(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		lock <- struct{}{}
		key := r.Method + strings.Trim(r.URL.Path, "0123456789") // without the upload's number
		first := !failed[key]
		failed[key] = true
		<-lock
		if first {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(rw, r)
	})
	w.mustPush(t)
	w.shop.behave()
	if got := w.hostSees(t); got != "1.0.0" || len(failed) < 10 {
		t.Errorf("host sees %s after %d failures: %v", got, len(failed), slices.Sorted(maps.Keys(failed)))
	}
}
