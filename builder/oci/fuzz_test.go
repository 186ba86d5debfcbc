package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// FuzzLayers gives the layers the digests they have, so that what is inside
// gets fuzzed.
func FuzzLayers(f *testing.F) {
	file := tartest.File
	for _, upper := range [][]byte{
		tartest.Archive(file(".wh.a", ""), file("d/.wh..wh..opq", ""), tartest.Hardlink("h", "a")),
		tartest.Archive(tartest.Symlink("d", "/"), file("d/x", "2"), file("d/.wh.a", "")),
		tartest.Archive(file("lib/.wh.x", ""), tartest.Dir("lib"), file("lib/.wh..wh..opq", "")),
	} {
		f.Add(tartest.Archive(file("a", "1"), file("d/b", "1"), tartest.Symlink("lib", "usr/lib"), file("lib/x", "1")), upper)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		store, err := content.NewBounded(dir, content.Limits{Spool: 8 << 20, Expanded: 8 << 20, Ratio: 100, Free: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		from := map[string][]byte{"lower": lower, "upper": upper}
		var layers []layer
		for _, name := range []string{"lower", "upper"} {
			id := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(from[name]))}
			open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(from[name])), nil }
			layers = append(layers, layer{name: name, open: open, diffID: id})
		}
		rootfs, err := flatten(t.Context(), store, layers, Config{Name: "fuzz"})
		if err != nil {
			return
		}
		err = rootfs.Walk(func(path string, _ *tree.Node) error {
			_, err := tree.Clean(path)
			return err
		})
		if err != nil {
			t.Errorf("outside: %v", err)
		}
		if err := tree.New().Merge(rootfs); err != nil {
			t.Errorf("merging into an empty tree: %v", err)
		}
	})
}

// FuzzManifest reads what a registry could send as a manifest, and as a
// configuration, as far as nothing else has to be asked for.
func FuzzManifest(f *testing.F) {
	f.Add("application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[{}]}`))
	f.Add("application/vnd.oci.image.index.v1+json; charset=utf-8", []byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64"}}]}`))
	f.Add("", []byte(`{"schemaVersion":1,"fsLayers":[]}`))
	f.Add("", []byte(`{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":["sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]}}`))
	f.Fuzz(func(t *testing.T, header string, data []byte) {
		_, _ = readConfig(data, manifests.AMD64)
		kind, err := manifestType(header, data)
		if err != nil {
			return
		}
		if kind.IsImage() == kind.IsIndex() {
			t.Errorf("type %q", kind)
		}
		digest := manifests.DigestOf(data)
		d := v1.Descriptor{MediaType: kind, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: digest.Hex()}}
		from := only{d.Digest: data}
		if kind.IsIndex() {
			_, _ = choose(t.Context(), from, d, manifests.AMD64)
			return
		}
		if m, _, err := readImage(t.Context(), from, d, manifests.AMD64); err == nil {
			_ = describe(d, m, &manifests.LockedImage{})
		}
	})
}

// only are blobs by digest.
type only map[v1.Hash][]byte

func (o only) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	data, ok := o[d.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return memory(data), nil
}

func FuzzReference(f *testing.F) {
	f.Add("registry.example/a/b:tag@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
	f.Add("[::1]:5000/../a")
	f.Add("::0/0")
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := parseReference(s)
		if err != nil {
			return
		}
		// A request goes to that host and below that repository.
		u, err := url.Parse("https://" + ref.repository.RegistryStr() + "/v2/" + ref.repository.RepositoryStr() + "/manifests/" + ref.asked())
		if err != nil || u.Host != ref.repository.RegistryStr() || u.Path != path.Clean(u.Path) || u.RawQuery+u.Fragment != "" || u.User != nil {
			t.Errorf("%q: leads to %v, %v", s, u, err)
		}
	})
}

func FuzzSignaturePayload(f *testing.F) {
	digest := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064d", 1)}
	f.Add([]byte(`{"critical":{"identity":{"docker-reference":"r.example/a"},"image":{"docker-manifest-digest":"` + digest.String() + `"},"type":"cosign container image signature"}}`))
	ref, err := parseReference("r.example/a:1")
	if err != nil {
		f.Fatal(err)
	}
	r := newRepository(ref.repository, Remote{})
	f.Fuzz(func(t *testing.T, data []byte) {
		err := r.checkPayload(data, digest)
		if err != nil && nearness(err) < nearness(ErrOtherImage) {
			t.Errorf("error %v", err)
		}
		if err == nil && !bytes.Contains(data, []byte("r.example")) && !bytes.Contains(data, []byte(`\u`)) {
			t.Errorf("accepted: %q", data)
		}
	})
}
