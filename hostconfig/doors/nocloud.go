package doors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/proa-os/proa/regular"
)

// noCloud reads the volume with the label cidata, as cloud-init's datasource
// NoCloud has it.
func (h House) noCloud() (*Found, error) {
	entries, err := os.ReadDir(filepath.Join(h.Sys, "class/block"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if slices.ContainsFunc([]string{"ram", "zram", "dm-", "loop", "nbd"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		device := filepath.Join(h.Dev, name)
		kind, label := labelOf(device)
		if !strings.EqualFold(label, "cidata") {
			continue
		}
		return h.volume(device, kind)
	}
	return nil, nil
}

// volume reads the files of a NoCloud volume.
func (h House) volume(device, kind string) (*Found, error) {
	if kind == "vfat" {
		h.LoadModules("vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1")
	} else {
		h.LoadModules("isofs")
	}
	folder, release, err := h.MountVolume(device, kind)
	if err != nil {
		return nil, err
	}
	defer release()
	files := map[string][]byte{}
	for _, name := range []string{"user-data", "meta-data", "vendor-data", "network-config"} {
		data, err := regular.Read(filepath.Join(folder, name), h.Most)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files[name] = data
	}
	for name, instead := range map[string]string{
		"network-config": "want .network files of systemd-networkd in user-data, by write_files",
		"vendor-data":    "want one configuration, in user-data",
	} {
		if len(bytes.TrimSpace(files[name])) > 0 {
			return nil, fmt.Errorf("%s: the file %s is not supported: %s", device, name, instead)
		}
	}
	return &Found{Door: "NoCloud volume " + filepath.Base(device), Data: files["user-data"], MetaData: files["meta-data"]}, nil
}

func labelOf(device string) (kind, label string) {
	f, _, err := regular.OpenDisk(device)
	if err != nil {
		return "", "" // a drive without a medium
	}
	defer f.Close()
	return volumeLabel(f)
}

// volumeLabel is the label of a FAT or ISO 9660 file system; kind is empty for
// what is neither. Where it is: Microsoft's FAT specification 1.03, section 3.1,
// and ECMA-119, section 8.4.
func volumeLabel(r io.ReaderAt) (kind, label string) {
	const sector, descriptor = 512, 0x8000
	boot := make([]byte, sector)
	if _, err := r.ReadAt(boot, 0); err == nil && boot[510] == 0x55 && boot[511] == 0xaa {
		for _, at := range []struct{ label, kind int }{{71, 82}, {43, 54}} {
			if bytes.HasPrefix(boot[at.kind:], []byte("FAT")) {
				return "vfat", strings.TrimRight(string(boot[at.label:at.label+11]), " ")
			}
		}
	}
	volume := make([]byte, 72)
	if _, err := r.ReadAt(volume, descriptor); err == nil && bytes.HasPrefix(volume, []byte("\x01CD001")) {
		return "iso9660", strings.TrimRight(string(volume[40:72]), " \x00")
	}
	return "", ""
}
