package installer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
)

// TestLiveSystemsInstallWhatIsMounted has a device that holds the root image, and more
// behind it, and a folder without one.
func TestLiveSystemsInstallWhatIsMounted(t *testing.T) {
	r := newRelease(t, "1.0.0")
	dir := writeFolder(t, r)
	device := filepath.Join(t.TempDir(), "dm-0")
	check(t, os.Rename(filepath.Join(dir, manifests.RootFile), device))
	check(t, os.Truncate(device, int64(len(r.Image))+5*mib))
	source, err := openFolder(t.Context(), dir, device)
	check(t, err)
	defer source.Close()
	path := blankFile(t, 128*mib)
	if _, err := Install(t.Context(), Config{Source: source, Disk: path}); err != nil {
		t.Fatal(err)
	}
	check(t, judge(t, path, r))
	writeAt(t, device, 4096, "rot")
	again := blankFile(t, 128*mib)
	if _, err := Install(t.Context(), Config{Source: source, Disk: again}); err == nil || judge(t, again, r) == nil {
		t.Errorf("what is not the release is installed: %v", err)
	}
}

func TestTheMountedDeviceIsFoundByItsNumber(t *testing.T) {
	folder, sys := t.TempDir(), t.TempDir()
	var stat unix.Stat_t
	check(t, unix.Stat(folder, &stat))
	number := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	if _, err := mountedDevice(folder, sys, "/dev"); !errors.Is(err, ErrNotLive) {
		t.Errorf("no device: %v", err)
	}
	check(t, os.Symlink("../../devices/virtual/block/dm-7", filepath.Join(sys, number)))
	if device, err := mountedDevice(folder, sys, "/dev"); err != nil || device != "/dev/dm-7" {
		t.Errorf("%s, %v", device, err)
	}
	if _, err := OpenLive(t.Context()); !errors.Is(err, ErrNotLive) {
		t.Errorf("here: %v", err)
	}
}
