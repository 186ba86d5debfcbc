package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/proa-os/proa/manifests"
)

// fetch brings a blob to the file partial, which may hold the start of it.
func (r *repository) fetch(ctx context.Context, d v1.Descriptor, partial string) error {
	file, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	offset, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if offset > d.Size || d.MediaType.IsImage() || d.MediaType.IsIndex() {
		offset = 0
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	if err := file.Truncate(offset); err != nil {
		return err
	}
	if offset == d.Size && offset > 0 {
		return nil
	}
	body, err := r.from(ctx, d, offset)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{file}, body, make([]byte, 256<<10)); err != nil {
		return err
	}
	return file.Close()
}

// from is blob, from an offset on.
func (r *repository) from(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, error) {
	if offset == 0 {
		return r.blob(ctx, d)
	}
	return r.stream(ctx, d, offset)
}

// FetchBlob brings a blob of the repository that reference names, which may be
// a manifest, to the file partial, and checks it. Where the file is there
// already it may hold the start of the blob, and only the rest is brought.
func FetchBlob(ctx context.Context, reference string, blob manifests.LockedBlob, partial string, remote Remote) error {
	ref, err := parseReference(reference)
	if err != nil {
		return err
	}
	r := newRepository(ref.repository, remote)
	defer r.close()
	if err := r.fetchChecked(ctx, descriptor(blob), partial); err != nil {
		return fmt.Errorf("%s: %s: %w", reference, blob.Digest, err)
	}
	return nil
}

func (r *repository) fetchChecked(ctx context.Context, d v1.Descriptor, partial string) error {
	info, err := os.Stat(partial)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	resumed := err == nil && info.Size() > 0
	for {
		if err := r.fetch(ctx, d, partial); err != nil {
			return err
		}
		err := checkFile(partial, d)
		if err == nil {
			return nil
		}
		// Nobody goes on from something that is wrong.
		if gone := os.Remove(partial); gone != nil || !resumed {
			return errors.Join(err, gone)
		}
		resumed = false
	}
}

func checkFile(path string, d v1.Descriptor) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return newVerifier(file, d.Digest, d.Size).finish()
}

func descriptor(b manifests.LockedBlob) v1.Descriptor {
	return v1.Descriptor{MediaType: types.MediaType(b.MediaType), Size: b.Size, Digest: v1.Hash{Algorithm: "sha256", Hex: b.Digest.Hex()}}
}
