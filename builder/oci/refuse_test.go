package oci_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

func blobs(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(all) < 4 {
		t.Fatalf("blobs %v, %v: want a manifest, a configuration and two layers", all, err)
	}
	return all
}

func TestBlobThatIsNotWhatItsDigestSaysIsRefused(t *testing.T) {
	dir := stack(t, parts{file("a", strings.Repeat("one", 300))}, parts{file("b", "2")})
	damages := map[string]func(data []byte) []byte{
		"first bit flipped":  func(d []byte) []byte { d[0] ^= 1; return d },
		"middle bit flipped": func(d []byte) []byte { d[len(d)/2] ^= 1; return d },
		"last bit flipped":   func(d []byte) []byte { d[len(d)-1] ^= 1; return d },
		"cut by one":         func(d []byte) []byte { return d[:len(d)-1] },
		"longer by one":      func(d []byte) []byte { return append(d, '\n') },
		"longer by zeros":    func(d []byte) []byte { return append(d, make([]byte, 4096)...) },
		"empty":              func([]byte) []byte { return nil },
		"twice":              func(d []byte) []byte { return append(d, d...) },
	}
	for _, blob := range blobs(t, dir) {
		whole, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		for name, damage := range damages {
			if err := os.WriteFile(blob, damage(bytes.Clone(whole)), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := add(t, nil, oci.Config{Path: dir}); err == nil {
				t.Errorf("%s, %s: accepted", filepath.Base(blob)[:8], name)
			}
		}
		if err := os.Remove(blob); err != nil {
			t.Fatal(err)
		}
		if _, err := add(t, nil, oci.Config{Path: dir}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s, missing: %v", filepath.Base(blob)[:8], err)
		}
		if err := syscall.Mkfifo(blob, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = add(t, nil, oci.Config{Path: dir})
		wantError(t, "FIFO for a blob", err, "want a regular file")
		if err := errors.Join(os.Remove(blob), os.WriteFile(blob, whole, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := add(t, nil, oci.Config{Path: dir}); err != nil {
		t.Errorf("restored: %v", err)
	}
}

// written makes a layout by hand: put returns the descriptor of a blob.
type written struct {
	t   *testing.T
	dir string
}

func (w written) put(mediaType types.MediaType, value any) v1.Descriptor {
	w.t.Helper()
	data, ok := value.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(value); err != nil {
			w.t.Fatal(err)
		}
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(data))
	if err := os.WriteFile(filepath.Join(w.dir, "blobs/sha256", digest), data, 0o644); err != nil {
		w.t.Fatal(err)
	}
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: digest}}
}

func (w written) index(entries ...v1.Descriptor) {
	w.t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: entries})
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "index.json"), data, 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func byHand(t *testing.T) written {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	return written{t, dir}
}

func TestManifestsThatMakeNoSenseAreRefused(t *testing.T) {
	archive := tartest.Archive(file("a", "1"))
	plain := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(archive))}
	config := func() *v1.ConfigFile {
		return &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{plain}}}
	}
	for _, c := range []struct {
		name, message string
		change        func(m *v1.Manifest, c *v1.ConfigFile)
	}{
		{"nothing", "", func(*v1.Manifest, *v1.ConfigFile) {}},
		{"layer of a wrong size", "its descriptor says", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size++ }},
		{"layer of a smaller size", "its descriptor says", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size -= 512 }},
		{"layer of a negative size", "want 0 or more", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers[0].Size = -1 }},
		{"layer of another kind", "layer of type", func(m *v1.Manifest, _ *v1.ConfigFile) {
			m.Layers[0].MediaType = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"
		}},
		{"no layers", "has no layers", func(m *v1.Manifest, c *v1.ConfigFile) { m.Layers, c.RootFS.DiffIDs = nil, nil }},
		{"more layers than diff ids", "has 2 layers, but", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Layers = append(m.Layers, m.Layers[0]) }},
		{"wrong diff id", "want sha256:0000", func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64) }},
		{"empty diff id", "cannot parse hash", func(_ *v1.Manifest, c *v1.ConfigFile) { c.RootFS.DiffIDs[0] = v1.Hash{} }},
		{"10000 layers", "10000 layers: want at most 1024", func(m *v1.Manifest, c *v1.ConfigFile) {
			for len(m.Layers) < 10_000 {
				m.Layers, c.RootFS.DiffIDs = append(m.Layers, m.Layers[0]), append(c.RootFS.DiffIDs, plain)
			}
		}},
		{"100000 layers", "want at most 4194304", func(m *v1.Manifest, c *v1.ConfigFile) {
			for len(m.Layers) < 100_000 {
				m.Layers, c.RootFS.DiffIDs = append(m.Layers, m.Layers[0]), append(c.RootFS.DiffIDs, plain)
			}
		}},
		{"other architecture", "want linux/amd64", func(_ *v1.Manifest, c *v1.ConfigFile) { c.Architecture = "arm64" }},
		{"no architecture", "want linux/amd64", func(_ *v1.Manifest, c *v1.ConfigFile) { c.Architecture = "" }},
		{"other system", "want linux/amd64", func(_ *v1.Manifest, c *v1.ConfigFile) { c.OS = "windows" }},
		{"an artifact", "not a container image", func(m *v1.Manifest, _ *v1.ConfigFile) { m.Config.MediaType = "application/vnd.oci.empty.v1+json" }},
	} {
		w := byHand(t)
		m := &v1.Manifest{SchemaVersion: 2, Layers: []v1.Descriptor{w.put(types.OCIUncompressedLayer, archive)}}
		conf := config()
		m.Config.MediaType = types.OCIConfigJSON
		c.change(m, conf)
		kind := m.Config.MediaType
		m.Config = w.put(kind, conf)
		w.index(w.put(types.OCIManifestSchema1, m))
		_, err := add(t, nil, oci.Config{Path: w.dir})
		if c.message == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if c.message != "" {
			wantError(t, c.name, err, c.message)
		}
	}
}

func TestIndexesThatNeverEndAreRefused(t *testing.T) {
	w := byHand(t)
	deepest := w.put(types.OCIManifestSchema1, []byte("{}"))
	for range 20 {
		deepest = w.put(types.OCIImageIndex, v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{deepest}})
	}
	w.index(deepest)
	_, err := add(t, nil, oci.Config{Path: w.dir})
	wantError(t, "20 indexes", err, "nested deeper than 8")

	wide := w.put(types.OCIManifestSchema1, []byte("{}"))
	for range 6 {
		index := v1.IndexManifest{SchemaVersion: 2}
		for range 100 {
			index.Manifests = append(index.Manifests, wide)
		}
		wide = w.put(types.OCIImageIndex, index)
	}
	w.index(wide)
	_, err = add(t, nil, oci.Config{Path: w.dir})
	wantError(t, "100^6 entries", err, "more than 4096 descriptors")

	loop := v1.Descriptor{MediaType: types.OCIImageIndex, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}}
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{loop}})
	if err != nil {
		t.Fatal(err)
	}
	loop.Size = int64(len(data))
	if err := os.WriteFile(filepath.Join(w.dir, "blobs/sha256", loop.Digest.Hex), data, 0o644); err != nil {
		t.Fatal(err)
	}
	w.index(loop)
	_, err = add(t, nil, oci.Config{Path: w.dir})
	wantError(t, "index in itself", err, "want sha256:1111")
}

func TestImageIsChosenByPlatformAndName(t *testing.T) {
	one := func(arch, body string) v1.Image { return image(t, arch, tartest.Archive(file("which", body))) }
	platform := func(img v1.Image, p v1.Platform) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &p}}
	}
	many := mutate.AppendManifests(empty.Index,
		platform(one("unknown", "attestation"), v1.Platform{OS: "unknown", Architecture: "unknown"}),
		platform(one("amd64", "v3"), v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}),
		platform(one("amd64", "amd64"), v1.Platform{OS: "linux", Architecture: "amd64"}),
		platform(one("arm64", "arm64"), v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}))
	old := one("amd64", "old")
	digest, err := old.Digest()
	if err != nil {
		t.Fatal(err)
	}
	several := writeLayout(t, map[string]mutate.Appendable{"many": many, "old": old})
	alone := writeLayout(t, map[string]mutate.Appendable{"many": many})
	for _, c := range []struct {
		path, ref   string
		arch        manifests.Arch
		want, error string
	}{
		{path: alone, want: "amd64"},
		{path: alone, arch: manifests.ARM64, want: "arm64"},
		{path: several, ref: "many", want: "amd64"},
		{path: several, ref: "old", want: "old"},
		{path: several, ref: digest.String(), want: "old"},
		{path: several, error: "2 images for linux/amd64"},
		{path: several, ref: "new", error: `no image for linux/amd64 named "new", only`},
		{path: several, ref: "old", arch: manifests.ARM64, error: `want linux/arm64`},
		{path: t.TempDir(), error: "neither index.json"},
	} {
		got, err := add(t, nil, oci.Config{Path: c.path, Ref: c.ref, Arch: c.arch})
		if c.error != "" {
			wantError(t, c.ref, err, c.error)
			continue
		}
		check(t, c.ref, got, err, fmt.Sprintf("which file 0644 0:0 %q", c.want))
	}
}

func TestLayoutDoesNotReadThroughLinksOutOfIt(t *testing.T) {
	dir := stack(t, parts{file("a", "1")}, parts{file("b", "2")})
	for _, blob := range blobs(t, dir) {
		outside := filepath.Join(t.TempDir(), "blob")
		if err := errors.Join(os.Rename(blob, outside), os.Symlink(outside, blob)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := add(t, nil, oci.Config{Path: dir})
	wantError(t, "links", err, "escapes")
}

func TestLayerBombIsDefused(t *testing.T) {
	dir := stack(t, parts{file("zeros", string(make([]byte, 16<<20)))}, parts{file("b", "2")})
	_, err := add(t, nil, oci.Config{Path: dir})
	wantError(t, "bomb", err, "200-fold")
}

func TestCancelledReadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store, err := content.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	dir := stack(t, parts{file("a", "1")})
	err = oci.Add(ctx, store, tree.New(), oci.Config{Name: "image", Path: dir, Arch: manifests.AMD64})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v: want context.Canceled", err)
	}
}
