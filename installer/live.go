package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LiveFolder is where a live system has the files of its release.
const LiveFolder = "/run/proa/live"

// ErrNotLive is wrapped by the error of a system that is not live.
var ErrNotLive = errors.New("this system was not started from an installation medium")

// IsLive reports whether this is a live system.
func IsLive() bool {
	_, err := os.Stat(LiveFolder)
	return err == nil
}

// OpenLive opens the release of the live system that runs. Its root image is what is
// mounted, through dm-verity: every block was proven by the kernel when it is read.
func OpenLive(ctx context.Context) (Source, error) {
	if !IsLive() {
		return nil, ErrNotLive
	}
	root, err := mountedDevice("/", "/sys/dev/block", "/dev")
	if err != nil {
		return nil, err
	}
	return openFolder(ctx, LiveFolder, root)
}

// mountedDevice is the path of the block device that is mounted at a folder.
func mountedDevice(folder, sysBlock, dev string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		return "", fmt.Errorf("%s: %w", folder, err)
	}
	link, err := os.Readlink(filepath.Join(sysBlock, fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("what is mounted at %s is no block device: %w", folder, ErrNotLive)
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(dev, filepath.Base(link)), nil
}
