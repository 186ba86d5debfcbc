package oci

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/proa-os/proa/manifests"
)

// ResolveConfig says which image of a registry to look up.
type ResolveConfig struct {
	Reference string // registry/name:tag, with @sha256:… behind it or not
	Arch      manifests.Arch
	CosignKey []byte // the public key (PEM) that must have signed the image; optional
	Remote
}

// Resolve asks the registry what a reference stands for on a platform, and
// returns what a lock keeps of it. It downloads no layers. With a key, the
// signature is verified first: see the errors ErrUnsigned and following.
func Resolve(ctx context.Context, c ResolveConfig) (manifests.LockedImage, error) {
	image, err := resolve(ctx, c)
	if err != nil {
		return manifests.LockedImage{}, fmt.Errorf("%.200s: %w", c.Reference, err)
	}
	return image, nil
}

func resolve(ctx context.Context, c ResolveConfig) (manifests.LockedImage, error) {
	image := manifests.LockedImage{}
	ref, err := parseReference(c.Reference)
	if err != nil {
		return image, err
	}
	var key signature.Verifier
	if c.CosignKey != nil {
		if key, err = loadKey(c.CosignKey); err != nil {
			return image, fmt.Errorf("cosign key: %w", err)
		}
	}
	r := newRepository(ref.repository, c.Remote)
	defer r.close()
	root, err := r.manifest(ctx, ref.asked())
	if err != nil {
		return image, err
	}
	if key != nil {
		if err := r.verifyCosign(ctx, root.Digest, key); err != nil {
			return image, err
		}
	}
	image.Reference = ref.text
	from := remembering{r, root}
	d := root.Descriptor
	if d.MediaType.IsIndex() {
		if image.Index, err = manifests.ParseDigest(d.Digest.String()); err != nil {
			return image, err
		}
		if d, err = choose(ctx, from, d, c.Arch); err != nil {
			return image, err
		}
	}
	m, _, err := readImage(ctx, from, d, c.Arch)
	if err != nil {
		return image, err
	}
	return image, describe(d, m, &image)
}

// choose looks for the platform in an index.
func choose(ctx context.Context, from source, index v1.Descriptor, arch manifests.Arch) (v1.Descriptor, error) {
	s := &search{from: from, c: Config{Arch: arch}}
	images, err := s.images(ctx, index, true, 1)
	if err != nil {
		return v1.Descriptor{}, err
	}
	best, ok := baseline(images)
	if !ok {
		return v1.Descriptor{}, s.notFound()
	}
	return best, nil
}

// describe fills in the blobs of the image with the manifest m, which d refers
// to.
func describe(d v1.Descriptor, m *v1.Manifest, image *manifests.LockedImage) (err error) {
	if image.Manifest, err = locked(d); err != nil {
		return err
	}
	if image.Config, err = locked(m.Config); err != nil {
		return err
	}
	for _, l := range m.Layers {
		if !l.MediaType.IsDistributable() || len(l.URLs) > 0 {
			return fmt.Errorf("layer %s of type %.100q: it is not in the registry but elsewhere (a foreign layer), and is not fetched from there", l.Digest, string(l.MediaType))
		}
		layer, err := locked(l)
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
		image.Layers = append(image.Layers, layer)
	}
	return nil
}

func locked(d v1.Descriptor) (manifests.LockedBlob, error) {
	digest, err := manifests.ParseDigest(d.Digest.String())
	return manifests.LockedBlob{MediaType: string(d.MediaType), Size: d.Size, Digest: digest}, err
}

// remembering is a repository of which one manifest is known.
type remembering struct {
	*repository
	known manifest
}

func (r remembering) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if d.Digest == r.known.Digest {
		return memory(r.known.data), nil
	}
	return r.repository.blob(ctx, d)
}
