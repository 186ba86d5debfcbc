package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/manifests"
)

// How an entry of index.json is named: by tag (OCI Image Specification 1.1,
// "Pre-Defined Annotation Keys"), by containerd in full.
const (
	tagAnnotation  = "org.opencontainers.image.ref.name"
	nameAnnotation = "io.containerd.image.name"
)

const (
	maxIndexDepth  = 8
	maxDescriptors = 4096 // looked at, in all indexes together
)

func findInLayout(ctx context.Context, from files, c Config) ([]layer, error) {
	d, err := chooseInLayout(ctx, from, c)
	if err != nil {
		return nil, err
	}
	return readLayers(ctx, laidOut{from}, d, c.Arch)
}

// chooseInLayout is the manifest of the image that c asks for.
func chooseInLayout(ctx context.Context, from files, c Config) (v1.Descriptor, error) {
	s := &search{from: laidOut{from}, c: c}
	data, err := readSmall(from, "index.json")
	if err != nil {
		return v1.Descriptor{}, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("parsing index.json: %w", err)
	}
	var found []v1.Descriptor
	for _, d := range index.Manifests {
		images, err := s.images(ctx, d, false, 1)
		if err != nil {
			return v1.Descriptor{}, err
		}
		if best, ok := baseline(images); ok && !slices.ContainsFunc(found, sameDigest(best)) {
			found = append(found, best)
		}
	}
	switch {
	case len(found) == 0:
		return v1.Descriptor{}, s.notFound()
	case len(found) > 1:
		return v1.Descriptor{}, fmt.Errorf("it holds %d images for linux/%s: name one by its tag or digest", len(found), c.Arch)
	}
	return found[0], nil
}

// search looks for images by name and platform in nested indexes.
type search struct {
	from    source
	c       Config
	seen    int      // descriptors
	offered []string // what would have been there
}

// images are those that d stands for and that are for the wanted platform.
// Named says that what holds d has the wanted name already.
func (s *search) images(ctx context.Context, d v1.Descriptor, named bool, depth int) ([]v1.Descriptor, error) {
	if s.seen++; s.seen > maxDescriptors {
		return nil, fmt.Errorf("more than %d descriptors in its indexes", maxDescriptors)
	}
	named = named || s.c.Ref == "" || s.c.Ref == d.Digest.String() ||
		s.c.Ref == d.Annotations[tagAnnotation] || s.c.Ref == d.Annotations[nameAnnotation]
	switch {
	case d.MediaType.IsImage():
		s.offer(d)
		if named && suits(d.Platform, s.c.Arch) {
			return []v1.Descriptor{d}, nil
		}
		return nil, nil
	case !d.MediaType.IsIndex():
		return nil, nil // a signature or other artifact
	case depth >= maxIndexDepth:
		return nil, fmt.Errorf("indexes nested deeper than %d", maxIndexDepth)
	}
	data, err := readJSON(ctx, s.from, d)
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("parsing index %s: %w", d.Digest, err)
	}
	var found []v1.Descriptor
	for _, d := range index.Manifests {
		images, err := s.images(ctx, d, named, depth+1)
		if err != nil {
			return nil, err
		}
		found = append(found, images...)
	}
	return found, nil
}

func (s *search) offer(d v1.Descriptor) {
	text := d.Annotations[tagAnnotation]
	if text == "" {
		text = d.Digest.String()
	}
	if d.Platform != nil {
		text += " for " + d.Platform.String()
	}
	if len(s.offered) < 10 {
		s.offered = append(s.offered, fmt.Sprintf("%.120q", text))
	}
}

func (s *search) notFound() error {
	wanted := "image for linux/" + string(s.c.Arch)
	if s.c.Ref != "" {
		wanted += fmt.Sprintf(" named %.200q", s.c.Ref)
	}
	if len(s.offered) == 0 {
		return fmt.Errorf("it holds no %s, nor any other", wanted)
	}
	return fmt.Errorf("it holds no %s, only %s", wanted, strings.Join(s.offered, ", "))
}

// suits reports whether a platform can be what is wanted; one that is not said
// may be, which the image's configuration will tell.
func suits(p *v1.Platform, arch manifests.Arch) bool {
	return p == nil || p.Architecture == string(arch) && (p.OS == "linux" || p.OS == "")
}

// baseline is the first image that runs on every processor of its
// architecture, or else the first.
func baseline(images []v1.Descriptor) (v1.Descriptor, bool) {
	if len(images) == 0 {
		return v1.Descriptor{}, false
	}
	for _, d := range images {
		if d.Platform == nil || slices.Contains([]string{"", "v1", "v8"}, d.Platform.Variant) {
			return d, true
		}
	}
	return images[0], true
}

func sameDigest(d v1.Descriptor) func(v1.Descriptor) bool {
	return func(other v1.Descriptor) bool { return other.Digest == d.Digest }
}

// readLayers reads an image manifest and its configuration.
func readLayers(ctx context.Context, from source, d v1.Descriptor, arch manifests.Arch) ([]layer, error) {
	m, diffIDs, err := readImage(ctx, from, d, arch)
	if err != nil {
		return nil, err
	}
	return layersOf(from, m, diffIDs), nil
}

func layersOf(from source, m *v1.Manifest, diffIDs []v1.Hash) []layer {
	var layers []layer
	for i, d := range m.Layers {
		open := func(ctx context.Context) (io.ReadCloser, error) { return from.blob(ctx, d) }
		layers = append(layers, layer{name: d.Digest.String(), open: open, blob: &d, diffID: diffIDs[i]})
	}
	return layers
}

// readImage reads an image manifest and, of its configuration, the diff ids of
// its layers.
func readImage(ctx context.Context, from source, d v1.Descriptor, arch manifests.Arch) (*v1.Manifest, []v1.Hash, error) {
	data, err := readJSON(ctx, from, d)
	if err != nil {
		return nil, nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("parsing manifest %s: %w", d.Digest, err)
	}
	if !m.Config.MediaType.IsConfig() {
		return nil, nil, fmt.Errorf("manifest %s: its configuration is of type %.100q: not a container image", d.Digest, string(m.Config.MediaType))
	}
	if data, err = readJSON(ctx, from, m.Config); err != nil {
		return nil, nil, err
	}
	diffIDs, err := readConfig(data, arch)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration %s: %w", m.Config.Digest, err)
	}
	if err := checkLayerCount(len(m.Layers), len(diffIDs)); err != nil {
		return nil, nil, err
	}
	for _, d := range m.Layers {
		if err := checkLayerType(d.MediaType); err != nil {
			return nil, nil, err
		}
		if d.Size < 0 {
			return nil, nil, fmt.Errorf("layer %s of %d bytes: want 0 or more", d.Digest, d.Size)
		}
	}
	return m, diffIDs, nil
}

// readConfig checks an image configuration and returns its diff ids.
func readConfig(data []byte, arch manifests.Arch) ([]v1.Hash, error) {
	config, err := v1.ParseConfigFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	if config.Architecture != string(arch) || config.OS != "linux" && config.OS != "" {
		return nil, fmt.Errorf("the image is for %.40q on %.40q: want linux/%s", config.OS, config.Architecture, arch)
	}
	for _, id := range config.RootFS.DiffIDs {
		if id.Algorithm != "sha256" {
			return nil, errors.New("a layer's diff id is empty")
		}
	}
	return config.RootFS.DiffIDs, nil
}
