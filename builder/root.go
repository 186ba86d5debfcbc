package builder

import (
	"bufio"
	"context"
	"crypto/sha256"
	"os"

	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
)

// writeRoot writes the tree as the root image.
func (b *build) writeRoot(ctx context.Context) error {
	file, err := os.OpenFile(b.path(manifests.RootFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	b.root, err = erofs.Write(ctx, file, b.tree, erofs.Config{UUID: b.rootUUID(), Epoch: b.Epoch, Previous: b.layout, Progress: b.Progress})
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	b.rootDigest = b.digest(ctx, manifests.RootFile)
	if err := os.WriteFile(b.path(manifests.RootMapFile), b.root.Layout.Append(nil), 0o644); err != nil {
		return err
	}
	b.digest(ctx, manifests.RootMapFile)
	return nil
}

// hashRoot computes the hash tree of the root image.
func (b *build) hashRoot(ctx context.Context) error {
	image, err := os.Open(b.path(manifests.RootFile))
	if err != nil {
		return err
	}
	defer image.Close()

	step := b.Progress.Step("hash root image", b.root.Size)
	salt := Salt(b.Recipe.Seed)
	leaves, err := verity.HashImage(ctx, image, b.root.Blocks, salt, 0, step.Add)
	step.Done(err)
	if err != nil {
		return err
	}
	if b.hashes, err = verity.NewTree(leaves, salt); err != nil {
		return err
	}
	b.rootHash = b.hashes.Root().Hash
	file, err := os.OpenFile(b.path(manifests.VerityFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	if err := b.hashes.Store(out, b.rootUUID()); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	b.digest(ctx, manifests.VerityFile)
	return nil
}

// Salt is the verity salt of every release with the given seed. It does not
// change from release to release, so that equal blocks have equal hashes and a
// host can find in its hash tree what it has already.
func Salt(seed string) []byte {
	sum := sha256.Sum256([]byte("proa verity salt\x00" + seed))
	return sum[:]
}
