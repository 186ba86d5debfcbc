package testhost

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
)

// MemoryDir is a folder of the test in memory, where there is such: hosts are
// copied some thousand times.
func MemoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "proa-host")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// copyTree copies a folder, without the holes of its files.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		return copyFile(path, filepath.Join(to, name))
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	return errors.Join(copyData(out, in, info.Size()), out.Truncate(info.Size()), out.Close())
}

func copyData(out, in *os.File, size int64) error {
	return eachExtent(in, size, func(at, n int64) error {
		_, err := io.Copy(io.NewOffsetWriter(out, at), io.NewSectionReader(in, at, n))
		return err
	})
}

// eachExtent visits what of a file is not a hole.
func eachExtent(in *os.File, size int64, visit func(at, n int64) error) error {
	for at := int64(0); at < size; {
		begin, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole is left
		}
		end := size
		if err != nil {
			begin = at // a file system that does not tell
		} else if end, err = unix.Seek(int(in.Fd()), begin, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := visit(begin, end-begin); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// WriteState writes to w what tells the host's state from others: the contents of
// its files, but for those that name its folder, and for what a boot replaces.
func (h *Host) WriteState(t testing.TB, w io.Writer) {
	t.Helper()
	buffer := make([]byte, 64<<10)
	check(t, filepath.WalkDir(h.Dir, func(path string, entry fs.DirEntry, err error) error {
		name := path[len(h.Dir):]
		if err != nil || entry.IsDir() || name == "/agent.yaml" || name == "/fw_env.config" || filepath.Dir(name) == "/run" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s %d\n", name, info.Size())
		return eachExtent(f, info.Size(), func(at, n int64) error {
			fmt.Fprintf(w, "at %d\n", at)
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.NewSectionReader(f, at, n)}, buffer)
			return err
		})
	}))
}

// Bootable is everything on the host that boots, but for the agent's own notes:
// two that are equal boot alike.
func (h *Host) Bootable(t testing.TB) []byte {
	t.Helper()
	disk, err := os.ReadFile(h.Path("disk.raw"))
	check(t, err)
	everything := disk[:h.Offset(partitions.RoleState)]
	for _, pattern := range []string{"esp/*/*", "efivars/LoaderEntryOneShot*"} {
		names, err := filepath.Glob(h.Path(pattern))
		check(t, err)
		for _, name := range names {
			if content, err := os.ReadFile(name); err == nil {
				everything = append(append(everything, name...), content...)
			}
		}
	}
	return everything
}
