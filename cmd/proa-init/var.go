package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/cmd/proa-init/seed"
	"github.com/proa-os/proa/partitions"
)

const (
	varTarget = sysroot + "/var"
	varNew    = "/var.new" // where it is mounted until it is complete

	// A group of blocks that is too small for its own tables is left unused; in
	// bytes.
	leastGrowth = 16 << 20
)

// mountVar mounts the var partition of the root's disk. If there is none that
// can be used, /var is in memory for this boot: a machine that answers can be
// repaired. What is on a partition that is not blank is never overwritten.
func (b *boot) mountVar() error {
	err := b.mountVarPartition()
	if err := b.leaveVar(err); err != nil {
		return err
	}
	if err == nil {
		b.varKeeps = true
		return nil
	}
	b.varFault = strings.ReplaceAll(err.Error(), "\n", "; ")
	b.log.fault("%v; CHANGES TO /var AND /etc WILL BE LOST", err)
	return overlay(varTarget, "/run/proa/var")
}

func (b *boot) mountVarPartition() error {
	p, ok := b.found.disk.partition(partitions.RoleVar)
	if !ok {
		return fmt.Errorf("%s has no partition %s", b.found.disk.path(), partitions.RoleVar)
	}
	device, err := nodeOf(b.found.disk, p, "/sys/block", nodeWait)
	if err != nil {
		return err
	}
	if err := b.grantReset(device); err != nil {
		return err
	}
	content, err := examine(device)
	if err != nil {
		return err
	}
	switch {
	case content.luks || b.options.VarTPM2:
		return b.mountEncrypted(device, content)
	case content.blank || content.unfinished:
		b.log.info("formatting %s", device)
		if err := b.format(device, content.size); err != nil {
			return err
		}
	case !content.ext4:
		return fmt.Errorf("%s is neither blank nor ext4: left as it is", device)
	}
	return b.useVar(device)
}

// useVar mounts the file system on a device, grown to its size and with what
// the image has in its /var.
func (b *boot) useVar(device string) error {
	content, err := examine(device)
	if err != nil {
		return err
	}
	if content.faulty {
		b.log.fault("%s has errors: checking it", device)
		b.check(device)
	}
	if err := b.mountChecked(device); err != nil {
		return err
	}
	b.grow(device)
	if !seed.Done(varNew) {
		b.log.info("copying the image's /var")
		if err := seed.Run(varNew, varTarget, b.feedWatchdog()); err != nil {
			b.log.fault("copying the image's /var: %v; the next boot tries again", err)
		}
	}
	return mount(varNew, varTarget, "", unix.MS_MOVE, "")
}

// mountChecked mounts the file system; if the kernel will not, it is repaired
// as far as that is safe, and mounted then.
func (b *boot) mountChecked(device string) error {
	if err := os.MkdirAll(varNew, 0o755); err != nil {
		return err
	}
	err := mount(device, varNew, "ext4", 0, "")
	if err == nil {
		return nil
	}
	b.log.fault("%v; checking it", err)
	b.check(device)
	return mount(device, varNew, "ext4", 0, "")
}

// check repairs what can be repaired without a decision. Whether that was
// enough, the next mount shows.
func (b *boot) check(device string) {
	_, err := b.runInImage([]string{"fsck.ext4", "e2fsck"}, "-p", device)
	// e2fsck(8): 1 is "errors corrected", 2 the same with a wish for a reboot.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() <= 2 && exit.Exited() {
		b.log.info("repaired %s", device)
		return
	}
	if err != nil {
		b.log.fault("%v", err)
	}
}

// format makes an ext4 file system that leaves the tail of the partition free,
// with a mark in the tail until it is done: mke2fs writes for a while before
// there is a superblock, and a power cut then must not look like somebody's data.
func (b *boot) format(device string, size int64) error {
	if err := mark(device, size, true); err != nil {
		return err
	}
	if err := b.makeExt4(device, size); err != nil {
		return err
	}
	return mark(device, size, false)
}

// makeExt4 makes a file system on a device of size bytes, but for the tail.
func (b *boot) makeExt4(device string, size int64) error {
	blocks := fmt.Sprintf("%dk", (size-tailSize)/1024)
	_, err := b.runInImage([]string{"mkfs.ext4", "mke2fs"}, "-t", "ext4", "-F", "-q", "-b", "4096", "-L", "var", device, blocks)
	return err
}

// grow extends the file system to the end of its partition, online.
func (b *boot) grow(device string) {
	content, err := examine(device)
	want := (content.size - tailSize) / max(content.blockSize, 1)
	if err != nil || !content.ext4 || (want-content.blocks)*content.blockSize < leastGrowth {
		return
	}
	folder, err := os.Open(varNew)
	if err != nil {
		b.log.info("growing %s: %v", device, err)
		return
	}
	defer folder.Close()
	const resize = 0x40086610 // EXT4_IOC_RESIZE_FS, Documentation/filesystems/ext4/ioctl
	blocks := uint64(want)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, folder.Fd(), resize, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		b.log.fault("growing %s from %d to %d blocks: %v", device, content.blocks, want, errno)
		return
	}
	b.log.info("grew %s from %d to %d blocks of %d bytes", device, content.blocks, want, content.blockSize)
}
