package bootdisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
)

const mountPrefix = "esp-"

// MountESP mounts the boot partition and gives the folder where it is, and how
// to let go of it. Every mount has a point of its own under run, which begins with
// the process' id: one process may look while it works.
func (d *Disk) MountESP(run string, writable bool) (folder string, release func(), err error) {
	if !d.block {
		return "", nil, fmt.Errorf("disk %s is a plain file, and no folder is given for its boot partition", d.path)
	}
	p, err := d.Find(partitions.RoleESP)
	if err != nil {
		return "", nil, err
	}
	device, err := d.device(p)
	if err != nil {
		return "", nil, err
	}
	if folder, err = mountPoint(run); err != nil {
		return "", nil, err
	}
	if err := mountFAT(device, folder, writable); err != nil {
		os.Remove(folder)
		return "", nil, fmt.Errorf("mounting the boot partition %s: %w", device, err)
	}
	return folder, func() { unmount(folder) }, nil
}

func mountPoint(run string) (string, error) {
	if err := os.MkdirAll(run, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(run, mountPrefix+strconv.Itoa(os.Getpid())+"-")
}

// mountFAT mounts read-only when that will do, because a writable mount marks
// the file system as in use. When somebody else has it mounted writable, the
// kernel allows no other kind.
func mountFAT(device, folder string, writable bool) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME)
	// A power cut can leave two names for one file, and removing both an error that
	// must not end all writing (the default of vfat).
	const options = "umask=0077,errors=continue"
	if writable {
		return mountWritable(device, folder, flags, options)
	}
	err := unix.Mount(device, folder, "vfat", flags|unix.MS_RDONLY, options)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Mount(device, folder, "vfat", flags, options)
	}
	return err
}

// mountWritable waits for a read-only mount that cannot be joined to end: a
// judge must not fail for a status.
func mountWritable(device, folder string, flags uintptr, options string) error {
	const pause, most = 100 * time.Millisecond, 300 // half a minute
	for tries := 1; ; tries++ {
		err := unix.Mount(device, folder, "vfat", flags, options)
		if errors.Is(err, unix.EBUSY) {
			err = joinWritable(device, folder, flags, options)
		}
		if !errors.Is(err, unix.EBUSY) || tries == most {
			return err
		}
		time.Sleep(pause)
	}
}

// joinWritable is for a file system that is mounted read-only, such as by a
// status. The kernel makes no writable mount beside that, but a read-only one, and
// then the file system writable. Whoever asks for one status after the other
// would otherwise keep all others from writing.
func joinWritable(device, folder string, flags uintptr, options string) error {
	if err := unix.Mount(device, folder, "vfat", flags|unix.MS_RDONLY, options); err != nil {
		return err
	}
	err := unix.Mount("", folder, "", flags|unix.MS_REMOUNT, options)
	if err != nil {
		unix.Unmount(folder, 0)
	}
	return err
}

func unmount(folder string) {
	// The files are closed and synced by now; a leftover is cleaned next time.
	if unix.Unmount(folder, 0) == nil {
		os.Remove(folder)
	}
}

// CleanMounts lets go of the mount points under run of agents that were killed.
func CleanMounts(run string) {
	left, _ := filepath.Glob(filepath.Join(run, mountPrefix+"*"))
	for _, folder := range left {
		process, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), mountPrefix), "-")
		pid, err := strconv.Atoi(process)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); errors.Is(err, os.ErrNotExist) {
			unix.Unmount(folder, unix.MNT_DETACH)
			os.Remove(folder)
		}
	}
}
