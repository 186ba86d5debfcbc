package oci

import (
	"context"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tarball"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
)

// layer is one layer of an image, not read yet.
type layer struct {
	name   string // for messages
	open   func(ctx context.Context) (io.ReadCloser, error)
	blob   *v1.Descriptor // nil in a docker archive
	diffID v1.Hash        // of the plain tar archive
}

// atOnce is how many layers are being fetched and unpacked, or wait for those
// below them to be applied.
const atOnce = 4

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
	err = unpackAll(ctx, store, layers, c, step, func(i int, entries []tree.Entry) error {
		return applyLayer(rootfs, entries)
	})
	if err != nil {
		return nil, err
	}
	return rootfs, nil
}

// unpackAll unpacks several layers at a time and calls apply for each in
// order. Whatever the timing, the error is that of the lowest layer that has
// one.
func unpackAll(ctx context.Context, store *content.Store, layers []layer, c Config, step progress.Step, apply func(i int, entries []tree.Entry) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	type result struct {
		entries []tree.Entry
		err     error
	}
	results := make([]chan result, len(layers))
	started := 0
	for i, l := range layers {
		for ; started < min(i+atOnce, len(layers)); started++ {
			l, done := layers[started], make(chan result, 1)
			results[started] = done
			running.Go(func() {
				entries, err := l.entries(ctx, store, c, step)
				done <- result{entries, err}
			})
		}
		got := <-results[i]
		results[i] = nil
		if got.err == nil {
			got.err = apply(i, got.entries)
		}
		if got.err != nil {
			return fmt.Errorf("layer %d of %d, %.100s: %w", i+1, len(layers), l.name, got.err)
		}
	}
	return nil
}

func applyLayer(rootfs *tree.Tree, entries []tree.Entry) error {
	set := &changeset{described: map[string]bool{}}
	for _, e := range entries {
		if err := set.collect(e, rootfs); err != nil {
			return err
		}
	}
	return set.apply(rootfs)
}

// entries are what the layer holds, from the cache where it has them. They are
// kept by the layer's diff id, which alone says what they are, however the
// layer is compressed.
func (l layer) entries(ctx context.Context, store *content.Store, c Config, step progress.Step) ([]tree.Entry, error) {
	if c.Cache == nil {
		return l.unpack(ctx, store, c.Name, step)
	}
	diffID, err := manifests.ParseDigest(l.diffID.String())
	if err != nil {
		return nil, fmt.Errorf("diff id: %w", err)
	}
	read := false
	kept, err := c.Cache.Unpacked(ctx, store, diffID, layerKind, func(ctx context.Context, into *content.Store) (cache.Unpacked, error) {
		read = true
		entries, err := l.unpack(ctx, into, c.Name, step)
		return cache.Unpacked{Entries: entries}, err
	})
	if err != nil {
		return nil, err
	}
	if !read && l.blob != nil {
		step.Add(l.blob.Size)
	}
	// They may be in the cache because another source had the same layer.
	for _, e := range kept.Entries {
		if e.Node != nil {
			e.Node.Source = c.Name
		}
	}
	return kept.Entries, nil
}

// unpack reads the layer and checks its digests.
func (l layer) unpack(ctx context.Context, store *content.Store, source string, step progress.Step) ([]tree.Entry, error) {
	f, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	packed := progress.Reader(f, step)
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
	var list bounded
	if _, err := tarball.Read(ctx, store, source, newVerifier(expanded, l.diffID, -1), list.add); err != nil {
		return nil, err
	}
	return list.entries, finish()
}

// bounded collects the entries of one layer, no more than a tree could hold.
type bounded struct {
	entries  []tree.Entry
	metadata int64 // bytes of names, link targets and extended attributes
}

func (b *bounded) add(e tree.Entry) error {
	limits := tree.DefaultLimits()
	if len(b.entries) >= limits.Entries {
		return fmt.Errorf("more than %d entries", limits.Entries)
	}
	b.metadata += int64(len(e.Path) + len(e.Link))
	if e.Node != nil {
		b.metadata += int64(len(e.Node.Target))
		for name, value := range e.Node.Xattrs {
			b.metadata += int64(len(name) + len(value))
		}
	}
	if b.metadata > limits.Metadata {
		return fmt.Errorf("more than %d bytes of names, link targets and extended attributes", limits.Metadata)
	}
	b.entries = append(b.entries, e)
	return nil
}
