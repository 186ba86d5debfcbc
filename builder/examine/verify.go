package examine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
)

// Check is the result of one examination.
type Check struct {
	Name  string `json:"name"`            // what was examined
	Fault string `json:"fault,omitempty"` // what is wrong with it; empty if nothing is
}

// ErrFaulty says that a check found a fault.
var ErrFaulty = errors.New("not all is right")

// Verify examines a release folder or a disk image: for a folder the digest of
// every artifact, the root image against the root hash, and the disk image; for
// a disk its table, its boot partition, and for each slot in use the root and
// the whole hash tree against the root hash in its kernel image. All checks are
// made, also after one has failed; then the error is ErrFaulty.
func Verify(ctx context.Context, path string, reporter progress.Reporter) ([]Check, error) {
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if reporter == nil {
		reporter = progress.Silent()
	}
	v := &verification{ctx: ctx, progress: reporter}
	switch {
	case info.IsDir() && isExtension(path):
		err = v.extension(path)
	case info.IsDir():
		err = v.release(path)
	default:
		err = v.disk(path, nil)
	}
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, c := range v.checks {
		if c.Fault != "" {
			return v.checks, ErrFaulty
		}
	}
	return v.checks, nil
}

type verification struct {
	ctx      context.Context
	progress progress.Reporter
	checks   []Check
}

func (v *verification) note(name string, err error) {
	c := Check{Name: name}
	if err != nil {
		c.Fault = err.Error()
	}
	v.checks = append(v.checks, c)
}

func (v *verification) release(folder string) error {
	release, err := ReadRelease(folder)
	if err != nil {
		return err
	}
	for _, a := range release.Artifacts {
		v.note(a.Name+" against its digest", v.artifact(folder, a))
	}
	root := releaseRoot(release)
	v.note("root image and hash tree against the root hash", v.rootFiles(folder, root))
	v.note("kernel image against the root hash", func() error {
		kernel, err := readKernelFile(filepath.Join(folder, manifests.UKIFile))
		if err != nil {
			return err
		}
		return sameRoot(kernel, root)
	}())
	v.extensions(folder, release)
	err = v.disk(filepath.Join(folder, manifests.DiskFile), &root)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // the artifact's own check has said so
	}
	return err
}

func releaseRoot(r manifests.Release) verity.Root {
	root := verity.Root{Salt: r.Root.Salt, Blocks: r.Root.Blocks}
	copy(root.Hash[:], r.Root.Hash)
	return root
}

func (v *verification) artifact(folder string, a manifests.Artifact) error {
	step := v.progress.Step("digest "+a.Name, a.Size)
	size, sum, err := sparse.Digest(v.ctx, filepath.Join(folder, a.Name), step.Add)
	step.Done(err)
	switch {
	case err != nil:
		return err
	case size != a.Size:
		return fmt.Errorf("%d bytes: the release lists %d", size, a.Size)
	case manifests.Digest(sum) != a.Digest:
		return fmt.Errorf("%s: the release lists %s", manifests.Digest(sum), a.Digest)
	}
	return nil
}

func (v *verification) rootFiles(folder string, root verity.Root) error {
	image, err := os.Open(filepath.Join(folder, manifests.RootFile))
	if err != nil {
		return err
	}
	defer image.Close()
	hashes, err := os.Open(filepath.Join(folder, manifests.VerityFile))
	if err != nil {
		return err
	}
	defer hashes.Close()
	return v.root("root image", root, image, hashes)
}

func (v *verification) root(name string, root verity.Root, image, hashes io.ReaderAt) error {
	step := v.progress.Step("verify "+name, root.Size())
	err := verity.Verify(v.ctx, verity.Check{Root: root, Data: image, Stored: hashes, Done: step.Add})
	step.Done(err)
	return err
}

// disk examines a disk or disk image. When want is given, the committed slot
// must hold that root.
func (v *verification) disk(path string, want *verity.Root) error {
	image, err := diskimage.Open(path)
	if err != nil {
		if want != nil {
			v.note("disk: partition table", err)
			return nil
		}
		return err
	}
	defer image.Close()

	v.note("disk: partition table", table(image))
	v.note("disk: boot partition", image.CheckESP())
	committed, err := image.Committed()
	v.note("disk: committed slot", err)
	for _, slot := range partitions.Slots() {
		kernel, kernelErr := readSlotKernel(image, slot)
		if errors.Is(kernelErr, fs.ErrNotExist) && (err != nil || slot != committed) {
			continue
		}
		name := fmt.Sprintf("disk: slot %s", slot)
		if kernelErr != nil {
			v.note(name+": kernel image", kernelErr)
			continue
		}
		if want != nil && slot == committed {
			v.note(name+": kernel image against the release", sameRoot(kernel, *want))
		}
		v.note(name+": root and hash tree against the kernel image", v.slot(image, slot, kernel.boot.Root))
	}
	return nil
}

// table demands both copies of the table and a partition for every role.
func table(image *diskimage.Image) error {
	if image.Table.Damaged != "" {
		return errors.New(image.Table.Damaged)
	}
	for _, role := range partitions.Roles() {
		if _, ok := image.Table.Find(role); !ok {
			return fmt.Errorf("there is no partition %s", role)
		}
	}
	return nil
}

func (v *verification) slot(image *diskimage.Image, slot partitions.Slot, root verity.Root) error {
	data, err := image.Partition(slot.Root())
	if err != nil {
		return err
	}
	hashes, err := image.Partition(slot.Verity())
	if err != nil {
		return err
	}
	if root.Size() > data.Size() {
		return fmt.Errorf("the root image has %d bytes and its partition %d", root.Size(), data.Size())
	}
	return v.root("slot "+slot.String(), root, data, hashes)
}

func sameRoot(kernel Kernel, want verity.Root) error {
	got := kernel.boot.Root
	if got.Hash != want.Hash || got.Blocks != want.Blocks || string(got.Salt) != string(want.Salt) {
		return fmt.Errorf("its command line names the root %x of %d blocks, and not %x of %d", got.Hash, got.Blocks, want.Hash, want.Blocks)
	}
	return nil
}
