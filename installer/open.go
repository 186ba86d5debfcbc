package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
)

// UsedError says why a disk cannot be had.
type UsedError struct {
	Disk string
	Why  string
}

func (e *UsedError) Error() string { return fmt.Sprintf("%s is in use: %s", e.Disk, e.Why) }

// ErrNotDisk is wrapped by the error of what is neither a whole disk nor a file.
var ErrNotDisk = errors.New("want a whole disk, or a file")

// open finds the disk and takes hold of it, so that nobody else has it meanwhile.
func (j *job) open() (release func(), err error) {
	path, err := filepath.EvalSymlinks(j.Config.Disk)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	held := func() {}
	switch {
	case info.Mode().IsRegular():
		j.info = fileDisk(path, info.Size(), j.SectorSize)
		if held, err = lock(path); err != nil {
			return nil, err
		}
	case info.Mode().Type() == fs.ModeDevice:
		if err := j.openDevice(path); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%s: %w", j.Config.Disk, ErrNotDisk)
	}
	if s := j.info.SectorSize; s != 512 && s != 4096 {
		held()
		return nil, fmt.Errorf("%s has sectors of %d bytes: want 512 or 4096", j.info.Path, s)
	}
	if j.disk, err = j.FS.OpenWritable(path); err != nil {
		held()
		if errors.Is(err, unix.EBUSY) {
			return nil, &UsedError{path, "the kernel has it"}
		}
		return nil, err
	}
	j.disk = target{j.disk, j.info.Path, new(bool)}
	return func() { j.disk.Close(); held() }, nil
}

// openDevice refuses partitions, and disks that are in use or cannot be written.
func (j *job) openDevice(path string) error {
	name := filepath.Base(path)
	if _, err := os.Stat(j.Machine.sys("class/block", name, "partition")); err == nil {
		return fmt.Errorf("%s is a partition: %w", path, ErrNotDisk)
	}
	if _, err := os.Stat(j.Machine.sys("block", name)); err != nil {
		return fmt.Errorf("%s: %w", path, ErrNotDisk)
	}
	var err error
	if j.info, err = j.Machine.disk(name); err != nil {
		return err
	}
	j.info.Path = path
	switch {
	case j.SectorSize != 0 && j.SectorSize != j.info.SectorSize:
		return fmt.Errorf("%s has sectors of %d bytes, not of %d", path, j.info.SectorSize, j.SectorSize)
	case j.info.Size == 0:
		return fmt.Errorf("%s has no medium", path)
	case j.info.ReadOnly:
		return fmt.Errorf("%s is write-protected", path)
	case j.info.InUse != "":
		return &UsedError{path, j.info.InUse}
	}
	if host := manifests.HostArch(); j.release.Arch != host && !j.AnyArch {
		return &ArchError{Release: j.release.Arch, Machine: host}
	}
	return nil
}

// ArchError says that a release would not run on this machine.
type ArchError struct{ Release, Machine manifests.Arch }

func (e *ArchError) Error() string {
	return fmt.Sprintf("the release is for %s: this machine is %s", e.Release, e.Machine)
}

func fileDisk(path string, size, sectorSize int64) Disk {
	if sectorSize == 0 {
		sectorSize = 512
	}
	// The rest of a sector is no sector.
	return Disk{Path: path, Size: size / sectorSize * sectorSize, SectorSize: sectorSize, Name: filepath.Base(path), File: true}
}

// lock keeps others away from the file of a disk: another installer, and a virtual
// machine that has it, since QEMU locks bytes of it by the same means.
func lock(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, &UsedError{path, "another program has it, such as a virtual machine"}
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// Reread tells the kernel that the disk has another table. It says nothing where
// there is no kernel to tell.
func Reread(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
		return err
	}
	const blkrrpart = 0x125f // linux/fs.h
	if err := unix.IoctlSetInt(int(f.Fd()), blkrrpart, 0); err != nil {
		return fmt.Errorf("reading the new partition table of %s: %w", path, err)
	}
	return nil
}
