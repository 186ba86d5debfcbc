package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/proa-os/proa/bench/workbench"
)

const imageRecipe = `product: bench
platform: qemu
sources:
  - oci: ./image
` + sizes

// forget empties the cache of what was unpacked, and keeps what was brought.
const forget = `rm -rf "$PROA_CACHE/unpacked"`

// imaging builds from a container image. That it is locked and here, and
// nothing of it unpacked, is the same for both sides.
func (b *bench) imaging(ctx context.Context) error {
	if err := os.MkdirAll(b.Path("oci"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(b.Path("oci", "recipe.yaml"), []byte(imageRecipe), 0o644); err != nil {
		return err
	}
	// umoci compresses as most tools do: gzip, in its usual strength.
	if _, err := b.Command(ctx, `set -e
cd oci
umoci init --layout image
umoci new --image image:bench
umoci raw add-layer --image image:bench `+b.root+`
proa lock -q`); err != nil {
		return err
	}
	// The layer is the largest blob.
	peer := `rm -f peer.erofs && gunzip -c <"$(ls -S oci/image/blobs/sha256/* | head -n 1)" >/dev/null && mkfs.erofs -T 0 peer.erofs tree`
	us, them, err := b.sideBySide(ctx,
		side{forget, "proa build -q oci --locked -o oci/out --version 1.0.0 --force"},
		side{command: peer})
	if err != nil {
		return err
	}
	size, err := b.largest("oci/image/blobs/sha256")
	if err != nil {
		return err
	}
	b.note("container image, compressed", fmt.Sprintf("%.2f MiB", float64(size)/(1<<20)), "", false)
	b.noteTime("proa build, image to disk.raw", workbench.Median(us))
	b.noteTime("gunzip and mkfs.erofs", workbench.Median(them))
	b.noteRatio(workbench.Median(us), workbench.Median(them), 1.5)
	b.noteBytes("proa build of an image, peak memory", workbench.Peak(us), 512<<20)
	return nil
}

// largest is the size of the largest file in a folder.
func (b *bench) largest(folder string) (int64, error) {
	entries, err := os.ReadDir(b.Path(strings.Split(folder, "/")...))
	if err != nil {
		return 0, err
	}
	most := int64(0)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return 0, err
		}
		most = max(most, info.Size())
	}
	return most, nil
}
