package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/proa-os/proa/manifests"
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

// digestFile reads the file at path and says what a release lists of it.
func digestFile(ctx context.Context, name, path string, reporter progress.Reporter) (artifact manifests.Artifact, err error) {
	file, err := os.Open(path)
	if err != nil {
		return manifests.Artifact{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return manifests.Artifact{}, err
	}
	step := reporter.Step("digest "+name, info.Size())
	defer func() { step.Done(err) }()

	sum := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return manifests.Artifact{}, err
		}
		n, err := file.Read(buffer)
		sum.Write(buffer[:n])
		step.Add(int64(n))
		artifact.Size += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return manifests.Artifact{}, err
		}
	}
	artifact.Name = name
	sum.Sum(artifact.Digest[:0])
	return artifact, nil
}
