package formats

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/proa-os/proa/partitions"
)

// The footer of a VHD (Microsoft, Virtual Hard Disk Image Format Specification,
// "Hard Disk Footer Format"); numbers are big-endian.
const (
	footerSize     = 512
	footerCookie   = "conectix"
	footerTime     = 24 // seconds since 2000
	footerChecksum = 64 // the ones' complement of the sum of all other bytes
	footerUUID     = 68

	year2000 = 946684800 // seconds since 1970
)

// writeVHD makes a VHD of fixed size: the disk, which has whole MiB as Azure
// wants it, and a footer. qemu-img writes the time and a random UUID into it.
func (c *conversion) writeVHD(ctx context.Context) error {
	// force_size: the size that a reader takes is the disk's, and not that of
	// whole cylinders.
	if err := c.qemuImg(ctx, c.made, "-O", "vpc", "-o", "subformat=fixed,force_size=on"); err != nil {
		return err
	}
	file, err := os.OpenFile(c.made, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	footer := make([]byte, footerSize)
	if _, err := file.ReadAt(footer, max(0, end-footerSize)); err != nil {
		return err
	}
	if !bytes.HasPrefix(footer, []byte(footerCookie)) {
		return fmt.Errorf("qemu-img wrote a VHD without a footer")
	}
	setFooter(footer, c.release.Epoch, partitions.DeriveGUID(c.release.layout.Seed, "vhd "+c.release.Root.Hash.String()))
	if _, err := file.WriteAt(footer, end-footerSize); err != nil {
		return err
	}
	return file.Close()
}

func setFooter(footer []byte, epoch int64, id partitions.GUID) {
	binary.BigEndian.PutUint32(footer[footerTime:], uint32(max(0, epoch-year2000)))
	copy(footer[footerUUID:], id[:])
	clear(footer[footerChecksum : footerChecksum+4])
	sum := uint32(0)
	for _, b := range footer {
		sum += uint32(b)
	}
	binary.BigEndian.PutUint32(footer[footerChecksum:], ^sum)
}
