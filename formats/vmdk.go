package formats

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// writeVMDK makes a stream-optimised VMDK.
func (c *conversion) writeVMDK(ctx context.Context) error {
	return c.streamOptimized(ctx, c.made)
}

// streamOptimized has qemu-img convert the disk to a VMDK, and replaces the random
// content id in it.
func (c *conversion) streamOptimized(ctx context.Context, to string) error {
	if err := c.qemuImg(ctx, to, "-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic"); err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := setContentID(file, binary.BigEndian.Uint32(c.release.Root.Hash)); err != nil {
		return fmt.Errorf("setting the content id: %w", err)
	}
	return file.Close()
}

var contentID = regexp.MustCompile(`(?m)^CID=[0-9a-f]{1,8}$`)

// setContentID sets CID in the descriptor that is embedded in a VMDK: a text, at
// the sector that the header names (VMware, Virtual Disk Format 5.0, "The Text
// Descriptor" and "Hosted Sparse Extents").
func setContentID(file *os.File, id uint32) error {
	const (
		sector      = 512
		at          = 28 // offset of the descriptor in sectors, then its size, 64 bits each
		sectorsMost = 128
	)
	header := make([]byte, sector)
	if _, err := file.ReadAt(header, 0); err != nil {
		return err
	}
	offset, size := binary.LittleEndian.Uint64(header[at:]), binary.LittleEndian.Uint64(header[at+8:])
	if !bytes.HasPrefix(header, []byte("KDMV")) || offset == 0 || offset > sectorsMost || size == 0 || size > sectorsMost {
		return errors.New("no descriptor where a VMDK has it")
	}
	text := make([]byte, size*sector)
	if _, err := file.ReadAt(text, int64(offset*sector)); err != nil {
		return err
	}
	place := contentID.FindIndex(text)
	if place == nil {
		return errors.New("the descriptor has no CID")
	}
	if id >= 0xfffffffe {
		id = 1 // those mean that there is none
	}
	// The one that was there may have had fewer digits; what follows then moves on,
	// over some of the zeros at the end.
	changed := slices.Concat(text[:place[0]], fmt.Appendf(nil, "CID=%08x", id), text[place[1]:])
	if len(bytes.TrimRight(changed, "\x00")) >= len(text) {
		return errors.New("the descriptor has no room for 8 digits")
	}
	_, err := file.WriteAt(changed[:len(text)], int64(offset*sector))
	return err
}

// writeOVA packs a machine: its description, the digests, and the disk, in the
// order in which readers want them (DSP0243, Open Virtualization Format
// Specification 1.1, "Distribution as a single file").
func (c *conversion) writeOVA(ctx context.Context) error {
	name := c.release.name()
	disk := c.path(name + "-disk1.vmdk")
	if err := c.streamOptimized(ctx, disk); err != nil {
		return err
	}
	info, err := os.Stat(disk)
	if err != nil {
		return err
	}
	raw, err := os.Stat(c.disk())
	if err != nil {
		return err
	}
	sum, err := c.digestFile(ctx, disk, filepath.Base(disk))
	if err != nil {
		return err
	}
	ovf := c.ovf(filepath.Base(disk), info.Size(), raw.Size())
	digests := fmt.Appendf(nil, "SHA256(%s.ovf)= %x\nSHA256(%s)= %x\n", name, sha256.Sum256(ovf), filepath.Base(disk), sum.Digest[:])

	out, err := os.OpenFile(c.made, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	archive := tar.NewWriter(out)
	for _, small := range []struct {
		name    string
		content []byte
	}{{name + ".ovf", ovf}, {name + ".mf", digests}} {
		header := c.tarHeader(small.name, int64(len(small.content)))
		header.Format = tar.FormatUSTAR
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(small.content); err != nil {
			return err
		}
	}
	header := c.tarHeader(filepath.Base(disk), info.Size())
	header.Format = tar.FormatUSTAR
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if err := c.copyDisk(ctx, archive, disk); err != nil {
		return err
	}
	for _, w := range []io.Closer{archive, out} {
		if err := w.Close(); err != nil {
			return err
		}
	}
	return os.Remove(disk)
}
