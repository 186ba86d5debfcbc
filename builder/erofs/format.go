package erofs

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// Offsets in struct erofs_super_block, which is at byte 1024 of the image; all
// numbers are little-endian.
const (
	sbOffset        = 1024
	sbMagic         = sbOffset + 0  // uint32
	sbChecksum      = sbOffset + 4  // uint32
	sbFeatureCompat = sbOffset + 8  // uint32
	sbBlockBits     = sbOffset + 12 // uint8
	sbRootNID       = sbOffset + 14 // uint16
	sbInodes        = sbOffset + 16 // uint64
	sbTime          = sbOffset + 24 // uint64: seconds since 1970
	sbBlocks        = sbOffset + 36 // uint32
	sbMetaBlock     = sbOffset + 40 // uint32
	sbUUID          = sbOffset + 48 // 16 bytes

	magic             = 0xe0f5e1e2
	blockBits         = 12
	featureSBChecksum = 1 // of sbFeatureCompat
	featureMtime      = 2
	rootNumberMost    = math.MaxUint16
)

// An inode's number, its nid, counts slots of 32 bytes from the metadata
// block. It is one slot long, or two when it is extended; its extended
// attributes follow, then its inline content.
const (
	slotSize      = 32
	slotsPerBlock = BlockSize / slotSize

	formatExtended = 1      // bit 0 of an inode's first field; bits 1 to 3 are the layout
	layoutPlain    = 0 << 1 // content in blocks of its own
	layoutInline   = 2 << 1 // content after the inode
)

// superblock is the first block of the image.
func (p *plan) superblock(config Config) []byte {
	block := make([]byte, BlockSize)
	binary.LittleEndian.PutUint32(block[sbMagic:], magic)
	binary.LittleEndian.PutUint32(block[sbFeatureCompat:], featureSBChecksum|featureMtime)
	block[sbBlockBits] = blockBits
	binary.LittleEndian.PutUint16(block[sbRootNID:], uint16(p.inodes[0].number))
	binary.LittleEndian.PutUint64(block[sbInodes:], uint64(len(p.inodes)))
	binary.LittleEndian.PutUint64(block[sbTime:], uint64(config.Epoch))
	binary.LittleEndian.PutUint32(block[sbBlocks:], uint32(p.blocks))
	binary.LittleEndian.PutUint32(block[sbMetaBlock:], uint32(p.meta-firstNumber/slotsPerBlock))
	copy(block[sbUUID:], config.UUID[:])
	binary.LittleEndian.PutUint32(block[sbChecksum:], superblockChecksum(block))
	return block
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

// extended reports whether an inode needs the long form.
func (i *inode) extended() bool {
	return i.size > math.MaxUint32 || i.links > math.MaxUint16 || i.node.UID > math.MaxUint16 || i.node.GID > math.MaxUint16
}

func (i *inode) headerSize() int64 {
	if i.extended() {
		return 2 * slotSize
	}
	return slotSize
}

// appendHeader appends struct erofs_inode_compact or erofs_inode_extended.
func (i *inode) appendHeader(to []byte, epoch int64) []byte {
	format := uint16(layoutPlain)
	if i.inline {
		format = layoutInline
	}
	place := uint32(i.block)
	if k := i.node.Kind; k == tree.CharDevice || k == tree.BlockDevice {
		place = encodeDevice(i.node.Device)
	}
	xattrs := uint16(0)
	if n := len(i.xattrs); n > 0 {
		xattrs = uint16((n-xattrHeader)/4 + 1)
	}
	mode := modes[i.node.Kind] | uint16(i.node.Mode)
	le := binary.LittleEndian
	if !i.extended() {
		to = le.AppendUint16(to, format)
		to = le.AppendUint16(to, xattrs)
		to = le.AppendUint16(to, mode)
		to = le.AppendUint16(to, uint16(i.links))
		to = le.AppendUint32(to, uint32(i.size))
		to = le.AppendUint32(to, 0)
		to = le.AppendUint32(to, place)
		to = le.AppendUint32(to, 0) // a number for who cannot use the place's
		to = le.AppendUint16(to, uint16(i.node.UID))
		to = le.AppendUint16(to, uint16(i.node.GID))
		return le.AppendUint32(to, 0)
	}
	to = le.AppendUint16(to, format|formatExtended)
	to = le.AppendUint16(to, xattrs)
	to = le.AppendUint16(to, mode)
	to = le.AppendUint16(to, 0)
	to = le.AppendUint64(to, uint64(i.size))
	to = le.AppendUint32(to, place)
	to = le.AppendUint32(to, 0)
	to = le.AppendUint32(to, i.node.UID)
	to = le.AppendUint32(to, i.node.GID)
	to = le.AppendUint64(to, uint64(epoch))
	to = le.AppendUint32(to, 0)
	to = le.AppendUint32(to, i.links)
	return append(to, make([]byte, 16)...)
}

// modes are the S_IF… of Linux.
var modes = [...]uint16{
	tree.File: 0o100000, tree.Directory: 0o040000, tree.Symlink: 0o120000, tree.CharDevice: 0o020000,
	tree.BlockDevice: 0o060000, tree.FIFO: 0o010000, tree.Socket: 0o140000,
}

// encodeDevice is new_encode_dev of the kernel's include/linux/kdev_t.h.
func encodeDevice(d tree.Device) uint32 {
	return d.Minor&0xff | d.Major<<8 | d.Minor&^0xff<<12
}

const xattrHeader = 12 // bytes of struct erofs_xattr_ibody_header, with which the attributes begin

// encodeXattrs is the extended attributes behind an inode: nothing, or a header
// that is all zeros and an entry for each, by name. Entries are aligned to 4 bytes.
func encodeXattrs(xattrs map[string]string) []byte {
	if len(xattrs) == 0 {
		return nil
	}
	to := make([]byte, xattrHeader)
	for _, full := range slices.Sorted(maps.Keys(xattrs)) {
		index, rest := xattrIndex(full)
		value := xattrs[full]
		to = append(to, byte(len(rest)), index)
		to = binary.LittleEndian.AppendUint16(to, uint16(len(value)))
		to = append(append(to, rest...), value...)
		to = append(to, make([]byte, -len(to)&3)...)
	}
	return to
}

// Directory entries are 12 bytes; the names follow the last one of a block.
const (
	direntSize       = 12
	direntNameOffset = 8 // uint16, in the block
)

func sortNames(names []name) {
	slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.text, b.text) })
}

// directoryBlocks cuts a directory's entries into those of each block.
func directoryBlocks(names []name) [][]name {
	var blocks [][]name
	start, used := 0, 0
	for i, n := range names {
		need := direntSize + len(n.text)
		if used+need > BlockSize {
			blocks = append(blocks, names[start:i])
			start, used = i, 0
		}
		used += need
	}
	return append(blocks, names[start:])
}

func directorySize(names []name) int64 {
	blocks := directoryBlocks(names)
	size := int64(len(blocks)-1) * BlockSize
	for _, n := range blocks[len(blocks)-1] {
		size += direntSize + int64(len(n.text))
	}
	return size
}

// directory is the content of a directory, which ends with its last name.
func directory(names []name) []byte {
	var content bytes.Buffer
	for _, block := range directoryBlocks(names) {
		content.Write(make([]byte, -content.Len()&(BlockSize-1)))
		at := direntSize * len(block)
		var entries, texts []byte
		for _, n := range block {
			entries = binary.LittleEndian.AppendUint64(entries, uint64(n.of.number))
			entries = binary.LittleEndian.AppendUint16(entries, uint16(at+len(texts)))
			entries = append(entries, fileTypes[n.of.node.Kind], 0)
			texts = append(texts, n.text...)
		}
		content.Write(entries)
		content.Write(texts)
	}
	return content.Bytes()
}

// fileTypes are the FT_… of the kernel's include/linux/fs_types.h.
var fileTypes = [...]byte{
	tree.File: 1, tree.Directory: 2, tree.CharDevice: 3, tree.BlockDevice: 4, tree.FIFO: 5, tree.Socket: 6, tree.Symlink: 7,
}

// xattrIndex is the number that stands for the prefix of an attribute's name,
// and what follows the prefix.
func xattrIndex(full string) (byte, string) {
	switch full {
	case aclAccess:
		return 2, ""
	case aclDefault:
		return 3, ""
	}
	prefix, rest, _ := strings.Cut(full, ".")
	return map[string]byte{"user": 1, "trusted": 4, "security": 6}[prefix], rest
}
