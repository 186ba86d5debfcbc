package repository

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/chunkindex"
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
func Extract(ctx context.Context, cfg ExtractConfig, w io.Writer) (manifests.Release, error) {
	meta, err := readMetadata(cfg.Dir)
	if err != nil {
		return manifests.Release{}, err
	}
	r := &repository{Config: Config{Dir: cfg.Dir, Progress: cfg.Progress}.withDefaults(), meta: meta}
	found, err := r.find(PromoteConfig{Version: cfg.Version, Product: cfg.Product, Arch: cfg.Arch})
	if err != nil {
		return manifests.Release{}, err
	}
	return r.unpack(ctx, found, w)
}

// index reads the chunk index of a release's root image.
func (r *repository) index(release manifests.Release, transport manifests.Transport) (*chunkindex.Index, error) {
	path := filepath.Join(r.Dir, filepath.FromSlash(manifests.ArtifactPath(transport.Index.Digest)))
	text, err := regular.Read(path, manifests.IndexSizeMost)
	if err != nil {
		return nil, err
	}
	if manifests.DigestOf(text) != transport.Index.Digest {
		return nil, fmt.Errorf("%s is damaged: %w", path, ErrBroken)
	}
	index, err := chunkindex.Parse(text, release.Root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrBroken, err)
	}
	return index, nil
}

// decodeRoot decodes chunk by chunk, and compares the whole with the release.
func (r *repository) decodeRoot(ctx context.Context, release manifests.Release, transport manifests.Transport, w io.Writer) (err error) {
	root := transport.Root
	index, err := r.index(release, transport)
	if err != nil {
		return err
	}
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
		zstd.WithDecoderMaxMemory(manifests.ChunkSizeMost))
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
	var encoded, decoded []byte
	for i, chunk := range index.Chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		encoded, decoded = slices.Grow(encoded[:0], int(chunk.Encoded)), slices.Grow(decoded[:0], int(chunk.Size))
		if _, err := io.ReadFull(in, encoded[:chunk.Encoded]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("%w: %w", ErrBroken, err)
			}
			return fmt.Errorf("reading %s: %w", in.Name(), err)
		}
		data, err := decoder.DecodeAll(encoded[:chunk.Encoded], decoded[:0:chunk.Size])
		if err == nil && int64(len(data)) != chunk.Size {
			err = fmt.Errorf("%d bytes, want %d", len(data), chunk.Size)
		}
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
