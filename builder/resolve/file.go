package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/proa-os/proa/builder/oci"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
)

// image asks a registry.
func (r *resolver) image(ctx context.Context, source manifests.Source, locked *manifests.Locked) error {
	c := oci.ResolveConfig{Reference: source.OCI, Arch: locked.Arch, Remote: r.Registry}
	if source.Cosign != "" {
		var err error
		if c.CosignKey, err = readKey(inFolder(r.Folder, source.Cosign)); err != nil {
			return err
		}
	}
	image, err := oci.Resolve(ctx, c)
	if err != nil {
		return err
	}
	locked.Image = &image
	return nil
}

// file digests an archive on the host, or the manifest of an image in a layout
// folder.
func (r *resolver) file(ctx context.Context, source manifests.Source, locked *manifests.Locked) error {
	file, err := Digest(ctx, source, locked.Arch, r.Folder)
	if err != nil {
		return err
	}
	locked.File = &file
	return nil
}

// Digest is what a lock says of a tar archive, or of an image that is in no
// registry: size and digest of the archive, or of the image's manifest where it
// is in a layout folder.
func Digest(ctx context.Context, source manifests.Source, arch manifests.Arch, folder string) (manifests.FetchFile, error) {
	path := inFolder(folder, location(source))
	info, err := os.Stat(path)
	if err != nil {
		return manifests.FetchFile{}, err
	}
	if source.OCI != "" && info.IsDir() {
		image, err := oci.Describe(ctx, oci.Config{Path: path, Arch: arch, Ref: source.Ref})
		return manifests.FetchFile{Size: image.Manifest.Size, Digest: image.Manifest.Digest}, err
	}
	return digestFile(ctx, path, info)
}

// ErrPipe says that what is there can be read only once.
var ErrPipe = errors.New("want a regular file")

func digestFile(ctx context.Context, path string, info fs.FileInfo) (manifests.FetchFile, error) {
	if !info.Mode().IsRegular() {
		return manifests.FetchFile{}, fmt.Errorf("%s: %w", path, ErrPipe)
	}
	size, sum, err := sparse.Digest(ctx, path, nil)
	return manifests.FetchFile{Size: size, Digest: sum}, err
}
