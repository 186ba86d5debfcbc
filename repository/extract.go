package repository

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/regular"
)

// ExtractConfig is what Extract needs.
type ExtractConfig struct {
	Dir      string            // the repository's folder; required
	Version  manifests.Version // required
	Product  string            // empty: the only one that has the version
	Arch     manifests.Arch    // empty: the only one that has the version
	Progress progress.Reporter // nil means silent
}

// Extract writes the root image of a release that is published to w, decoded.
// It is what the repository's metadata says, or an error comes back, after
// which what was written is of no use. Extract needs no keys and takes no lock.
func Extract(ctx context.Context, cfg ExtractConfig, w io.Writer) (release manifests.Release, err error) {
	meta, err := readMetadata(cfg.Dir)
	if err != nil {
		return manifests.Release{}, err
	}
	r := &repository{Config: Config{Dir: cfg.Dir, Progress: cfg.Progress}.withDefaults(), meta: meta}
	found, err := r.find(PromoteConfig{Version: cfg.Version, Product: cfg.Product, Arch: cfg.Arch})
	if err != nil {
		return manifests.Release{}, err
	}
	if release, err = r.release(found); err != nil {
		return manifests.Release{}, err
	}
	text, err := r.target(manifests.TransportTarget(found.product, found.arch, found.version))
	if err != nil {
		return manifests.Release{}, err
	}
	transport, err := manifests.ParseTransport(text)
	if err == nil {
		err = transport.CheckAgainst(release, found.digest)
	}
	if err != nil {
		return manifests.Release{}, err
	}
	return release, r.decodeRoot(ctx, release, transport.Root, w)
}

// decodeRoot decodes chunk by chunk, and compares the whole with the release.
func (r *repository) decodeRoot(ctx context.Context, release manifests.Release, root manifests.RootZstd, w io.Writer) (err error) {
	in, info, err := regular.Open(filepath.Join(r.Dir, filepath.FromSlash(manifests.ArtifactPath(root.Digest))))
	if err != nil {
		return err
	}
	defer in.Close()
	if size := info.Size(); size != root.Size {
		return fmt.Errorf("%s of %d bytes, want %d: %w", in.Name(), size, root.Size, ErrBroken)
	}
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(manifests.ChunkSizeMost),
		zstd.WithDecoderMaxMemory(uint64(root.ChunkSize)))
	if err != nil {
		return err
	}
	defer decoder.Close()
	want, err := rootArtifact(release)
	if err != nil {
		return err
	}
	step := r.Progress.Step("decode "+manifests.RootFile, want.Size)
	defer func() { step.Done(err) }()
	sum := sha256.New()
	encoded, decoded := make([]byte, 0, root.ChunkSize), make([]byte, 0, root.ChunkSize)
	for i, chunk := range root.Chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if chunk.Size > int64(cap(encoded)) {
			encoded = make([]byte, 0, chunk.Size)
		}
		if _, err := io.ReadFull(in, encoded[:chunk.Size]); err != nil {
			return fmt.Errorf("reading %s: %w", in.Name(), err)
		}
		data, err := decoder.DecodeAll(encoded[:chunk.Size], decoded)
		if err != nil {
			return fmt.Errorf("%s, chunk %d: %w: %w", in.Name(), i, ErrBroken, err)
		}
		sum.Write(data)
		if _, err := w.Write(data); err != nil {
			return err
		}
		step.Add(int64(len(data)))
	}
	if manifests.Digest(sum.Sum(nil)) != want.Digest {
		return fmt.Errorf("%s decodes to another image than release.json says: %w", in.Name(), ErrBroken)
	}
	return nil
}

func rootArtifact(release manifests.Release) (manifests.Artifact, error) {
	for _, a := range release.Artifacts {
		if a.Name == manifests.RootFile {
			return a, nil
		}
	}
	return manifests.Artifact{}, errors.New("the release has no " + manifests.RootFile)
}
