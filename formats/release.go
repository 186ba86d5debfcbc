package formats

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/regular"
)

// release is the folder that is converted.
type release struct {
	manifests.Release
	folder string
	layout manifests.Layout
}

const (
	layoutMost = 64 << 10
	kernelMost = 512 << 20 // of a kernel image or a boot loader, bytes
)

func openRelease(folder string) (release, error) {
	read, err := examine.ReadRelease(folder)
	if err != nil {
		return release{}, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return release{}, err
	}
	r := release{Release: read, folder: folder}
	if _, ok := r.Artifact(manifests.LayoutFile); !ok {
		return release{}, fmt.Errorf("release %s %s has no %s: it was built by a proa that could not convert it", r.Product, r.Version, manifests.LayoutFile)
	}
	text, err := regular.Read(r.path(manifests.LayoutFile), layoutMost)
	if err != nil {
		return release{}, err
	}
	r.layout, err = manifests.ParseLayout(text)
	return r, err
}

func (r release) path(name string) string { return filepath.Join(r.folder, name) }

// name is what the release is called in the formats that have a name for it.
func (r release) name() string { return r.Product + "-" + string(r.Version) + "-" + string(r.Arch) }

// needed are the artifacts that the format is made of.
func (f Format) needed() []string {
	if !f.Live() {
		return []string{manifests.LayoutFile, manifests.DiskFile}
	}
	return []string{manifests.LayoutFile, manifests.LoaderFile, manifests.UKIFile, manifests.RootFile, manifests.VerityFile}
}

// checkRelease holds what the format is made of against the manifest: a flipped
// bit must not travel into images whose makers are asked about it.
func (c *conversion) checkRelease(ctx context.Context) error {
	for _, name := range c.Format.needed() {
		artifact, ok := c.release.Artifact(name)
		if !ok {
			return fmt.Errorf("the release lists no %s", name)
		}
		step := c.Progress.Step("check "+name, artifact.Size)
		size, sum, err := sparse.Digest(ctx, c.release.path(name), step.Add)
		if err == nil && (size != artifact.Size || manifests.Digest(sum) != artifact.Digest) {
			err = fmt.Errorf("%s has %d bytes, %s: the release lists %d, %s", name, size, manifests.Digest(sum), artifact.Size, artifact.Digest)
		}
		step.Done(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// digest says what was made.
func (c *conversion) digest(ctx context.Context) ([]File, error) {
	if c.Format != PXE {
		file, err := c.digestFile(ctx, c.made, filepath.Base(c.Output))
		return []File{file}, err
	}
	entries, err := os.ReadDir(c.made)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, entry := range entries {
		file, err := c.digestFile(ctx, filepath.Join(c.made, entry.Name()), entry.Name())
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func (c *conversion) digestFile(ctx context.Context, path, name string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	step := c.Progress.Step("digest "+name, info.Size())
	size, sum, err := sparse.Digest(ctx, path, step.Add)
	step.Done(err)
	return File{Name: name, Size: size, Digest: sum}, err
}
