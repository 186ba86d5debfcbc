package installer

import (
	"context"
	"fmt"
	"io"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/slots"
)

// Source is a release that can be installed.
type Source interface {
	Release() manifests.Release
	Layout() manifests.Layout
	// BootFiles are the boot partition's, by their path, each equal to its digest.
	BootFiles(ctx context.Context) (map[string]diskimage.Source, error)
	// Fill writes the root image and its hash tree, and proves on the medium that
	// they are the release's.
	Fill(ctx context.Context, f filling) error
	Close() error
}

// filling is a slot to be filled.
type filling struct {
	job    *job
	slot   *slots.Slot
	root   verity.Root
	resume bool // some of it may be there
}

// artifacts gets the small files of a release: each whole, and equal to its digest.
type artifacts func(ctx context.Context, a manifests.Artifact) ([]byte, error)

// artifactMost bounds what is held in memory of one file, in bytes.
const artifactMost = 1 << 30

// layout is the release's.
func (get artifacts) layout(ctx context.Context, r manifests.Release) (manifests.Layout, error) {
	content, err := get.named(ctx, r, manifests.LayoutFile)
	if err != nil {
		return manifests.Layout{}, err
	}
	return manifests.ParseLayout(content)
}

func (get artifacts) named(ctx context.Context, r manifests.Release, name string) ([]byte, error) {
	a, ok := r.Artifact(name)
	if !ok {
		return nil, fmt.Errorf("release %s has no %s: %w", r.Version, name, ErrNotInstallable)
	}
	if a.Size < 1 || a.Size > artifactMost {
		return nil, fmt.Errorf("%s of release %s has %d bytes: want 1 to %d", name, r.Version, a.Size, artifactMost)
	}
	return get(ctx, a)
}

// bootFiles are the files of a boot partition on which slot a leads.
func (get artifacts) bootFiles(ctx context.Context, r manifests.Release) (map[string]diskimage.Source, error) {
	kernel, err := get.named(ctx, r, manifests.UKIFile)
	if err != nil {
		return nil, err
	}
	loader, err := get.named(ctx, r, manifests.LoaderFile)
	if err != nil {
		return nil, err
	}
	return map[string]diskimage.Source{
		esp.LoaderPath(string(r.Arch)): diskimage.InMemory(loader),
		esp.UKIPath(partitions.SlotA):  diskimage.InMemory(kernel),
		esp.LoaderConfPath:             diskimage.InMemory(esp.LoaderConf(partitions.SlotA)),
	}, nil
}

// fillFrom fills a slot with an image that is at hand, and with the hash tree that
// it makes while it copies. Only a tree of the right root hash is written; then all of
// it is read back from the medium.
func (f filling) fillFrom(ctx context.Context, image io.ReaderAt) error {
	builder, err := verity.NewBuilder(f.root.Blocks, f.root.Salt)
	if err != nil {
		return err
	}
	step := f.job.Progress.Step("write root image", f.root.Size())
	err = f.job.put(ctx, f.slot.Root, 0, diskimage.Source{Reader: hashing{image, builder}, Size: f.root.Size()}, step)
	if err == nil {
		err = f.storeTree(ctx, builder)
	}
	step.Done(err)
	if err != nil {
		return err
	}
	step = f.job.Progress.Step("verify root image", f.root.Size())
	err = f.slot.Verify(ctx, f.root, step)
	step.Done(err)
	return err
}

// storeTree writes the hash tree, and makes it and the image durable.
func (f filling) storeTree(ctx context.Context, builder *verity.Builder) error {
	tree, err := builder.Tree()
	if err != nil {
		return err
	}
	if got := tree.Root().Hash; got != f.root.Hash {
		return fmt.Errorf("the root image has root hash %x, the release has %x: %w", got, f.root.Hash, slots.ErrContent)
	}
	if err := tree.Store(&appender{ctx: ctx, filling: f}, [16]byte(f.root.Hash[:16])); err != nil {
		return err
	}
	return f.slot.Tree.Sync() // of the whole disk
}

// hashing hashes an image that is read from its start to its end.
type hashing struct {
	io.ReaderAt
	builder *verity.Builder
}

func (h hashing) ReadAt(p []byte, off int64) (int, error) {
	n, err := h.ReaderAt.ReadAt(p, off)
	if n == len(p) {
		_, err = h.builder.Write(p)
	}
	return n, err
}

// appender writes a hash tree, where it is not right already.
type appender struct {
	ctx     context.Context
	filling filling
	at      int64
}

func (a *appender) Write(p []byte) (int, error) {
	if err := a.filling.job.put(a.ctx, a.filling.slot.Tree, a.at, diskimage.InMemory(p), nil); err != nil {
		return 0, err
	}
	a.at += int64(len(p))
	return len(p), nil
}
