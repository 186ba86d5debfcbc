package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// LockedConfig says which image of a lock to read.
type LockedConfig struct {
	Name  string // of the source, for messages and for what it puts into the tree
	Image manifests.LockedImage
	Arch  manifests.Arch
	// Cache is where blobs and layers are looked for first and kept then;
	// optional. The registry is not asked for what is there.
	Cache Cache
	Remote
}

// AddLocked puts what an image holds into t, exactly as it was locked. After an
// error t holds a part of it at the most, and is of no use.
func AddLocked(ctx context.Context, store *content.Store, t *tree.Tree, c LockedConfig) error {
	if err := addLocked(ctx, store, t, c); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

func addLocked(ctx context.Context, store *content.Store, t *tree.Tree, c LockedConfig) error {
	ref, err := parseReference(c.Image.Reference)
	if err != nil {
		return err
	}
	r := newRepository(ref.repository, c.Remote)
	defer r.close()
	from := kept{r, c.Cache}
	d := descriptor(c.Image.Manifest)
	m, diffIDs, err := readImage(ctx, from, d, c.Arch)
	if err != nil {
		return err
	}
	var said manifests.LockedImage
	if err := describe(d, m, &said); err != nil {
		return err
	}
	if !slices.Equal(all(said), all(c.Image)) {
		return errors.New("the lock has other blobs than its manifest: lock it again")
	}
	rootfs, err := flatten(ctx, store, layersOf(from, m, diffIDs), Config{Name: c.Name, Cache: c.Cache, Progress: c.Progress})
	if err != nil {
		return err
	}
	return t.Merge(rootfs)
}

// kept is a repository behind a cache, if there is one.
type kept struct {
	repository *repository
	cache      Cache
}

func (k kept) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if k.cache == nil {
		return k.repository.blob(ctx, d)
	}
	digest, err := manifests.ParseDigest(d.Digest.String())
	if err != nil {
		return nil, err
	}
	path, err := k.cache.Fill(ctx, manifests.FetchFile{Size: d.Size, Digest: digest}, func(ctx context.Context, partial string) error {
		return k.repository.fetch(ctx, d, partial)
	})
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

func all(image manifests.LockedImage) []manifests.LockedBlob {
	return append([]manifests.LockedBlob{image.Manifest, image.Config}, image.Layers...)
}

// Blobs are all blobs that an image consists of, each once: its manifest, its
// configuration and its layers.
func Blobs(image manifests.LockedImage) []manifests.LockedBlob {
	var blobs []manifests.LockedBlob
	seen := map[manifests.Digest]bool{}
	for _, b := range all(image) {
		if !seen[b.Digest] {
			blobs = append(blobs, b)
		}
		seen[b.Digest] = true
	}
	return blobs
}
