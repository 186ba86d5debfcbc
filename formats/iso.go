package formats

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/partitions/gpt"
)

// writeISO makes an image that starts as an optical disc and as a disk: its boot
// partition, root and hash tree are partitions behind the ISO 9660 file system, of
// which the boot catalogue names the first. That file system has only what people
// may want to read.
//
// xorriso names and numbers partitions as it likes, so the table is written anew
// with the names that proa-init looks for, in the places that xorriso chose.
func (c *conversion) writeISO(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"make boot partition", c.writeLiveESP},
		{"make file system", c.writeISOFiles},
		{"run xorriso", c.runXorriso},
		{"set size of volume", c.setVolumeSize},
		{"write partition table", c.nameISOPartitions},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// The names in the working folder.
const (
	isoESP   = "esp.img"
	isoFiles = "files"

	readmeFile = "README.txt" // of the file system
)

// writeLiveESP makes a boot partition with the live system's kernel image in the
// place of a boot loader: there is nothing to choose.
func (c *conversion) writeLiveESP(ctx context.Context) error {
	parts, err := c.assembleLive(ctx, false)
	if err != nil {
		return err
	}
	image, err := c.assembleSigned(parts)
	if err != nil {
		return err
	}
	size := liveESPSize(int64(len(image)))
	pieces, err := diskimage.ESP(diskimage.ESPConfig{
		Size: size, SectorSize: partitions.SectorSize, Seed: c.isoSeed(), Epoch: c.release.Epoch,
		Files: map[string]diskimage.Source{
			esp.LoaderPath(string(c.release.Arch)): {Reader: bytes.NewReader(image), Size: int64(len(image))},
		},
	})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.path(isoESP), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		return err
	}
	for _, piece := range pieces {
		if _, err := io.Copy(io.NewOffsetWriter(file, piece.Offset), io.NewSectionReader(piece.Reader, 0, piece.Size)); err != nil {
			return err
		}
	}
	return file.Close()
}

// liveESPSize is the bytes of a boot partition for a kernel image: what FAT needs for
// itself, and whole MiB, since the partition ends with one.
func liveESPSize(image int64) int64 {
	size := max(diskimage.LeastESP(partitions.SectorSize), image/62*63+2*partitions.Alignment)
	return (size + partitions.Alignment - 1) / partitions.Alignment * partitions.Alignment
}

// isoSeed is another one than that of the product's disks: two disks with the same
// GUIDs in a machine are one too many.
func (c *conversion) isoSeed() string { return c.release.layout.Seed + "\x00live" }

const isoReadme = `This disc, or stick, starts @NAME@ as a live system
on machines with UEFI firmware. It changes no disk until it is told to install:

    /run/proa/live/proa install running --disk /dev/...

The system itself is on partitions of its own, behind this file system.
`

func (c *conversion) writeISOFiles(context.Context) error {
	if err := os.Mkdir(c.path(isoFiles), 0o755); err != nil {
		return err
	}
	manifest, err := os.ReadFile(c.release.path(manifests.ReleaseFile))
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		readmeFile:            []byte(strings.ReplaceAll(isoReadme, "@NAME@", c.release.name())),
		manifests.ReleaseFile: manifest,
	} {
		if err := os.WriteFile(filepath.Join(c.path(isoFiles), name), content, 0o644); err != nil {
			return err
		}
	}
	// xorriso takes over times and modes. The folder's last, for its files change it.
	epoch := time.Unix(c.release.Epoch, 0)
	for _, name := range []string{readmeFile, manifests.ReleaseFile, "."} {
		path := filepath.Join(c.path(isoFiles), name)
		if err := errors.Join(os.Chtimes(path, epoch, epoch), os.Chmod(path, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

// runXorriso makes the image, with times and ids from SOURCE_DATE_EPOCH.
func (c *conversion) runXorriso(ctx context.Context) error {
	arch := string(c.release.Arch)
	parts := []struct {
		kind partitions.GUID
		path string
	}{
		{partitions.TypeESP, isoESP},
		{partitions.TypeRoot(arch), c.release.path(manifests.RootFile)},
		{partitions.TypeVerity(arch), c.release.path(manifests.VerityFile)},
	}
	args := []string{"-as", "mkisofs", "-o", c.made, "-V", volumeName(c.release.name()), "-r"}
	for i, p := range parts {
		args = append(args, "-append_partition", fmt.Sprint(i+1), p.kind.String(), p.path)
	}
	args = append(args, "-appended_part_as_gpt", "-e", "--interval:appended_partition_1:all::", "-no-emul-boot", isoFiles)
	return c.runProgram(ctx, xorriso, args...)
}

// volumeName is a name as ISO 9660 has them: at most 32 of A-Z, 0-9 and _.
func volumeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
	return name[:min(len(name), 32)]
}

// setVolumeSize makes the file system as long as the image. A boot partition of
// more than 32 MiB has no length in the boot catalogue; firmware takes what is left of
// the volume then, and by xorriso's word that would be nothing, since the partitions
// lie behind it (UEFI Specification 2.10, section 13.3.2.1; ECMA-119, section 8.4.8).
func (c *conversion) setVolumeSize(context.Context) error {
	const (
		block      = 2048
		descriptor = 16 * block
		spaceSize  = 80 // 32 bits, in both orders of bytes
	)
	file, err := os.OpenFile(c.made, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	mark := make([]byte, 6)
	if _, err := file.ReadAt(mark, descriptor); err != nil {
		return err
	}
	if blocks := info.Size() / block; string(mark) != "\x01CD001" || info.Size()%block != 0 || blocks > math.MaxUint32 {
		return fmt.Errorf("%d bytes that begin a volume with %q: xorriso made no ISO 9660", info.Size(), mark)
	}
	size := binary.LittleEndian.AppendUint32(nil, uint32(info.Size()/block))
	size = binary.BigEndian.AppendUint32(size, uint32(info.Size()/block))
	if _, err := file.WriteAt(size, descriptor+spaceSize); err != nil {
		return err
	}
	return file.Close()
}

// nameISOPartitions writes the table that proa-init reads.
func (c *conversion) nameISOPartitions(context.Context) error {
	file, err := os.OpenFile(c.made, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	table, err := gpt.ReadDisk(file)
	if err != nil {
		return err
	}
	layout := partitions.Layout{DiskGUID: partitions.DeriveGUID(c.isoSeed(), "disk"), DiskSize: table.DiskSize}
	arch := string(c.release.Arch)
	for i, want := range []struct {
		role partitions.Role
		kind partitions.GUID
	}{
		{partitions.RoleESP, partitions.TypeESP},
		{partitions.RoleLiveRoot, partitions.TypeRoot(arch)},
		{partitions.RoleLiveVerity, partitions.TypeVerity(arch)},
	} {
		found := 0
		for _, p := range table.Partitions {
			if p.Type == want.kind {
				found++
				p.Number, p.Role, p.GUID = i+1, want.role, partitions.DeriveGUID(c.isoSeed(), string(want.role))
				layout.Partitions = append(layout.Partitions, p)
			}
		}
		if found != 1 {
			return fmt.Errorf("xorriso made %d partitions of type %s: want one", found, want.kind)
		}
	}
	if err := gpt.Erase(file, table.DiskSize); err != nil {
		return err
	}
	if err := gpt.Write(file, layout, table.SectorSize); err != nil {
		return err
	}
	return file.Close()
}
