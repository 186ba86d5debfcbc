package builder

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/progress"
)

// digestImages digests what hosts run from.
func (b *build) digestImages(ctx context.Context) error {
	return b.digestArtifacts(ctx, manifests.DiskFile, manifests.RootFile, manifests.VerityFile, manifests.UKIFile)
}

// listArtifacts writes the manifest.
func (b *build) listArtifacts(context.Context) error {
	root := b.hashes.Root()
	b.release = manifests.Release{
		Schema:        1,
		Product:       b.Recipe.Product,
		Version:       b.Version,
		Arch:          b.Arch,
		Epoch:         b.Epoch,
		SecurityEpoch: b.Recipe.SecurityEpoch,
		Root:          manifests.Root{Hash: root.Hash[:], Salt: root.Salt, Blocks: root.Blocks},
		Artifacts:     b.artifacts,
	}
	text, err := json.MarshalIndent(b.release, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.path(manifests.ReleaseFile), append(text, '\n'), 0o644)
}

// digestArtifacts adds files to the artifacts of the release.
func (b *build) digestArtifacts(ctx context.Context, names ...string) error {
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
		return err
	}
	b.artifacts = append(b.artifacts, artifacts...)
	slices.SortFunc(b.artifacts, func(a, b manifests.Artifact) int { return cmp.Compare(a.Name, b.Name) })
	return nil
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
