package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountAll mounts the file systems that a running system has and proa-init has
// not left behind.
func mountAll() error {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"tmpfs", "/run", "mode=0755"},
		{"tmpfs", "/tmp", "mode=1777"},
	} {
		if mounted(m.at) {
			continue
		}
		if err := unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	return nil
}

// mounted reports whether a file system is mounted at a folder of the root: it
// has another device number then.
func mounted(path string) bool {
	var here, root unix.Stat_t
	return unix.Stat(path, &here) == nil && unix.Stat("/", &root) == nil && here.Dev != root.Dev
}

// unmountAll unmounts what can be unmounted, the last mounted first, and makes
// the rest read-only.
func unmountAll() {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return
	}
	defer f.Close()
	var points []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[1] != "/" && fields[1] != "/proc" {
			points = append(points, fields[1])
		}
	}
	for _, point := range slices.Backward(points) {
		if unix.Unmount(point, 0) != nil {
			_ = unix.Mount("", point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	}
}
