package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Offsets in struct erofs_super_block, which is at byte 1024 of the image; all
// numbers are little-endian.
const (
	sbOffset        = 1024
	sbMagic         = sbOffset + 0  // uint32
	sbChecksum      = sbOffset + 4  // uint32
	sbFeatureCompat = sbOffset + 8  // uint32
	sbRootNID       = sbOffset + 14 // uint16
	sbInodes        = sbOffset + 16 // uint64
	sbBlocks        = sbOffset + 36 // uint32
	sbMetaBlock     = sbOffset + 40 // uint32
	sbUUID          = sbOffset + 48 // 16 bytes

	magic             = 0xe0f5e1e2
	featureSBChecksum = 1 // of sbFeatureCompat
	featureMtime      = 2
)

// An inode's number, its nid, counts slots of 32 bytes from the metadata
// block. It is one slot long, or two when it is extended; its extended
// attributes follow, then its inline content.
const (
	slotSize      = 32
	slotsPerBlock = BlockSize / slotSize

	inodeFormat     = 0  // uint16: bit 0 extended, bits 1 to 3 the layout
	inodeXattrCount = 2  // uint16: see xattrHeader
	inodeSize       = 8  // uint32, or uint64 when extended
	inodeDataBlock  = 16 // uint32, of layoutPlain

	layoutPlain  = 0 // content in blocks of its own
	layoutInline = 2 // content after the inode

	xattrHeader = 12 // bytes for a count of 1; each further one is 4 bytes
)

// Directory entries are 12 bytes; the names follow the last one of a block.
const (
	direntSize       = 12
	direntNID        = 0 // uint64
	direntNameOffset = 8 // uint16, in the block
)

// finish closes what go-erofs leaves open in an image that it wrote: the
// directory entries of hard links, the numbers of inodes, and the superblock.
// It checks on the way that the directories are what the tree says.
func finish(w File, s *source, uuid [16]byte) (Image, error) {
	block := make([]byte, BlockSize)
	if _, err := w.ReadAt(block, 0); err != nil {
		return Image{}, fmt.Errorf("reading superblock: %w", err)
	}
	if got := binary.LittleEndian.Uint32(block[sbMagic:]); got != magic {
		return Image{}, fmt.Errorf("superblock has magic %#x: want %#x", got, uint32(magic))
	}
	meta := binary.LittleEndian.Uint32(block[sbMetaBlock:])
	f := finisher{file: w, metaStart: int64(meta) * BlockSize}
	s.root.nid = uint64(binary.LittleEndian.Uint16(block[sbRootNID:]))
	if err := f.read(s.root); err != nil {
		return Image{}, err
	}
	if err := f.link(); err != nil {
		return Image{}, err
	}

	// The numbers count from one block earlier, so that no inode, above all not
	// the root directory's, has the number 0, which readdir(3) and others take
	// for "none".
	binary.LittleEndian.PutUint32(block[sbMetaBlock:], meta-1)
	binary.LittleEndian.PutUint16(block[sbRootNID:], uint16(s.root.nid+slotsPerBlock))
	binary.LittleEndian.PutUint64(block[sbInodes:], s.inodes)
	copy(block[sbUUID:], uuid[:])
	blocks, err := pad(w, binary.LittleEndian.Uint32(block[sbBlocks:]))
	if err != nil {
		return Image{}, err
	}
	binary.LittleEndian.PutUint32(block[sbBlocks:], uint32(blocks))
	features := binary.LittleEndian.Uint32(block[sbFeatureCompat:])
	binary.LittleEndian.PutUint32(block[sbFeatureCompat:], features|featureSBChecksum|featureMtime)
	binary.LittleEndian.PutUint32(block[sbChecksum:], superblockChecksum(block))
	if _, err := w.WriteAt(block, 0); err != nil {
		return Image{}, fmt.Errorf("writing superblock: %w", err)
	}
	return Image{Size: int64(blocks) * BlockSize, Blocks: blocks, Inodes: s.inodes}, nil
}

// pad adds a block of zeros behind the last inode. fsck.erofs reads the start
// of an inode's attributes also where it has none, and would fail at the end of an
// image whose last inode ends with its last block.
func pad(w File, blocks uint32) (uint64, error) {
	if blocks == math.MaxUint32 {
		return 0, errors.New("the image has no room for one block more")
	}
	if _, err := w.WriteAt(make([]byte, BlockSize), int64(blocks)*BlockSize); err != nil {
		return 0, fmt.Errorf("writing the last block: %w", err)
	}
	return uint64(blocks) + 1, nil
}

// superblockChecksum is that of erofs_superblock_csum_verify in the kernel's
// fs/erofs/super.c: CRC-32C of block 0 from the superblock on, the checksum
// itself taken as zero, without the final inversion.
func superblockChecksum(block []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, block[sbOffset:sbChecksum])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return ^crc32.Update(sum, table, block[sbChecksum+4:])
}

type finisher struct {
	file        File
	metaStart   int64 // byte where nid 0 is, as go-erofs counts
	directories []directory
}

// directory is the content of one directory, with the entry of the tree that
// each of its names belongs to.
type directory struct {
	offset  int64 // in the image
	data    []byte
	dirents []dirent
}

type dirent struct {
	at    int // in the data
	entry *entry
}

// read reads e, a directory, and those below it, and learns the nid of every
// entry.
func (f *finisher) read(e *entry) error {
	offset, size, err := f.locate(e)
	if err != nil {
		return fmt.Errorf("inode of %s: %w", e.path, err)
	}
	d := directory{offset: offset, data: make([]byte, size)}
	if _, err := f.file.ReadAt(d.data, offset); err != nil {
		return fmt.Errorf("reading directory %s: %w", e.path, err)
	}
	if err := d.match(e); err != nil {
		return fmt.Errorf("directory %s: %w", e.path, err)
	}
	f.directories = append(f.directories, d)
	for _, child := range e.children {
		if child.IsDir() {
			if err := f.read(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// locate is where the content of a directory is in the image.
func (f *finisher) locate(e *entry) (offset, size int64, err error) {
	at := f.metaStart + int64(e.nid)*slotSize
	inode := make([]byte, slotSize)
	if _, err := f.file.ReadAt(inode, at); err != nil {
		return 0, 0, err
	}
	format := binary.LittleEndian.Uint16(inode[inodeFormat:])
	header := int64(slotSize)
	size = int64(binary.LittleEndian.Uint32(inode[inodeSize:]))
	if extended := format&1 != 0; extended {
		header = 2 * slotSize
		size = int64(binary.LittleEndian.Uint64(inode[inodeSize:]))
	}
	if count := binary.LittleEndian.Uint16(inode[inodeXattrCount:]); count > 0 {
		header += xattrHeader + 4*int64(count-1)
	}
	if size <= 0 || size > 1<<36 {
		return 0, 0, fmt.Errorf("size %d of a directory", size)
	}
	switch format >> 1 & 7 {
	case layoutPlain:
		return int64(binary.LittleEndian.Uint32(inode[inodeDataBlock:])) * BlockSize, size, nil
	case layoutInline:
		return at + header, size, nil
	}
	return 0, 0, fmt.Errorf("format %#x of a directory", format)
}

// match pairs the directory's names with e's children, both of which are
// sorted, and takes over the nids.
func (d *directory) match(e *entry) error {
	next := 0
	for start := 0; start < len(d.data); start += BlockSize {
		block := d.data[start:min(start+BlockSize, len(d.data))]
		names, err := direntNames(block)
		if err != nil {
			return err
		}
		for i, name := range names {
			at := start + i*direntSize
			switch {
			case name == "." || name == "..":
				d.dirents = append(d.dirents, dirent{at, nil})
			case next == len(e.children) || e.children[next].Name() != name:
				return fmt.Errorf("%q where the tree has another name", name)
			default:
				child := e.children[next]
				child.nid = binary.LittleEndian.Uint64(d.data[at+direntNID:])
				d.dirents = append(d.dirents, dirent{at, child})
				next++
			}
		}
	}
	if next != len(e.children) {
		return fmt.Errorf("%d names: want %d", next, len(e.children))
	}
	return nil
}

// direntNames lists the names in one directory block: entries first, then the
// names in the same order, up to the end or a zero byte.
func direntNames(block []byte) ([]string, error) {
	if len(block) < direntSize {
		return nil, fmt.Errorf("block of %d bytes", len(block))
	}
	count := int(binary.LittleEndian.Uint16(block[direntNameOffset:])) / direntSize
	if count == 0 || count*direntSize > len(block) {
		return nil, fmt.Errorf("block with %d entries", count)
	}
	names := make([]string, count)
	end := len(block)
	for i := count - 1; i >= 0; i-- {
		start := int(binary.LittleEndian.Uint16(block[i*direntSize+direntNameOffset:]))
		if start > end {
			return nil, fmt.Errorf("entry %d has its name at %d, after %d", i, start, end)
		}
		name := block[start:end]
		if i == count-1 {
			for len(name) > 0 && name[len(name)-1] == 0 {
				name = name[:len(name)-1]
			}
		}
		names[i], end = string(name), start
	}
	return names, nil
}

// link writes every directory anew, with the numbers as they count from one
// block earlier, and those of hard links pointing to their first name's inode.
func (f *finisher) link() error {
	for _, d := range f.directories {
		for _, dirent := range d.dirents {
			nid := binary.LittleEndian.Uint64(d.data[dirent.at+direntNID:])
			if dirent.entry != nil {
				nid = dirent.entry.first.nid
			}
			binary.LittleEndian.PutUint64(d.data[dirent.at+direntNID:], nid+slotsPerBlock)
		}
		if _, err := f.file.WriteAt(d.data, d.offset); err != nil {
			return fmt.Errorf("writing directory entries: %w", err)
		}
	}
	return nil
}
