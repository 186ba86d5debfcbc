package hostfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OS is the file system of this machine.
type OS struct{}

// Open implements FS.
func (OS) Open(name string) (File, error) { return openFile(name, os.O_RDONLY) }

// OpenWritable implements FS.
//
// O_EXCL without O_CREAT is the kernel's own word that a block device is not in
// use, by dm-verity or a mount (open(2)); for files it means nothing.
func (OS) OpenWritable(name string) (File, error) { return openFile(name, os.O_RDWR|os.O_EXCL) }

// Create implements FS. The file is readable by its owner only.
func (OS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

// Mkdir implements FS.
func (OS) Mkdir(name string) error {
	if err := os.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// SyncFS implements FS with syncfs(2).
func (OS) SyncFS(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", name, err)
	}
	return nil
}

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// WriteVariable implements FS. In a plain folder, where a write does not
// replace the content as it does in efivarfs, the file is shortened afterwards.
func (OS) WriteVariable(name string, content []byte) error {
	if err := thaw(name); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeOnce(f, content); err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() > int64(len(content)) {
		if err := f.Truncate(int64(len(content))); err != nil {
			return err
		}
	}
	return f.Close()
}

// writeOnce avoids os.File.Write, which would split or repeat a short write:
// each write(2) to efivarfs is a whole SetVariable call.
func writeOnce(f *os.File, content []byte) error {
	n, err := unix.Write(int(f.Fd()), content)
	if err == nil && n != len(content) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Name(), err)
	}
	return nil
}

// RemoveVariable implements FS.
func (OS) RemoveVariable(name string) error {
	if err := thaw(name); err != nil {
		return err
	}
	return os.Remove(name)
}

// The ioctls of linux/fs.h by which efivarfs guards its files (Linux
// Documentation/filesystems/efivarfs.rst).
const fsImmutable = 0x00000010

// thaw clears the immutable flag that efivarfs gives to most variables. File
// systems without flags, and files that do not exist, need nothing.
func thaw(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&fsImmutable == 0 {
		return nil
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^fsImmutable); err != nil {
		return fmt.Errorf("clearing the immutable flag of %s: %w", name, err)
	}
	return nil
}

type osFile struct{ *os.File }

// Size works for block devices too, whose length stat does not give.
func (f *osFile) Size() (int64, error) { return f.Seek(0, io.SeekEnd) }

func (f *osFile) Push(off, n int64) {
	// A file system without support only loses the head start.
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func (f *osFile) Drop(off, n int64) error {
	if err := unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("dropping %s from the cache: %w", f.Name(), err)
	}
	return nil
}

// Free is the bytes that an unprivileged process may still write to the file
// system that holds name.
func Free(name string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(name, &stat); err != nil {
		return 0, fmt.Errorf("free space at %s: %w", name, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}
