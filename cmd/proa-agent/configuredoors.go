package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/hostconfig"
	"github.com/proa-os/proa/hostconfig/doors"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/bootdisk"
	"github.com/proa-os/proa/updater/hostfs"
)

// newBooting is a machine whose system is not started yet.
func newBooting(host updater.Host, root *os.Root) (hostconfig.Booting, error) {
	var note struct {
		Disk string `json:"disk"`
		Etc  string `json:"etc"`
		Var  string `json:"var"`
	}
	text, err := regular.Read(host.Boot, 64<<10)
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	if err != nil {
		return hostconfig.Booting{}, err
	}
	var image manifests.Image
	if text, err := regular.Read(host.Image, 64<<10); err == nil {
		_ = json.Unmarshal(text, &image) // the version is only for the record
	}
	url, err := urlOf(host)
	if err != nil {
		return hostconfig.Booting{}, err
	}
	return hostconfig.Booting{
		Root: root, URL: url, Release: string(image.Version), Now: time.Now(),
		Forgets: note.Etc == "volatile", VarLost: note.Var == "volatile",
		House: doors.House{
			Sys: "/sys", Dev: "/dev", Most: hostconfig.MostSize, LoadModules: loadModules,
			ESP: func() (string, func(), error) {
				disk, err := bootdisk.Open(hostfs.OS{}, note.Disk, runtime.GOARCH)
				if err != nil {
					return "", nil, err
				}
				if _, err := disk.Find(partitions.RoleESP); err != nil {
					return "", nil, fmt.Errorf("%w: %w", err, fs.ErrNotExist) // a board that boots in another way
				}
				loadModules("vfat", "nls_cp437", "nls_ascii")
				return disk.MountESP(host.Run, false)
			},
			MountVolume: func(device, kind string) (string, func(), error) {
				return mountReadOnly(host.Run, device, kind)
			},
		},
	}, nil
}

// loadModules asks the image's own program, since nothing else would find its
// modules before the system is started. What does not come shows in what needs it.
func loadModules(names ...string) {
	for _, name := range names {
		_ = exec.Command("modprobe", name).Run()
	}
}

func mountReadOnly(run, device, kind string) (string, func(), error) {
	folder, err := os.MkdirTemp(run, "volume-")
	if err != nil {
		return "", nil, err
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount(device, folder, kind, flags, ""); err != nil {
		os.Remove(folder)
		return "", nil, &os.PathError{Op: "mount", Path: filepath.Clean(device), Err: err}
	}
	return folder, func() {
		_ = unix.Unmount(folder, 0) // nothing in it is open
		os.Remove(folder)
	}, nil
}
