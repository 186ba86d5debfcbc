// Package diskimage makes the image of a whole proa disk, and opens one to look
// into it.
//
// Write makes a sparse raw file: the partition table, the boot partition with
// slot a's kernel, and slot a's root and hash tree. Slot b, the state and var
// stay holes, which a machine fills. The same Config always gives the same
// bytes. Nothing here needs root, a loop device or a mount.
//
// ESP makes the boot partition alone, in pieces, for those who write to disks.
package diskimage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/progress"
)

// Config is what a disk image is made of.
type Config struct {
	Layout partitions.Layout // see partitions.Plan
	Arch   string            // "amd64" or "arm64"
	Seed   string            // of the volume id; the same as the layout's
	Epoch  int64             // of every file on the boot partition; seconds since 1970

	Loader Source // systemd-boot
	UKI    Source // slot a's unified kernel image
	Root   Source // slot a's root image; a multiple of 4096 bytes
	Verity Source // slot a's superblock and hash tree

	// ESPFiles are further files of the boot partition by their path, such as
	// "loader/keys/auto/db.auth"; may be nil. They must not be empty.
	ESPFiles map[string]Source

	Progress progress.Reporter // nil tells nobody
}

// TooSmallError says that something does not fit into its partition.
type TooSmallError struct {
	Role   partitions.Role
	Size   int64 // bytes of the partition
	Needed int64 // bytes that it must have at the least, a multiple of partitions.Alignment
}

func (e *TooSmallError) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("partition %s of %d MiB is too small: %d MiB needed", e.Role, e.Size/mib, e.Needed/mib)
}

// Check says everything that Write would refuse, without writing; a
// *TooSmallError is among the joined errors for each partition that is too
// small.
func (c Config) Check() error {
	var faults []error
	others := int64(0)
	files := c.espFiles()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		faults = append(faults, c.checkESPFile(name, files[name]))
		others += files[name].Size
	}
	for _, part := range []struct {
		role partitions.Role
		s    Source
	}{{partitions.SlotA.Root(), c.Root}, {partitions.SlotA.Verity(), c.Verity}} {
		if part.s.Size <= 0 || part.s.Reader == nil || part.s.Size%4096 != 0 {
			faults = append(faults, fmt.Errorf("image for %s of %d bytes: want a multiple of 4096", part.role, part.s.Size))
		}
		faults = append(faults, c.checkFit(part.role, part.s.Size))
	}
	faults = append(faults, c.checkFit(partitions.RoleESP, NeededESP(c.UKI.Size, others-c.UKI.Size)))
	return errors.Join(faults...)
}

func (c Config) checkFit(role partitions.Role, needed int64) error {
	p, ok := c.Layout.Find(role)
	if !ok {
		return fmt.Errorf("layout has no partition %s", role)
	}
	if needed <= p.Size {
		return nil
	}
	return &TooSmallError{Role: role, Size: p.Size, Needed: roundUp(needed)}
}

func roundUp(size int64) int64 {
	return (size + partitions.Alignment - 1) / partitions.Alignment * partitions.Alignment
}

// NeededESP is the least size in bytes of a boot partition for UKIs of the
// given size, one for each slot, and others bytes of further files, with some
// room to grow and for FAT's own tables. It is a multiple of
// partitions.Alignment and at least partitions.ESPMinimum.
func NeededESP(uki, others int64) int64 {
	const slack = 8 << 20
	content := 2*uki + others + slack
	// Two tables of 4 bytes for each cluster of 512 are one part in 64.
	return max(roundUp(content+content/63), partitions.ESPMinimum)
}

// espFiles is everything that the boot partition begins its life with.
func (c Config) espFiles() map[string]Source {
	conf := esp.LoaderConf(partitions.SlotA)
	files := map[string]Source{
		esp.LoaderPath(c.Arch):        c.Loader,
		esp.UKIPath(partitions.SlotA): c.UKI,
		esp.LoaderConfPath:            {strings.NewReader(string(conf)), int64(len(conf))},
	}
	maps.Copy(files, c.ESPFiles)
	return files
}

// Write makes the image in file, which must be empty, and reads its structures
// back. It does not sync. On an error or when ctx ends, the file is left as it
// is, for the caller to remove.
func Write(ctx context.Context, file *os.File, config Config) error {
	if config.Progress == nil {
		config.Progress = progress.Silent()
	}
	if err := config.Check(); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("looking at the disk image: %w", err)
	}
	if info.Size() != 0 || !info.Mode().IsRegular() {
		return fmt.Errorf("disk image %s: want a new, empty file", file.Name())
	}
	if err := file.Truncate(config.Layout.DiskSize); err != nil {
		return fmt.Errorf("setting the size of the disk image: %w", err)
	}
	w := writer{config: config, file: file, step: config.Progress.Step("write disk image", config.contentSize())}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"writing the partition table", w.writeTable},
		{"writing the boot partition", w.writeESP},
		{"writing the root image", w.writeSource(partitions.SlotA.Root(), config.Root)},
		{"writing the hash tree", w.writeSource(partitions.SlotA.Verity(), config.Verity)},
		{"checking the disk image", w.readBack},
	} {
		if err = step.run(ctx); err != nil {
			err = fmt.Errorf("%s: %w", step.name, err)
			break
		}
	}
	w.step.Done(err)
	return err
}

func (c Config) contentSize() int64 {
	sum := c.Root.Size + c.Verity.Size
	for _, s := range c.espFiles() {
		sum += s.Size
	}
	return sum
}

// writer is one run of Write.
type writer struct {
	config Config
	file   *os.File
	step   progress.Step
}

func (w *writer) writeSource(role partitions.Role, s Source) func(context.Context) error {
	return func(ctx context.Context) error {
		p, _ := w.config.Layout.Find(role)
		return copyAt(ctx, w.file, p.Start, s, 0, s.Size, w.step)
	}
}

// readBack opens the image as everybody else will, and wants to see what was
// meant.
func (w *writer) readBack(context.Context) error {
	table, err := gpt.ReadDisk(w.file)
	if err != nil {
		return err
	}
	layout := w.config.Layout
	if table.Damaged != "" || table.DiskGUID != layout.DiskGUID || !slices.Equal(table.Partitions, layout.Partitions) {
		return fmt.Errorf("partition table is not the layout's: %s %+v", table.Damaged, table.Partitions)
	}
	image := Image{Table: table, file: w.file}
	if err := image.CheckESP(); err != nil {
		return err
	}
	_, err = image.Committed()
	return err
}
