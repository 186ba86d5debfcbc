package vendoring

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

// items lists every blob once.
func (c *Config) items(ctx context.Context) (map[manifests.Digest]item, error) {
	items := map[manifests.Digest]item{}
	for _, in := range c.Lock.Inputs {
		var found []item
		var err error
		switch {
		case in.Image != nil:
			found = c.blobs(*in.Image)
		case in.File != nil:
			found, err = c.local(ctx, in)
		default:
			found = c.packages(in.Packages)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.Source, err)
		}
		for _, it := range found {
			items[it.file.Digest] = it
		}
	}
	for _, p := range c.Lock.Previous {
		items[p.Map.Digest] = item{manifests.RootMapFile + " of " + string(p.Version), p.Map, func(context.Context) (string, error) {
			path, ok := c.Cache.Blob(p.Map.Digest)
			if !ok {
				return "", fmt.Errorf("%s is not in the cache", p.Map.Digest)
			}
			return path, nil
		}}
	}
	return items, nil
}

// blobs are those of an image in a registry.
func (c *Config) blobs(image manifests.LockedImage) []item {
	var items []item
	for _, blob := range oci.Blobs(image) {
		file := manifests.FetchFile{Size: blob.Size, Digest: blob.Digest}
		items = append(items, item{image.Reference, file, func(ctx context.Context) (string, error) {
			return c.Cache.Fill(ctx, file, func(ctx context.Context, partial string) error {
				return oci.FetchBlob(ctx, image.Reference, blob, partial, c.Registry)
			})
		}})
	}
	return items
}

func (c *Config) packages(locked []manifests.LockedPackage) []item {
	var items []item
	for _, p := range locked {
		items = append(items, item{p.URL, manifests.FetchFile{Size: p.Size, Digest: p.Digest}, func(ctx context.Context) (string, error) {
			if manifests.IsPackageFile(p.URL) {
				return c.inFolder(p.URL), nil
			}
			path, _, err := c.Fetcher.File(ctx, p.URL, p.Size, packages.Checksum(p.Digest.String()))
			return path, err
		}})
	}
	return items
}

// local is an archive of this machine, or the blobs of an image in a layout
// folder.
func (c *Config) local(ctx context.Context, in manifests.Locked) ([]item, error) {
	path := c.inFolder(in.Path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []item{{in.Source, *in.File, func(context.Context) (string, error) { return path, nil }}}, nil
	}
	image, err := oci.Describe(ctx, oci.Config{Path: path, Arch: in.Arch, Ref: in.File.Digest.String()})
	if err != nil {
		return nil, err
	}
	image.Reference = in.Path
	c.layouts = append(c.layouts, layout{image, in.Arch})
	var items []item
	for _, blob := range oci.Blobs(image) {
		at := filepath.Join(path, blobsFolder, blob.Digest.Hex())
		items = append(items, item{in.Source, manifests.FetchFile{Size: blob.Size, Digest: blob.Digest}, func(context.Context) (string, error) { return at, nil }})
	}
	return items, nil
}

func (c Config) inFolder(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Folder, path)
}
