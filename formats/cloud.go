package formats

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
)

const gib = 1 << 30

// writeAWS makes a raw image of whole GiB: volumes of EC2 have no other sizes,
// and what is written into one by its direct interface is as long as the volume.
func (c *conversion) writeAWS(ctx context.Context) error {
	return c.writeWhole(ctx, c.made)
}

// writeGCE makes what Compute Engine imports: a tar in the old GNU format,
// compressed by gzip, with one file disk.raw of whole GiB.
func (c *conversion) writeGCE(ctx context.Context) error {
	disk := c.path(manifests.DiskFile)
	if err := c.writeWhole(ctx, disk); err != nil {
		return err
	}
	info, err := os.Stat(disk)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(c.made, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	packed := gzip.NewWriter(out) // without a name and a time
	archive := tar.NewWriter(packed)
	header := c.tarHeader(manifests.DiskFile, info.Size())
	header.Format = tar.FormatGNU
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if err := c.copyDisk(ctx, archive, disk); err != nil {
		return err
	}
	for _, w := range []io.Closer{archive, packed, out} {
		if err := w.Close(); err != nil {
			return err
		}
	}
	return os.Remove(disk)
}

func (c *conversion) tarHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(c.release.Epoch, 0)}
}

// writeWhole copies the disk to a file of whole units, and gives var what that
// adds, as if the disk had been made in this size.
func (c *conversion) writeWhole(ctx context.Context, to string) error {
	if err := c.copySparse(ctx, c.disk(), to); err != nil {
		return err
	}
	disk, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	if err := enlarge(disk, c.unit); err != nil {
		return fmt.Errorf("enlarging the disk: %w", err)
	}
	return disk.Close()
}

// enlarge makes the image of a disk a multiple of unit long, and its table that
// of a disk of this size. Nothing is left of the backup copy that was the end:
// it would be in var.
func enlarge(disk *os.File, unit int64) error {
	table, err := gpt.ReadDisk(disk)
	if err != nil {
		return err
	}
	size := (table.DiskSize + unit - 1) / unit * unit
	if size == table.DiskSize {
		return nil
	}
	last := len(table.Partitions) - 1
	if table.Damaged != "" || last < 0 || table.Partitions[last].Role != partitions.RoleVar {
		return fmt.Errorf("a partition table that a build did not make: %s", table.Damaged)
	}
	if err := gpt.Erase(disk, table.DiskSize); err != nil {
		return err
	}
	// Its entries, too.
	backup := table.Partitions[last].Start + table.Partitions[last].Size
	if _, err := disk.WriteAt(make([]byte, table.DiskSize-backup), backup); err != nil {
		return err
	}
	if err := disk.Truncate(size); err != nil {
		return err
	}
	table.Partitions[last].Size = gpt.VarEnd(size, table.SectorSize) - table.Partitions[last].Start
	return gpt.Write(disk, partitions.Layout{DiskGUID: table.DiskGUID, DiskSize: size, Partitions: table.Partitions}, table.SectorSize)
}
