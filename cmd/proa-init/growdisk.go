package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
)

// growDisk gives var what a disk has got more than its partition table knows: a
// disk image was copied to a larger disk, or the disk of a virtual machine was
// enlarged. The file system on var grows later, when it is mounted. Whatever goes
// wrong, the machine boots with the disk as it was.
func (b *boot) growDisk() error {
	d := &b.found.disk
	before, ok := d.partition(partitions.RoleVar)
	if !ok || !mayGrow(d.table) {
		return nil
	}
	disk, err := os.OpenFile(d.path(), os.O_RDWR, 0)
	if err != nil {
		b.log.info("not looking whether %s has grown: %v", d.path(), err)
		return nil
	}
	defer disk.Close()
	if err := b.finishFormat(before); err != nil {
		b.log.fault("%v", err)
		return nil
	}
	table, changed, err := gpt.Grow(disk, d.table.DiskSize)
	if err != nil {
		b.log.fault("growing %s: %v", d.path(), err)
		return nil
	}
	after, ok := table.FindFor(partitions.RoleVar, runtime.GOARCH)
	if !changed || !ok {
		return nil
	}
	b.log.info("the partition table of %s is whole now, and ends where the disk does", d.path())
	if after.Size > before.Size {
		if err := resizeNode(disk, after); err != nil {
			b.log.fault("telling the kernel that %s has grown: %v; it will know with the next boot", partitions.RoleVar, err)
			return nil
		}
		b.log.info("var has %d MiB in place of %d", after.Size>>20, before.Size>>20)
	}
	d.table = table
	return nil
}

// mayGrow reports whether the table is one of ours, with a whole primary copy, and
// ends with var. That the disk has a slot of ours is known by then; but a table that
// somebody else has made around it, or one of whose copies somebody has changed, is
// not for a machine to change. A backup copy that is damaged, or says otherwise which
// sectors may be used, is what a power cut leaves while the table grows.
func mayGrow(table gpt.Table) bool {
	if table.Primary != nil || errors.Is(table.Backup, gpt.ErrOthers) {
		return false
	}
	last, ok := table.FindFor(partitions.RoleVar, runtime.GOARCH)
	for _, role := range partitions.Roles() {
		_, have := table.FindFor(role, runtime.GOARCH)
		ok = ok && have
	}
	for _, p := range table.Partitions {
		ok = ok && p.Start <= last.Start
	}
	return ok
}

// finishFormat makes var blank again when our own formatting was cut short. Its
// mark is at the end of the partition, and would not be found at another one.
func (b *boot) finishFormat(p partitions.Partition) error {
	device, err := nodeOf(b.found.disk, p, "/sys/block", nodeWait)
	if err != nil {
		return err
	}
	content, err := examine(device)
	if err != nil || !content.unfinished {
		return nil // mountVar will say what is wrong
	}
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(make([]byte, blankSize), 0); err != nil {
		return err
	}
	return file.Sync()
}

// resizeNode tells the kernel of a partition's new size, also while others of
// the disk are in use (linux/blkpg.h).
func resizeNode(disk *os.File, p partitions.Partition) error {
	// The libraries know the codes, and not this structure.
	partition := struct {
		start, length  int64 // bytes
		number         int32
		device, volume [64]byte
		_              int32
	}{start: p.Start, length: p.Size, number: int32(p.Number)}
	argument := unix.BlkpgIoctlArg{
		Op:      unix.BLKPG_RESIZE_PARTITION,
		Datalen: int32(unsafe.Sizeof(partition)),
		Data:    (*byte)(unsafe.Pointer(&partition)),
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&argument)))
	runtime.KeepAlive(&partition)
	if errno != 0 {
		return fmt.Errorf("resizing partition %d: %w", p.Number, errno)
	}
	return nil
}
