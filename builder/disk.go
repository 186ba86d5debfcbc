package builder

import (
	"context"
	"encoding/json"
	"os"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/verity"
)

// writeDisk lays out a whole disk with the release in slot a, and writes beside it
// what an installer needs to lay out others.
func (b *build) writeDisk(ctx context.Context) error {
	sizes := b.sizes()
	layout, err := partitions.Plan(b.Recipe.Seed, string(b.Arch), sizes)
	if err != nil {
		return err
	}
	loader, err := b.bootFile("systemd-boot" + b.Arch.EFISuffix() + ".efi")
	if err != nil {
		return err
	}
	if err := b.writeForInstaller(ctx, sizes, loader); err != nil {
		return err
	}
	root, err := diskimage.OpenSource(b.path(manifests.RootFile))
	if err != nil {
		return err
	}
	defer root.Close()
	hashes, err := diskimage.OpenSource(b.path(manifests.VerityFile))
	if err != nil {
		return err
	}
	defer hashes.Close()

	file, err := os.OpenFile(b.path(manifests.DiskFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	err = diskimage.Write(ctx, file, diskimage.Config{
		Layout:   layout,
		Arch:     string(b.Arch),
		Seed:     b.Recipe.Seed,
		Epoch:    b.Epoch,
		Loader:   diskimage.InMemory(loader),
		UKI:      diskimage.InMemory(b.uki),
		Root:     root.Source,
		Verity:   hashes.Source,
		Progress: b.Progress,
	})
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	b.digest(ctx, manifests.DiskFile)
	return nil
}

func (b *build) writeForInstaller(ctx context.Context, sizes partitions.Sizes, loader []byte) error {
	layout, err := json.MarshalIndent(manifests.Layout{
		Schema: 1, Seed: b.Recipe.Seed, ESP: sizes.ESP, Root: sizes.Root, Verity: sizes.Verity, Var: sizes.Var,
	}, "", "  ")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{manifests.LayoutFile: append(layout, '\n'), manifests.LoaderFile: loader} {
		if err := os.WriteFile(b.path(name), content, 0o644); err != nil {
			return err
		}
		b.digest(ctx, name)
	}
	return nil
}

// sizes are the recipe's, and where it is silent: a slot of twice what this
// release needs, and the hash tree that such a slot can need.
func (b *build) sizes() partitions.Sizes {
	sizes := partitions.Sizes{
		ESP:    int64(b.Recipe.ESP),
		Root:   int64(b.Recipe.Slots.Root),
		Verity: int64(b.Recipe.Slots.Verity),
		Var:    int64(b.Recipe.Var),
	}
	if sizes.Root == 0 {
		sizes.Root = 2 * b.root.Size
	}
	if sizes.Verity == 0 {
		sizes.Verity = verity.TreeSize(uint64(sizes.Root+partitions.Alignment) / verity.BlockSize)
	}
	return sizes
}
