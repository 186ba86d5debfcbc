// Package seed fills a new file system with a copy of a folder, so that a
// power cut at any point leaves either no file or a whole one under its name.
//
// Run copies into a staging folder inside the target, makes that durable, moves
// it into place and writes a marker last. Until the marker is there it starts
// over; files that are in place are kept. It copies owners, modes, times,
// symbolic links and extended attributes; hard links become copies; devices,
// FIFOs and sockets are left out.
package seed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Marker is the file that says that the target is seeded, relative to it.
const Marker = "lib/proa/seeded"

// staging is the folder inside the target that is copied to.
const staging = ".proa-seed"

// Done reports whether the target has been seeded.
func Done(target string) bool {
	_, err := os.Lstat(filepath.Join(target, Marker))
	return err == nil
}

// piece is how much of a file is copied at once, in bytes.
const piece = 8 << 20

// Run seeds the target with what is in source. It calls progress as long as it
// gets ahead with copying.
func Run(target, source string, progress func()) error {
	stage := filepath.Join(target, staging)
	if err := os.RemoveAll(stage); err != nil {
		return fmt.Errorf("clearing an earlier copy: %w", err)
	}
	if err := copyTree(stage, source, progress); err != nil {
		return errors.Join(fmt.Errorf("copying: %w", err), os.RemoveAll(stage))
	}
	// A file gets its name only when its contents are on the disk.
	if err := syncFileSystem(target); err != nil {
		return err
	}
	if err := merge(target, stage); err != nil {
		return fmt.Errorf("moving into place: %w", err)
	}
	if err := os.RemoveAll(stage); err != nil {
		return fmt.Errorf("clearing the copy: %w", err)
	}
	if err := copyAttributes(target, source); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(target, Marker)), 0o755); err != nil {
		return err
	}
	if err := syncFileSystem(target); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(target, Marker), nil, 0o644); err != nil {
		return err
	}
	return syncFileSystem(target)
}

func syncFileSystem(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", folder, err)
	}
	return nil
}

// copyTree copies the folder source to target, which must not exist.
func copyTree(target, source string, progress func()) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	switch kind := info.Mode().Type(); kind {
	case fs.ModeDir:
		if err := os.Mkdir(target, 0o700); err != nil {
			return err
		}
		entries, err := os.ReadDir(source)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := copyTree(filepath.Join(target, entry.Name()), filepath.Join(source, entry.Name()), progress); err != nil {
				return err
			}
		}
	case 0:
		if err := copyFile(target, source, progress); err != nil {
			return err
		}
	case fs.ModeSymlink:
		to, err := os.Readlink(source)
		if err != nil {
			return err
		}
		if err := os.Symlink(to, target); err != nil {
			return err
		}
	default:
		return nil
	}
	return copyAttributes(target, source)
}

func copyFile(target, source string, progress func()) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = io.CopyN(to, from, piece)
		progress()
	}
	if !errors.Is(err, io.EOF) {
		return errors.Join(err, to.Close())
	}
	return to.Close()
}

// copyAttributes copies what is not contents. The mode and the capabilities
// come after the owner, which clears them; the times come last.
func copyAttributes(target, source string) error {
	var st unix.Stat_t
	if err := unix.Lstat(source, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", source, err)
	}
	if err := unix.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("changing owner of %s: %w", target, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(target, st.Mode&0o7777); err != nil {
			return fmt.Errorf("changing mode of %s: %w", target, err)
		}
	}
	if err := copyXattrs(target, source); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, target, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting times of %s: %w", target, err)
	}
	return nil
}

// merge moves what is in stage to target. What the target has already stays;
// folders on both sides are merged.
func merge(target, stage string) error {
	entries, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(stage, entry.Name()), filepath.Join(target, entry.Name())
		there, err := os.Lstat(to)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = os.Rename(from, to)
		case err == nil && there.IsDir() && entry.IsDir():
			err = merge(to, from)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
