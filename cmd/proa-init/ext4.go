package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// Of a var partition, in bytes.
const (
	blankSize = 128 << 10 // zeros at its start mean that it has never been used; btrfs begins at 64 KiB
	tailSize  = 64 << 10  // at its end, left free by our file systems
)

// formatMark is at the start of the tail while the partition is being
// formatted.
const formatMark = "proa-init is formatting this partition\n"

// Fields of ext4's superblock (Documentation/filesystems/ext4/super.rst).
const (
	superOffset    = 1024
	superSize      = 1024
	superBlocks    = 0x4   // s_blocks_count_lo
	superLogBlock  = 0x18  // s_log_block_size
	superMountTime = 0x2c  // s_mtime: 0 if it was never mounted
	superMagic     = 0x38  // s_magic: 0xef53
	superState     = 0x3a  // s_state: 2 if the kernel found errors
	superFeatures  = 0x60  // s_feature_incompat: 0x80 for 64-bit block numbers
	superBlocksHi  = 0x150 // s_blocks_count_hi
)

// content is what is on a var partition.
type content struct {
	size       int64 // bytes of the partition
	blank      bool
	unfinished bool // our own formatting was cut short, so there is nothing to lose
	luks       bool // LUKS2
	ext4       bool
	faulty     bool  // of ext4: the kernel found errors in it
	blocks     int64 // of ext4
	blockSize  int64 // of ext4, bytes
}

func examine(path string) (content, error) {
	file, err := os.Open(path)
	if err != nil {
		return content{}, err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return content{}, fmt.Errorf("finding the size of %s: %w", path, err)
	}
	c, err := parseContent(file, size)
	if err != nil {
		return content{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	return c, nil
}

func parseContent(r io.ReaderAt, size int64) (content, error) {
	if size < blankSize+tailSize {
		return content{}, fmt.Errorf("partition of %d bytes: want at least %d", size, blankSize+tailSize)
	}
	head := make([]byte, blankSize)
	if _, err := r.ReadAt(head, 0); err != nil {
		return content{}, err
	}
	tail := make([]byte, len(formatMark))
	if _, err := r.ReadAt(tail, size-tailSize); err != nil && err != io.EOF {
		return content{}, err
	}
	c := content{size: size, blank: len(bytes.Trim(head, "\x00")) == 0}
	super := head[superOffset:][:superSize]
	marked := string(tail) == formatMark
	isExt4 := binary.LittleEndian.Uint16(super[superMagic:]) == 0xef53
	// Encrypted, nobody's file has the mark in plain text.
	if c.luks = luks2(head, isExt4); c.luks || !isExt4 {
		c.unfinished = marked
		return c, nil
	}
	// With a file system that has been in use, the mark is somebody's file.
	c.unfinished = marked && binary.LittleEndian.Uint32(super[superMountTime:]) == 0
	logBlock := binary.LittleEndian.Uint32(super[superLogBlock:])
	if logBlock > 6 { // 64 KiB
		return c, nil
	}
	c.ext4 = true
	c.faulty = binary.LittleEndian.Uint16(super[superState:])&2 != 0
	c.blockSize = 1024 << logBlock
	blocks := uint64(binary.LittleEndian.Uint32(super[superBlocks:]))
	if binary.LittleEndian.Uint32(super[superFeatures:])&0x80 != 0 {
		blocks |= uint64(binary.LittleEndian.Uint32(super[superBlocksHi:])) << 32
	}
	c.blocks = int64(min(blocks, 1<<62))
	return c, nil
}

// mark sets or clears formatMark, durably.
func mark(path string, size int64, set bool) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	content := make([]byte, len(formatMark))
	if set {
		copy(content, formatMark)
	}
	if _, err := file.WriteAt(content, size-tailSize); err != nil {
		return fmt.Errorf("marking %s: %w", path, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("marking %s: %w", path, err)
	}
	return nil
}
