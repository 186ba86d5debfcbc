// Package ddi writes and reads discoverable disk images of one file system: a
// partition table, an EROFS image, and its dm-verity hash tree, in one file that
// systemd-sysext, systemd-confext and portable services take as it is.
//
// Whoever knows the root hash finds both partitions by it: their GUIDs are its
// two halves. The same content gives the same bytes.
//
// Format: the Discoverable Partitions Specification (UAPI.2) and Discoverable Disk
// Images (UAPI.3).
package ddi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/verity"
)

const (
	// start is where the file system begins, in bytes: behind the table.
	start = 20 << 10
	// tail is what the table's second copy takes at the end: its header and entries.
	tail = 33 * partitions.SectorSize

	nameRoot   = "root"
	nameVerity = "root-verity"
)

// Config says what an image has beside its file system.
type Config struct {
	Arch string   // "amd64" or "arm64"; required
	Seed string   // the disk's GUID is derived from it; required
	Salt []byte   // of the hash tree, 32 bytes; required
	UUID [16]byte // of the hash tree
	// Write writes the file system, whole blocks of verity.BlockSize, and returns
	// its length in bytes. Required.
	Write func(w io.Writer) (int64, error)
	// Hashed is told of the bytes that were hashed, from any goroutine. Optional.
	Hashed func(n int64)
}

// Create writes an image to an empty file and returns its root, by whose hash the
// image is opened.
func Create(ctx context.Context, file *os.File, c Config) (verity.Root, error) {
	size, err := c.Write(io.NewOffsetWriter(file, start))
	if err != nil {
		return verity.Root{}, err
	}
	if size <= 0 || size%verity.BlockSize != 0 {
		return verity.Root{}, fmt.Errorf("file system of %d bytes: want a multiple of %d", size, verity.BlockSize)
	}
	blocks := uint64(size / verity.BlockSize)
	leaves, err := verity.HashImage(ctx, io.NewSectionReader(file, start, size), blocks, c.Salt, 0, c.Hashed)
	if err != nil {
		return verity.Root{}, err
	}
	tree, err := verity.NewTree(leaves, c.Salt)
	if err != nil {
		return verity.Root{}, err
	}
	root := tree.Root()
	if err := tree.Store(io.NewOffsetWriter(file, start+size), c.UUID); err != nil {
		return verity.Root{}, err
	}
	layout := layoutOf(c, root)
	if err := file.Truncate(layout.DiskSize); err != nil {
		return verity.Root{}, err
	}
	return root, gpt.Write(file, layout, partitions.SectorSize)
}

func layoutOf(c Config, root verity.Root) partitions.Layout {
	data, hashes := guids(root.Hash)
	treeSize := verity.TreeSize(root.Blocks)
	end := start + root.Size() + treeSize + tail
	return partitions.Layout{
		DiskGUID: partitions.DeriveGUID(c.Seed, "disk"),
		DiskSize: (end + verity.BlockSize - 1) / verity.BlockSize * verity.BlockSize,
		Partitions: []partitions.Partition{
			{Number: 1, Role: nameRoot, Type: partitions.TypeRoot(c.Arch), GUID: data, Start: start, Size: root.Size()},
			{Number: 2, Role: nameVerity, Type: partitions.TypeVerity(c.Arch), GUID: hashes, Start: start + root.Size(), Size: treeSize},
		},
	}
}

// guids are those of the partitions of an image with a root hash.
func guids(hash [verity.HashSize]byte) (data, tree partitions.GUID) {
	return partitions.GUID(hash[:16]), partitions.GUID(hash[16:])
}

// Image is an image that was opened.
type Image struct {
	Root verity.Root
	Data *io.SectionReader // the file system
	Tree *io.SectionReader // its hash tree
}

// Open finds the partitions that belong to a root hash in an image of size bytes.
// It believes nothing: Verify checks what it found.
func Open(r io.ReaderAt, size int64, arch string, rootHash [verity.HashSize]byte) (Image, error) {
	table, err := gpt.ReadSectors(r, size, partitions.SectorSize)
	if err != nil {
		return Image{}, err
	}
	if table.Damaged != "" {
		return Image{}, errors.New(table.Damaged)
	}
	dataGUID, treeGUID := guids(rootHash)
	data, err := find(r, table, dataGUID, partitions.TypeRoot(arch))
	if err != nil {
		return Image{}, fmt.Errorf("file system of root hash %x: %w", rootHash, err)
	}
	tree, err := find(r, table, treeGUID, partitions.TypeVerity(arch))
	if err != nil {
		return Image{}, fmt.Errorf("hash tree of root hash %x: %w", rootHash, err)
	}
	block := make([]byte, verity.BlockSize)
	if _, err := tree.ReadAt(block, 0); err != nil {
		return Image{}, fmt.Errorf("hash tree: %w", err)
	}
	sb, err := verity.ParseSuperblock(block)
	if err != nil {
		return Image{}, err
	}
	root := verity.Root{Hash: rootHash, Salt: sb.Salt, Blocks: sb.Blocks}
	if sb.Blocks != uint64(data.Size()/verity.BlockSize) {
		return Image{}, fmt.Errorf("hash tree over %d blocks: the file system's partition has %d bytes", sb.Blocks, data.Size())
	}
	return Image{root, data, tree}, nil
}

func find(r io.ReaderAt, table gpt.Table, guid, kind partitions.GUID) (*io.SectionReader, error) {
	for _, p := range table.Partitions {
		if p.GUID == guid && p.Type == kind {
			return io.NewSectionReader(r, p.Start, p.Size), nil
		}
	}
	return nil, fmt.Errorf("no partition %s of type %s", guid, kind)
}

// Verify reads all of the file system and its hash tree, and holds them against
// the root hash. What it tells of bad blocks is a *verity.CorruptError.
func (i Image) Verify(ctx context.Context, hashed func(n int64)) error {
	return verity.Verify(ctx, verity.Check{Root: i.Root, Data: i.Data, Stored: i.Tree, Done: hashed})
}
