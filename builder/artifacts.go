package builder

import (
	"cmp"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/progress"
)

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

// digest begins to digest a file of the release, which is whole now.
func (b *build) digest(ctx context.Context, name string) *later[manifests.Artifact] {
	l := begin(b, func() (manifests.Artifact, error) { return digestFile(ctx, name, b.path(name), b.Progress) })
	b.digests = append(b.digests, l)
	return l
}

// digestArtifacts adds what was digested to the artifacts of the release.
func (b *build) digestArtifacts(ctx context.Context) error {
	for _, l := range b.digests {
		artifact, err := l.wait(ctx)
		if err != nil {
			return err
		}
		b.artifacts = append(b.artifacts, artifact)
	}
	b.digests = nil
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

// isRelease reports whether a folder holds a release, of a system or of an
// extension, and nothing else, so that replacing it loses nothing that a build did
// not make.
func isRelease(entries []fs.DirEntry) bool {
	found := false
	for _, entry := range entries {
		name := entry.Name()
		switch name {
		case manifests.ReleaseFile, manifests.ExtensionFile:
			found = true
		case manifests.DiskFile, manifests.RootFile, manifests.RootMapFile, manifests.VerityFile, manifests.UKIFile:
		default:
			if !slices.Contains(manifests.Documents(), name) && !slices.Contains(manifests.ForInstallers(), name) && !manifests.IsOfExtensions(name) {
				return false
			}
		}
	}
	return found
}
