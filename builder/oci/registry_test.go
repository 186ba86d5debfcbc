package oci_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/fetch"
	"github.com/proa-os/proa/manifests"
)

// TestMain keeps the credentials of whoever runs the tests out of them.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "proa-oci-*")
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

// shop is a registry in this process.
type shop struct {
	*httptest.Server
	host     string
	requests atomic.Int64
	inner    atomic.Pointer[http.Handler] // for direct
	// wrap, where it is set, sees every request before the registry does.
	wrap atomic.Pointer[func(w http.ResponseWriter, r *http.Request, registry http.Handler)]
}

func openShop(t *testing.T) *shop {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(registry.NewDiskBlobHandler(t.TempDir())))
	s := &shop{}
	s.inner.Store(&inner)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if wrap := s.wrap.Load(); wrap != nil {
			(*wrap)(w, r, inner)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

func (s *shop) misbehave(how func(w http.ResponseWriter, r *http.Request, registry http.Handler)) {
	s.wrap.Store(&how)
}

// direct answers as the registry, whatever wrap does.
func (s *shop) direct(w http.ResponseWriter, r *http.Request) { (*s.inner.Load()).ServeHTTP(w, r) }

// push puts an image or an index there and returns its reference.
func (s *shop) push(t *testing.T, tag string, what mutate.Appendable) string {
	t.Helper()
	reference := s.host + "/" + tag
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if index, ok := what.(v1.ImageIndex); ok {
		err = remote.WriteIndex(ref, index)
	} else {
		err = remote.Write(ref, what.(v1.Image))
	}
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

func (s *shop) skopeo(t *testing.T, from, tag string, args ...string) string {
	t.Helper()
	args = append([]string{"--insecure-policy", "--tmpdir", t.TempDir(), "copy", "--dest-tls-verify=false"}, args...)
	run(t, "skopeo", append(args, from, "docker://"+s.host+"/"+tag)...)
	return s.host + "/" + tag
}

// impatient keeps tests short.
var impatient = oci.Remote{UserAgent: "proa-test", Patience: fetch.Patience{Window: 5 * time.Second, Pause: time.Millisecond, Attempts: 3}}

func resolve(t *testing.T, reference string) (manifests.LockedImage, error) {
	t.Helper()
	return oci.Resolve(t.Context(), oci.ResolveConfig{Reference: reference, Arch: manifests.AMD64, Remote: impatient})
}

func mustResolve(t *testing.T, reference string) manifests.LockedImage {
	t.Helper()
	image, err := resolve(t, reference)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func addLocked(t *testing.T, image manifests.LockedImage, kept oci.Cache) ([]string, error) {
	t.Helper()
	limits := content.DefaultLimits()
	limits.Free = 4 << 20
	store, err := content.NewBounded(t.TempDir(), limits)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := tree.New()
	err = oci.AddLocked(t.Context(), store, into, oci.LockedConfig{Name: "image", Image: image, Arch: manifests.AMD64, Cache: kept, Remote: impatient})
	if err != nil {
		return nil, err
	}
	lines, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	return lines, nil
}

func pull(t *testing.T, reference string, kept oci.Cache) ([]string, error) {
	t.Helper()
	image, err := resolve(t, reference)
	if err != nil {
		return nil, err
	}
	return addLocked(t, image, kept)
}

func openCache(t *testing.T) *cache.Cache {
	t.Helper()
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAnImageOfARegistryIsTheSameTreeAsItsLayout(t *testing.T) {
	layers := [][]byte{
		tartest.Archive(dir("etc"), file("etc/a", "1"), file("etc/b", "1"), hardlink("etc/h", "etc/a"), dir("d"), file("d/x", "1")),
		tartest.Archive(file("etc/a", strings.Repeat("2", 100_000)), file("etc/.wh.b", ""), file("d/.wh..wh..opq", "")),
		tartest.Archive(), tartest.Archive(),
		tartest.Archive(hardlink("etc/i", "etc/h"), tartest.PAX("ping", "x", "SCHILY.xattr.security.capability", "\x01\x00\x02")),
	}
	folders := map[string]string{"gzip": "", "zstd": "", "plain": ""}
	for name, how := range map[string]compression.Compression{"gzip": compression.GZip, "zstd": compression.ZStd, "plain": compression.None} {
		folders[name] = writeLayout(t, map[string]mutate.Appendable{"v1": compressed(t, "amd64", how, layers...)}) + ":v1"
	}
	folders["umoci"] = umociImage(t)
	s := openShop(t)
	references := map[string]string{}
	for name, folder := range folders {
		references[name] = s.skopeo(t, "oci:"+folder, "some/"+name+":v1")
	}
	folders["schema 2"] = folders["gzip"]
	references["schema 2"] = s.skopeo(t, "oci:"+folders["gzip"], "some/schema2:v1", "--format", "v2s2")
	kept := openCache(t)
	var images []manifests.LockedImage
	for name, reference := range references {
		path, ref, _ := strings.Cut(folders[name], ":")
		want, err := add(t, nil, oci.Config{Path: path, Ref: ref})
		if err != nil || len(want) < 3 {
			t.Fatalf("%s: %v, %v", name, want, err)
		}
		image := mustResolve(t, reference)
		images = append(images, image)
		if wantType := "application/vnd.oci"; name != "schema 2" && !strings.HasPrefix(image.Manifest.MediaType, wantType) ||
			name == "schema 2" && !strings.HasPrefix(image.Manifest.MediaType, "application/vnd.docker") {
			t.Errorf("%s: manifest of type %s", name, image.Manifest.MediaType)
		}
		got, err := addLocked(t, image, nil)
		check(t, name, got, err, want...)
		for range 2 {
			got, err = addLocked(t, image, kept)
			check(t, name+" with a cache", got, err, want...)
			got, err = add(t, nil, oci.Config{Path: path, Ref: ref, Cache: kept})
			check(t, name+" as a layout with a cache", got, err, want...)
		}
		lock := manifests.Lock{Schema: 1, Inputs: []manifests.Locked{{Source: "oci registry.example/x", Arch: manifests.AMD64, Asked: manifests.DigestOf(nil), Image: &image}}}
		if text, err := lock.Encode(); err != nil {
			t.Error(err)
		} else if _, err := manifests.ParseLock(text); err != nil {
			t.Errorf("%s: a lock that cannot be read: %v", name, err)
		}
	}
	before := s.requests.Load()
	s.CloseClientConnections()
	s.Close()
	for _, image := range images {
		if _, err := addLocked(t, image, kept); err != nil {
			t.Errorf("%s without its registry: %v", image.Reference, err)
		}
		if _, err := addLocked(t, image, nil); err == nil {
			t.Errorf("%s without registry and cache: accepted", image.Reference)
		}
	}
	if s.requests.Load() != before {
		t.Errorf("%d requests for what is in the cache", s.requests.Load()-before)
	}
}

// umociImage is an image of two layers, the upper one with whiteouts, as umoci
// makes them.
func umociImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	layout, bundle := filepath.Join(dir, "layout"), filepath.Join(dir, "bundle")
	run(t, "umoci", "init", "--layout", layout)
	run(t, "umoci", "new", "--image", layout+":v1")
	run(t, "umoci", "config", "--image", layout+":v1", "--architecture", "amd64", "--os", "linux")
	run(t, "umoci", "unpack", "--rootless", "--image", layout+":v1", bundle)
	at := func(name string) string { return filepath.Join(bundle, "rootfs", name) }
	run(t, "sh", "-ec", `mkdir -p "$1/usr/bin" "$1/etc/d"; echo a >"$1/usr/bin/a"; ln "$1/usr/bin/a" "$1/usr/bin/b"; ln -s usr/bin "$1/bin"; echo 1 >"$1/etc/d/x"; echo 1 >"$1/etc/gone"`, "sh", at(""))
	run(t, "umoci", "repack", "--refresh-bundle", "--image", layout+":v1", bundle)
	run(t, "sh", "-ec", `rm "$1/etc/gone" "$1/usr/bin/a"; rm -r "$1/etc/d"; echo 2 >"$1/etc/d"`, "sh", at(""))
	run(t, "umoci", "repack", "--image", layout+":v1", bundle)
	return layout + ":v1"
}

func TestHostileImagesOfARegistryStayInside(t *testing.T) {
	s := openShop(t)
	kept := openCache(t)
	below := tartest.Archive(dir("base"), file("base/x", "below"), symlink("lib", "usr/lib"))
	for i, c := range tartest.Hostile() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			img := image(t, "amd64", below, c.Archive)
			want, wantErr := add(t, nil, oci.Config{Path: writeLayout(t, map[string]mutate.Appendable{"it": img})})
			locked := mustResolve(t, s.push(t, fmt.Sprintf("hostile:%d", i), img))
			for _, with := range []oci.Cache{nil, kept, kept} {
				got, err := addLocked(t, locked, with)
				if (err == nil) != (wantErr == nil) || !slices.Equal(got, want) {
					t.Errorf("cache %v:\n%v %s\nwant, as of a layout,\n%v %s", with != nil, err, strings.Join(got, "\n"), wantErr, strings.Join(want, "\n"))
				}
			}
		})
	}
}

func TestThePlatformIsChosenInTheRegistry(t *testing.T) {
	s := openShop(t)
	one := func(arch, body string) v1.Image { return image(t, arch, tartest.Archive(file("which", body))) }
	platform := func(img v1.Image, p v1.Platform) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &p}}
	}
	many := mutate.AppendManifests(emptyIndex(),
		platform(one("amd64", "v3"), v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}),
		platform(one("amd64", "amd64"), v1.Platform{OS: "linux", Architecture: "amd64"}),
		platform(one("arm64", "arm64"), v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}))
	reference := s.push(t, "many:1", many)
	got, err := pull(t, reference, nil)
	check(t, "amd64", got, err, `which file 0644 0:0 "amd64"`)
	index, err := many.Digest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := oci.Resolve(t.Context(), oci.ResolveConfig{Reference: reference, Arch: manifests.ARM64, Remote: impatient})
	if err != nil || image.Index.String() != index.String() || image.Reference != reference {
		t.Errorf("%+v, %v: want the index %s", image, err, index)
	}
	if _, err := addLocked(t, image, nil); err == nil {
		t.Error("an image for arm64 accepted for amd64")
	}
	only := s.push(t, "many:2", mutate.AppendManifests(emptyIndex(), platform(one("arm64", "x"), v1.Platform{OS: "linux", Architecture: "arm64"})))
	_, err = resolve(t, only)
	wantError(t, "no platform", err, "it holds no image for linux/amd64, only")
	deep := mutate.AppendManifests(emptyIndex(), mutate.IndexAddendum{Add: one("amd64", "x")})
	for range 20 {
		deep = mutate.AppendManifests(emptyIndex(), mutate.IndexAddendum{Add: deep})
	}
	_, err = resolve(t, s.push(t, "deep:1", deep))
	wantError(t, "20 indexes", err, "nested deeper than 8")
	_, err = resolve(t, s.push(t, "lone:2", one("arm64", "x")))
	wantError(t, "lone image", err, "want linux/amd64")
}

func TestADigestWinsOverItsTag(t *testing.T) {
	s := openShop(t)
	old := image(t, "amd64", tartest.Archive(file("a", "old")))
	reference := s.push(t, "a/b:1", old)
	digest, err := old.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s.push(t, "a/b:1", image(t, "amd64", tartest.Archive(file("a", "new"))))
	got, err := pull(t, reference, nil)
	check(t, "tag", got, err, `a file 0644 0:0 "new"`)
	for _, by := range []string{reference, s.host + "/a/b"} {
		image := mustResolve(t, by+"@"+digest.String())
		if image.Reference != by {
			t.Errorf("reference %s: want %s", image.Reference, by)
		}
		got, err = addLocked(t, image, nil)
		check(t, "digest", got, err, `a file 0644 0:0 "old"`)
	}
	_, err = resolve(t, reference+"@sha256:"+strings.Repeat("1", 64))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a digest that is not there: %v", err)
	}
	_, err = resolve(t, s.host+"/a/b:2")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a tag that is not there: %v", err)
	}
}

func TestReferencesThatAreNoneAreRefused(t *testing.T) {
	for _, bad := range []string{
		"", "127.0.0.1:1/", "127.0.0.1:1/UPPER:1", "127.0.0.1:1/a:b:c", "127.0.0.1:1/a@sha256:12", "127.0.0.1:1/a@sha512:" + strings.Repeat("0", 128),
		"127.0.0.1:1/a@sha256:" + strings.Repeat("0", 64) + "@x", "127.0.0.1:1/../x:1", "127.0.0.1:1/a\n:1", "http://127.0.0.1:1/a:1", "127.0.0.1:1/" + strings.Repeat("a/", 1000) + "a:1",
	} {
		_, err := resolve(t, bad)
		wantError(t, bad, err, "reference")
	}
}

func TestALockThatIsNotItsManifestIsRefused(t *testing.T) {
	s := openShop(t)
	image := mustResolve(t, s.push(t, "a:1", image(t, "amd64", tartest.Archive(file("a", "1")), tartest.Archive(file("b", "1")))))
	swapped := image
	swapped.Layers = []manifests.LockedBlob{image.Layers[1], image.Layers[0]}
	fewer := image
	fewer.Layers = image.Layers[:1]
	bigger := image
	bigger.Config.Size++
	for what, bad := range map[string]manifests.LockedImage{"swapped": swapped, "fewer": fewer, "bigger": bigger} {
		_, err := addLocked(t, bad, nil)
		wantError(t, what, err, "the lock has other blobs than its manifest")
	}
}

func TestBlobsAreBroughtOneByOne(t *testing.T) {
	s := openShop(t)
	big := make([]byte, 300_000)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	layer := tartest.Archive(file("a", string(big)))
	locked := mustResolve(t, s.push(t, "a:1", compressed(t, "amd64", compression.None, layer, layer)))
	if got := len(oci.Blobs(locked)); got != 3 || len(locked.Layers) != 2 {
		t.Errorf("%d blobs: want the manifest, the configuration and one layer", got)
	}
	var ranges atomic.Int64
	s.misbehave(func(w http.ResponseWriter, r *http.Request, registry http.Handler) {
		if r.Header.Get("Range") != "" {
			ranges.Add(1)
		}
		registry.ServeHTTP(w, r)
	})
	for i, b := range oci.Blobs(locked) {
		path := filepath.Join(t.TempDir(), "blob")
		for _, start := range []string{"", "whole", "half", "wrong half", "too long"} {
			data, _ := os.ReadFile(path)
			switch start {
			case "half":
				data = data[:len(data)/2]
			case "wrong half":
				data = append(bytes.Repeat([]byte("x"), len(data)/2-1), 'y')
			case "too long":
				data = append(data, 'x')
			}
			if start != "" {
				if err := os.WriteFile(path, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := oci.FetchBlob(t.Context(), locked.Reference, b, path, impatient); err != nil {
				t.Errorf("blob %d, %s: %v", i, start, err)
			}
			if data, err := os.ReadFile(path); err != nil || manifests.DigestOf(data) != b.Digest {
				t.Errorf("blob %d, %s: another one, %v", i, start, err)
			}
		}
	}
	if ranges.Load() != 4 { // half and wrong half, of the configuration and the layer
		t.Errorf("%d requests for ranges: want 4", ranges.Load())
	}
}
