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

// listArtifacts digests every file of the release, says how they were made, and
// writes the manifest.
func (b *build) listArtifacts(ctx context.Context) (manifests.Release, error) {
	names := []string{manifests.DiskFile, manifests.RootFile, manifests.SBOMFile, manifests.VerityFile, manifests.UKIFile}
	if len(b.packages) > 0 {
		names = append(names, manifests.ScriptsFile)
	}
	artifacts, err := b.digestArtifacts(ctx, names)
	if err != nil {
		return manifests.Release{}, err
	}
	if err := b.writeProvenance(artifacts); err != nil {
		return manifests.Release{}, err
	}
	last, err := b.digestArtifacts(ctx, []string{manifests.ProvenanceFile})
	if err != nil {
		return manifests.Release{}, err
	}
	artifacts = append(artifacts, last...)
	slices.SortFunc(artifacts, func(a, b manifests.Artifact) int { return cmp.Compare(a.Name, b.Name) })
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

// digestArtifacts digests files, in the order of their names.
func (b *build) digestArtifacts(ctx context.Context, names []string) ([]manifests.Artifact, error) {
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
	return artifacts, group.Wait()
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
