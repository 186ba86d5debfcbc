// Package oci reads container images as sources of a tree: from a registry
// (Resolve when locking, AddLocked when building), from an OCI image layout in
// a folder, from the same as a tar archive, and from the archive that `docker
// save` writes, also compressed (Add).
//
// Every manifest, configuration and layer is checked against the size and
// digest that refer to it, and every layer against its diff id, before the
// image reaches the tree. Layers are fetched and unpacked several at a time,
// but applied from the bottom up in a tree of their own, where whiteouts hide
// what is below them in the image and nothing else; the whole image then joins
// the recipe's tree as one source.
//
// A registry is asked for manifests and blobs with the credentials that docker
// and podman use, and only where no cache has them. Plain HTTP is for registries
// on this machine. Foreign layers are not fetched, images of Docker's schema 1
// are refused.
//
// Images are never unpacked to the host or run.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// Config says which image to read.
type Config struct {
	Name string         // of the source, for messages and for what it puts into the tree
	Path string         // a folder or an archive
	Arch manifests.Arch // of the image
	// Ref chooses one of several images by its tag, its full name or its
	// digest ("sha256:…"); optional when there is but one.
	Ref string

	Cache    Cache             // optional
	Progress progress.Reporter // optional
}

const (
	maxJSON   = 4 << 20 // of a manifest, an index or a configuration
	maxLayers = 1024
)

// Add puts what an image holds into t. After an error t holds a part of it at
// the most, and is of no use.
func Add(ctx context.Context, store *content.Store, t *tree.Tree, c Config) error {
	if err := add(ctx, store, t, c); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

func add(ctx context.Context, store *content.Store, t *tree.Tree, c Config) error {
	from, err := openFiles(ctx, store, c)
	if err != nil {
		return err
	}
	defer from.close()
	layers, err := find(ctx, from, c)
	if err != nil {
		return err
	}
	rootfs, err := flatten(ctx, store, layers, c)
	if err != nil {
		return err
	}
	return t.Merge(rootfs)
}

// Describe lists the blobs of an image in a layout folder. The image has no
// Reference.
func Describe(ctx context.Context, c Config) (manifests.LockedImage, error) {
	var image manifests.LockedImage
	from, err := openFolder(c.Path)
	if err != nil {
		return image, err
	}
	defer from.close()
	d, err := chooseInLayout(ctx, from, c)
	if err != nil {
		return image, err
	}
	m, _, err := readImage(ctx, laidOut{from}, d, c.Arch)
	if err != nil {
		return image, err
	}
	return image, describe(d, m, &image)
}

// find chooses the image and returns its layers, the lowest first, not yet
// read.
func find(ctx context.Context, from files, c Config) ([]layer, error) {
	switch isLayout, err := exists(from, "index.json"); {
	case err != nil:
		return nil, err
	case isLayout:
		return findInLayout(ctx, from, c)
	}
	switch isDocker, err := exists(from, "manifest.json"); {
	case err != nil:
		return nil, err
	case isDocker:
		return findInDockerArchive(from, c)
	}
	return nil, errors.New("neither index.json of an OCI image layout nor manifest.json of a docker archive is in it")
}

func exists(from files, name string) (bool, error) {
	f, _, err := from.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

func openFiles(ctx context.Context, store *content.Store, c Config) (files, error) {
	info, err := os.Stat(c.Path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFolder(c.Path)
	}
	return openArchive(ctx, store, c.Path)
}

// checkLayerCount holds for manifests and configurations alike.
func checkLayerCount(layers, diffIDs int) error {
	switch {
	case layers == 0:
		return errors.New("the image has no layers")
	case layers > maxLayers:
		return fmt.Errorf("the image has %d layers: want at most %d", layers, maxLayers)
	case layers != diffIDs:
		return fmt.Errorf("the manifest has %d layers, but the configuration has %d", layers, diffIDs)
	}
	return nil
}

func checkLayerType(t types.MediaType) error {
	if t.IsLayer() {
		return nil
	}
	return fmt.Errorf("layer of type %.100q: want a tar archive, plain or compressed with gzip or zstd", string(t))
}
