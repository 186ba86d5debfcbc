package ociregistry

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/repository"
)

// blob is one file as the library wants it: a layer, though nothing in it is
// compressed for the registry.
type blob struct {
	pack   *repository.Pack
	file   repository.PackedFile
	step   progress.Step // nil for what is no file
	opened atomic.Bool   // the registry does not have it
	told   atomic.Int64  // bytes, to step
}

func newBlob(pack *repository.Pack, file repository.PackedFile, step progress.Step) *blob {
	return &blob{pack: pack, file: file, step: step}
}

func (b *blob) title() string {
	if b.file.Name == "" {
		return "the empty configuration"
	}
	return b.file.Name
}

// Digest implements v1.Layer, as do those that follow.
func (b *blob) Digest() (v1.Hash, error) {
	return v1.Hash{Algorithm: "sha256", Hex: b.file.Digest.Hex()}, nil
}

// DiffID is that of what is not compressed.
func (b *blob) DiffID() (v1.Hash, error) { return b.Digest() }

// Size is in bytes.
func (b *blob) Size() (int64, error) { return b.file.Size, nil }

// MediaType is that of files of a repository.
func (b *blob) MediaType() (types.MediaType, error) { return registry.FileType, nil }

// Uncompressed is the file.
func (b *blob) Uncompressed() (io.ReadCloser, error) { return b.Compressed() }

// Compressed is what is uploaded: it is asked for when the registry does not
// have the blob, and again when an attempt failed.
func (b *blob) Compressed() (io.ReadCloser, error) {
	b.opened.Store(true)
	if b.step == nil {
		return io.NopCloser(bytes.NewReader(emptyConfig)), nil
	}
	in, err := b.pack.Open(b.file)
	if err != nil {
		return nil, err
	}
	return &reading{ReadCloser: in, blob: b, sum: sha256.New()}, nil
}

// tell reports that the first n bytes have been dealt with, those that were so
// before but once.
func (b *blob) tell(n int64) {
	if b.step == nil {
		return
	}
	for {
		told := b.told.Load()
		if n <= told {
			return
		}
		if b.told.CompareAndSwap(told, n) {
			b.step.Add(n - told)
			return
		}
	}
}

func (b *blob) finish() { b.tell(b.file.Size) }

// reading ends in an error unless the file is what it has to be.
type reading struct {
	io.ReadCloser
	blob *blob
	sum  hash.Hash
	n    int64
}

// Read implements io.Reader.
func (r *reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.sum.Write(p[:n])
	r.n += int64(n)
	r.blob.tell(r.n)
	if err == io.EOF && manifests.Digest(r.sum.Sum(nil)) != r.blob.file.Digest {
		err = fmt.Errorf("%s is damaged: %w", r.blob.file.Name, repository.ErrBroken)
	}
	return n, err
}
