package oci

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/progress"
)

// layer is one layer of an image, not read yet.
type layer struct {
	from   files
	path   string
	blob   *v1.Descriptor // nil in a docker archive
	diffID v1.Hash        // of the plain tar archive
}

// flatten applies an image's layers from the bottom up.
func flatten(ctx context.Context, store *content.Store, layers []layer, c Config) (rootfs *tree.Tree, err error) {
	reporter := c.Progress
	if reporter == nil {
		reporter = progress.Silent()
	}
	var total int64
	for _, l := range layers {
		if l.blob != nil {
			total += l.blob.Size
		}
	}
	step := reporter.Step("read "+c.Name, total)
	defer func() { step.Done(err) }()

	rootfs = tree.New()
	for i, l := range layers {
		changes, err := readLayer(ctx, store, l, c.Name, rootfs, step)
		if err == nil {
			err = changes.apply(rootfs)
		}
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d, %.100s: %w", i+1, len(layers), l.path, err)
		}
	}
	return rootfs, nil
}

// readLayer checks a layer's digests and collects its changes.
func readLayer(ctx context.Context, store *content.Store, l layer, source string, lower *tree.Tree, step progress.Step) (*changeset, error) {
	f, _, err := l.from.open(l.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	packed := io.Reader(progress.Reader(f, step))
	finish := func() error { return nil }
	if l.blob != nil {
		v := newVerifier(packed, l.blob.Digest, l.blob.Size)
		packed, finish = v, v.finish
	}
	expanded, err := store.Expand(ctx, packed)
	if err != nil {
		return nil, err
	}
	defer expanded.Close()
	set := &changeset{described: map[string]bool{}}
	limit := tree.DefaultLimits().Entries
	_, err = tarball.Read(ctx, store, source, newVerifier(expanded, l.diffID, -1), func(e tree.Entry) error {
		if limit--; limit < 0 {
			return fmt.Errorf("more than %d entries", tree.DefaultLimits().Entries)
		}
		return set.collect(e, lower)
	})
	if err != nil {
		return nil, err
	}
	return set, finish()
}
