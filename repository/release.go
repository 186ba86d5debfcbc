package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/regular"
)

// releaseFolder is the output folder of a build.
type releaseFolder struct {
	dir     string
	release manifests.Release
	text    []byte // of release.json
	digest  manifests.Digest
}

func readReleaseFolder(dir string) (*releaseFolder, error) {
	path := filepath.Join(dir, manifests.ReleaseFile)
	text, err := regular.Read(path, manifests.DocumentMost)
	if err != nil {
		return nil, err
	}
	release, err := manifests.ParseRelease(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrBroken, err)
	}
	return &releaseFolder{dir, release, text, manifests.DigestOf(text)}, nil
}

// open opens an artifact that has the size that the release lists.
func (r *releaseFolder) open(a manifests.Artifact) (*os.File, error) {
	f, info, err := regular.Open(filepath.Join(r.dir, a.Name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if err != nil {
		return nil, err
	}
	if size := info.Size(); size != a.Size {
		f.Close()
		return nil, fmt.Errorf("%s of %d bytes, release.json says %d: %w", f.Name(), size, a.Size, ErrBroken)
	}
	return f, nil
}

// copy reads an artifact to its end, writes it to out, and compares what it
// wrote with the release.
func (r *releaseFolder) copy(ctx context.Context, a manifests.Artifact, out io.Writer, step progress.Step) error {
	f, err := r.open(a)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	in := progress.Reader(&contextReader{ctx, f}, step)
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(sum, out)}, in, make([]byte, 1<<20))
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return r.compare(a, n, manifests.Digest(sum.Sum(nil)))
}

func (r *releaseFolder) compare(a manifests.Artifact, size int64, digest manifests.Digest) error {
	if size != a.Size || digest != a.Digest {
		return fmt.Errorf("%s is %d bytes with %s, release.json says %d with %s: %w",
			filepath.Join(r.dir, a.Name), size, digest, a.Size, a.Digest, ErrBroken)
	}
	return nil
}

// onlyWriter hides ReadFrom, which would ignore the buffer given to CopyBuffer.
type onlyWriter struct{ io.Writer }

// contextReader stops reading when the context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// store checks every artifact and puts what hosts fetch into the repository's
// artifacts folder. The transport describes what it stored.
func (r *releaseFolder) store(ctx context.Context, repository string, history []leafHashes, reporter progress.Reporter) (manifests.Transport, error) {
	transport := manifests.Transport{Schema: 2, Release: r.digest, Deltas: []manifests.Delta{}}
	for _, a := range r.release.Artifacts {
		err := func() (err error) {
			verb := "check "
			switch {
			case a.Name == manifests.RootFile:
				verb = "encode "
			case isStoredWhole(a.Name):
				verb = "store "
			}
			step := reporter.Step(verb+a.Name, a.Size)
			defer func() { step.Done(err) }()
			switch {
			case a.Name == manifests.RootFile:
				transport.Root, transport.Index, err = r.storeRoot(ctx, a, repository, history, step)
			case isStoredWhole(a.Name):
				var file manifests.FetchFile
				if file, err = r.storeWhole(ctx, a, repository, step); err == nil && a.Name == manifests.UKIFile {
					transport.UKI.FetchFile = file
					transport.UKI.Parts, err = r.ukiParts(ctx, a)
				}
			default:
				err = r.copy(ctx, a, io.Discard, step)
			}
			return err
		}()
		if err != nil {
			return manifests.Transport{}, err
		}
	}
	return transport, transport.CheckAgainst(r.release, r.digest)
}

// isStoredWhole says which artifacts a repository keeps as they are.
func isStoredWhole(name string) bool {
	return name == manifests.UKIFile || name == manifests.RootMapFile || manifests.IsOfExtensions(name) ||
		slices.Contains(manifests.Documents(), name) || slices.Contains(manifests.ForInstallers(), name)
}

func (r *releaseFolder) storeWhole(ctx context.Context, a manifests.Artifact, repository string, step progress.Step) (manifests.FetchFile, error) {
	out, err := durable.Create(filepath.Join(repository, artifactsFolder))
	if err != nil {
		return manifests.FetchFile{}, err
	}
	defer out.Discard()
	if err := r.copy(ctx, a, out, step); err != nil {
		return manifests.FetchFile{}, err
	}
	return manifests.FetchFile{Size: a.Size, Digest: a.Digest}, commitArtifact(out, repository, a.Digest)
}

// storeRoot encodes the root image and makes its index. It demands that the
// image's dm-verity root hash is the one that the release names: no host could
// run another.
func (r *releaseFolder) storeRoot(ctx context.Context, a manifests.Artifact, repository string, history []leafHashes, step progress.Step) (root, index manifests.FetchFile, err error) {
	none := manifests.FetchFile{}
	image, err := r.open(a)
	if err != nil {
		return none, none, err
	}
	defer image.Close()
	sizes, err := r.cut(ctx, image, a.Size, history)
	if err != nil {
		return none, none, err
	}
	if len(sizes) > chunkindex.ChunksMost {
		return none, none, fmt.Errorf("%s has %d chunks: an index has at most %d", image.Name(), len(sizes), chunkindex.ChunksMost)
	}
	out, err := durable.Create(filepath.Join(repository, artifactsFolder))
	if err != nil {
		return none, none, err
	}
	defer out.Discard()
	got, err := encodeRoot(ctx, progress.Reader(image, step), sizes, r.release.Root.Salt, out)
	if err != nil {
		return none, none, fmt.Errorf("encoding %s: %w", image.Name(), err)
	}
	if err := r.compare(a, a.Size, got.digest); err != nil {
		return none, none, err
	}
	if string(got.root.Hash[:]) != string(r.release.Root.Hash) {
		return none, none, fmt.Errorf("%s has root hash %x, release.json says %s: %w",
			image.Name(), got.root.Hash, r.release.Root.Hash, ErrBroken)
	}
	if err := commitArtifact(out, repository, got.file.Digest); err != nil {
		return none, none, err
	}
	index, err = storeBytes(got.index.Append(nil), repository)
	return got.file, index, err
}

// cut compares the root image with older ones and cuts it.
func (r *releaseFolder) cut(ctx context.Context, image io.ReaderAt, size int64, history []leafHashes) ([]int64, error) {
	files, err := r.files(ctx, size)
	if err != nil {
		return nil, err
	}
	var places [][]int
	if len(history) > 0 {
		leaves, err := verity.HashImage(ctx, image, r.release.Root.Blocks, r.release.Root.Salt, 0, nil)
		if err != nil {
			return nil, err
		}
		for _, old := range history {
			places = append(places, leafHashes(leaves).placesIn(old))
		}
	}
	return cut(files, size, places), nil
}

// files says where files lie in the root image of size bytes; nil when the
// release does not tell.
func (r *releaseFolder) files(ctx context.Context, size int64) (filemap.Map, error) {
	a, ok := r.release.Artifact(manifests.RootMapFile)
	if !ok {
		return nil, nil
	}
	var text bytes.Buffer
	if a.Size > filemap.BytesMost {
		return nil, fmt.Errorf("%s of %d bytes: want at most %d: %w", a.Name, a.Size, filemap.BytesMost, ErrBroken)
	}
	if err := r.copy(ctx, a, &text, progress.Silent().Step("", 0)); err != nil {
		return nil, err
	}
	files, err := filemap.Parse(text.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", filepath.Join(r.dir, a.Name), ErrBroken, err)
	}
	if n := len(files); n > 0 && files[n-1].Offset+files[n-1].Size > size {
		return nil, fmt.Errorf("%s has a file behind the end of the image: %w", filepath.Join(r.dir, a.Name), ErrBroken)
	}
	return files, nil
}

// storeBytes puts content into the repository's artifacts folder.
func storeBytes(content []byte, repository string) (manifests.FetchFile, error) {
	file := manifests.FetchFile{Size: int64(len(content)), Digest: manifests.DigestOf(content)}
	out, err := durable.Create(filepath.Join(repository, artifactsFolder))
	if err != nil {
		return file, err
	}
	defer out.Discard()
	if _, err := out.Write(content); err != nil {
		return file, err
	}
	return file, commitArtifact(out, repository, file.Digest)
}

func commitArtifact(f *durable.File, repository string, d manifests.Digest) error {
	path := filepath.Join(repository, filepath.FromSlash(manifests.ArtifactPath(d)))
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	return f.Commit(path, 0o644)
}
