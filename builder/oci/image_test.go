package oci_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	crtarball "github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tarball/tartest"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/builder/tree/treetest"
	"github.com/proa-os/proa/manifests"
)

// image is an image as go-containerregistry makes it.
func image(t *testing.T, arch string, layers ...[]byte) v1.Image {
	t.Helper()
	return compressed(t, arch, compression.GZip, layers...)
}

func compressed(t *testing.T, arch string, how compression.Compression, layers ...[]byte) v1.Image {
	t.Helper()
	kind := types.OCILayer
	if how == compression.ZStd {
		kind = types.OCILayerZStd
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, data := range layers {
		if how == compression.None { // LayerFromOpener would still use gzip
			var err error
			if img, err = mutate.AppendLayers(img, static.NewLayer(data, types.OCIUncompressedLayer)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		l, err := crtarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(data)), nil
		}, crtarball.WithCompression(how), crtarball.WithMediaType(kind))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = arch, "linux"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// writeLayout writes a layout with images by tag.
func writeLayout(t *testing.T, images map[string]mutate.Appendable) string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, img := range images {
		option := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})
		if index, ok := img.(v1.ImageIndex); ok {
			err = p.AppendIndex(index, option)
		} else {
			err = p.AppendImage(img.(v1.Image), option)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// add reads an image onto base, a tar archive, unless that is nil.
func add(t *testing.T, base []byte, c oci.Config) ([]string, error) {
	t.Helper()
	limits := content.DefaultLimits()
	limits.Free = 4 << 20
	store, err := content.NewBounded(t.TempDir(), limits)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	into := tree.New()
	if base != nil {
		if err := tarball.Add(t.Context(), store, into, tarball.Config{Name: "base", Reader: bytes.NewReader(base)}); err != nil {
			t.Fatal(err)
		}
	}
	if c.Name == "" {
		c.Name = "image"
	}
	if c.Arch == "" {
		c.Arch = manifests.AMD64
	}
	if err := oci.Add(t.Context(), store, into, c); err != nil {
		return nil, err
	}
	lines, err := treetest.List(into)
	if err != nil {
		t.Fatal(err)
	}
	return lines, nil
}

func check(t *testing.T, what string, got []string, err error, want ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if len(want) == 0 || !strings.HasPrefix(want[0], ". ") {
		want = append([]string{". directory 0755 0:0"}, want...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func wantError(t *testing.T, what string, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: error %v: want %q in it", what, err, part)
	}
}

func TestEveryFormOfAnImageIsTheSameTree(t *testing.T) {
	big := strings.Repeat("2", 100_000)
	layers := [][]byte{
		tartest.Archive(tartest.Dir("etc"), tartest.File("etc/a", "1"), tartest.File("etc/b", "1"),
			tartest.Hardlink("etc/h", "etc/a"), tartest.PAX("ping", "x", "SCHILY.xattr.security.capability", "\x01\x00\x02")),
		tartest.Archive(tartest.File("etc/a", big), tartest.File("etc/.wh.b", "")),
		tartest.Archive(),
	}
	want := []string{
		"etc directory 0755 0:0", fmt.Sprintf("etc/a file 0644 0:0 100000 bytes %.8x", sha256.Sum256([]byte(big))),
		`etc/h file 0644 0:0 "1"`, `ping file 0644 0:0 "x" security.capability="\x01\x00\x02"`,
	}
	img := image(t, "amd64", layers...)
	folder := writeLayout(t, map[string]mutate.Appendable{"v1": img})
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }

	tag, err := name.NewTag("example.org/img:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := crtarball.WriteToFile(at("docker.tar"), tag, img); err != nil {
		t.Fatal(err)
	}
	run(t, "tar", "-C", folder, "-cf", at("oci.tar"), "index.json", "oci-layout", "blobs")
	run(t, "tar", "-C", folder, "-cf", at("dotted.tar"), ".")
	run(t, "tar", "-C", folder, "-czf", at("oci.tar.gz"), ".")
	run(t, "gzip", "-k", at("docker.tar"))
	skopeo := func(to string) {
		run(t, "skopeo", "--insecure-policy", "--tmpdir", dir, "copy", "oci:"+folder+":v1", to)
	}
	skopeo("docker-archive:" + at("skopeo-docker.tar") + ":example.org/img:v1")
	skopeo("oci-archive:" + at("skopeo-oci.tar") + ":v1")
	skopeo("oci:" + at("skopeo-oci") + ":v1")

	forms := map[string]string{
		"layout": folder, "zstd": writeLayout(t, map[string]mutate.Appendable{"v1": compressed(t, "amd64", compression.ZStd, layers...)}),
		"plain": writeLayout(t, map[string]mutate.Appendable{"v1": compressed(t, "amd64", compression.None, layers...)}),
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		forms[entry.Name()] = at(entry.Name())
	}
	if len(forms) != 11 {
		t.Fatalf("forms %v: want 11", forms)
	}
	for form, path := range forms {
		got, err := add(t, nil, oci.Config{Path: path})
		check(t, form, got, err, want...)
		ref := "v1"
		if strings.Contains(form, "docker") {
			ref = "example.org/img:v1"
		}
		got, err = add(t, nil, oci.Config{Path: path, Ref: ref})
		check(t, form+" by name", got, err, want...)
		_, err = add(t, nil, oci.Config{Path: path, Ref: "v2"})
		wantError(t, form+" by a wrong name", err, "holds no image")
		_, err = add(t, nil, oci.Config{Path: path, Arch: manifests.ARM64})
		wantError(t, form+" for arm64", err, "arm64")
	}
}
