package resolve

import (
	"context"
	"fmt"
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

// file digests an archive on the host.
func (r *resolver) file(ctx context.Context, path string, locked *manifests.Locked) error {
	file, err := digestFile(ctx, inFolder(r.Folder, path))
	if err != nil {
		return err
	}
	locked.File = &file
	return nil
}

func digestFile(ctx context.Context, path string) (manifests.FetchFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return manifests.FetchFile{}, err
	}
	if !info.Mode().IsRegular() {
		return manifests.FetchFile{}, fmt.Errorf("%s: want a regular file", path)
	}
	size, sum, err := sparse.Digest(ctx, path, nil)
	return manifests.FetchFile{Size: size, Digest: sum}, err
}
