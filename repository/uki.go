package repository

import (
	"context"
	"crypto/sha256"
	"io"
	"slices"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/partitions/ukifile"
)

// ukiParts cuts the kernel image where its sections begin and end, and looks each
// part up in the root image: a kernel that is a file there need not be fetched
// twice. A file that is no kernel image is one part.
func (r *releaseFolder) ukiParts(ctx context.Context, a manifests.Artifact) ([]manifests.UKIPart, error) {
	uki, err := r.open(a)
	if err != nil {
		return nil, err
	}
	defer uki.Close()
	cuts, err := ukifile.Cuts(uki, a.Size)
	if err != nil || len(cuts)-1 > manifests.UKIPartsMost {
		cuts = []int64{0, a.Size}
	}
	cuts = slices.Compact(cuts)
	parts := []manifests.UKIPart{}
	for n := range cuts[:len(cuts)-1] {
		digest, err := digestOf(ctx, uki, cuts[n], cuts[n+1]-cuts[n])
		if err != nil {
			return nil, err
		}
		parts = append(parts, manifests.UKIPart{Size: cuts[n+1] - cuts[n], Digest: digest, Root: -1})
	}
	return parts, r.findInRoot(ctx, parts)
}

// findInRoot finds the parts that are the contents of a file in the root image.
func (r *releaseFolder) findInRoot(ctx context.Context, parts []manifests.UKIPart) error {
	a, err := rootArtifact(r.release)
	if err != nil {
		return err
	}
	files, err := r.files(ctx, a.Size)
	if err != nil || len(files) == 0 {
		return err
	}
	root, err := r.open(a)
	if err != nil {
		return err
	}
	defer root.Close()
	bySize := map[int64][]filemap.Extent{}
	for _, f := range files {
		bySize[f.Size] = append(bySize[f.Size], f)
	}
	for n, p := range parts {
		if p.Size < manifests.BlockSize {
			continue // less than naming its place and proving it saves
		}
		found := slices.IndexFunc(bySize[p.Size], func(f filemap.Extent) bool {
			var digest manifests.Digest
			if err == nil {
				digest, err = digestOf(ctx, root, f.Offset, f.Size)
			}
			return err == nil && digest == p.Digest
		})
		if err != nil {
			return err
		}
		if found >= 0 {
			parts[n].Root = bySize[p.Size][found].Offset
		}
	}
	return nil
}

// digestOf is the digest of a part of a file.
func digestOf(ctx context.Context, f io.ReaderAt, at, size int64) (manifests.Digest, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, &contextReader{ctx, io.NewSectionReader(f, at, size)})
	return manifests.Digest(sum.Sum(nil)), err
}
