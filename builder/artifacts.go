package builder

import (
	"context"
	"encoding/json"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/progress"
)

// listArtifacts digests every file of the release and writes its manifest.
func (b *build) listArtifacts(ctx context.Context) (manifests.Release, error) {
	names := []string{manifests.DiskFile, manifests.RootFile, manifests.VerityFile, manifests.UKIFile}
	slices.Sort(names)
	artifacts := make([]manifests.Artifact, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i, name := range names {
		group.Go(func() (err error) {
			artifacts[i], err = digestFile(ctx, name, b.path(name), b.Progress)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return manifests.Release{}, err
	}
	root := b.hashes.Root()
	release := manifests.Release{
		Schema:        1,
		Product:       b.Recipe.Product,
		Version:       b.Version,
		Arch:          b.Arch,
		Epoch:         b.Epoch,
		SecurityEpoch: b.Recipe.SecurityEpoch,
		Root:          manifests.Root{Hash: root.Hash[:], Salt: root.Salt, Blocks: root.Blocks},
		Artifacts:     artifacts,
	}
	text, err := json.MarshalIndent(release, "", "  ")
	if err != nil {
		return manifests.Release{}, err
	}
	return release, os.WriteFile(b.path(manifests.ReleaseFile), append(text, '\n'), 0o644)
}

// digestFile says what a release lists of the file at path.
func digestFile(ctx context.Context, name, path string, reporter progress.Reporter) (manifests.Artifact, error) {
	info, err := os.Stat(path)
	if err != nil {
		return manifests.Artifact{}, err
	}
	step := reporter.Step("digest "+name, info.Size())
	size, sum, err := sparse.Digest(ctx, path, step.Add)
	step.Done(err)
	return manifests.Artifact{Name: name, Size: size, Digest: sum}, err
}
