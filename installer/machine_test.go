package installer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
)

// fakeMachine is folders as sysfs, devtmpfs, procfs and udev have them. Its devices are
// files.
func fakeMachine(t *testing.T, files map[string]string) Machine {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if size := strings.TrimPrefix(content, "size "); size != content {
			check(t, os.WriteFile(path, nil, 0o600))
			check(t, os.Truncate(path, 64*mib))
			continue
		}
		check(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return Machine{
		Sys: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev"), Proc: filepath.Join(dir, "proc"), Udev: filepath.Join(dir, "udev"),
	}
}

func blockFiles(name, number string, more map[string]string) map[string]string {
	files := map[string]string{
		"sys/block/" + name + "/size":                     "131072\n",
		"sys/block/" + name + "/ro":                       "0\n",
		"sys/block/" + name + "/removable":                "0\n",
		"sys/block/" + name + "/dev":                      number + "\n",
		"sys/block/" + name + "/queue/logical_block_size": "512\n",
		"dev/" + name: "size 64 MiB",
	}
	for file, content := range more {
		files["sys/block/"+name+"/"+file] = content
	}
	return files
}

func TestDisksAreListed(t *testing.T) {
	files := map[string]string{
		"proc/self/mountinfo": "30 1 8:2 / /home rw - ext4 /dev/sda2 rw\n31 1 0:5 / /proc rw - proc proc rw\n",
		"proc/swaps":          "Filename Type Size Used Priority\n/dev/vdb file 1 0 -2\n",
		"udev/b252:16":        "S:disk/by-id/x\nE:ID_SERIAL_SHORT=from udev\n",
	}
	for _, more := range []map[string]string{
		blockFiles("sda", "8:0", map[string]string{
			"device/model": "A  disk \x1b[31m ", "device/vpd_pg80": "\x00\x80\x00\x08 SN 1234", "sda2/dev": "8:2", "sda2/partition": "2",
		}),
		blockFiles("vda", "252:0", map[string]string{"serial": "virtual", "vda1/dev": "252:1", "vda1/holders/dm-3/x": ""}),
		blockFiles("dm-3", "253:3", map[string]string{"dm/name": "proa-root"}),
		blockFiles("vdb", "252:16", map[string]string{"removable": "1", "ro": "1", "queue/logical_block_size": "4096"}),
		blockFiles("nvme0n1", "259:0", map[string]string{"device/serial": "N1", "device/model": "Fast"}),
		blockFiles("mmcblk0boot0", "179:8", nil), blockFiles("loop0", "7:0", nil), blockFiles("sr0", "11:0", nil),
		blockFiles("sdc", "8:32", map[string]string{"size": "0"}),
	} {
		for name, content := range more {
			files[name] = content
		}
	}
	m := fakeMachine(t, files)
	m.Dev = filepath.Join(filepath.Dir(m.Sys), "dev")
	writeAt(t, m.dev("nvme0n1"), 1080, "\x53\xef")
	disks, err := m.Disks()
	check(t, err)
	want := []Disk{
		{Path: m.dev("nvme0n1"), SectorSize: 512, Model: "Fast", Serial: "N1", Name: "N1", Holds: "ext file system"},
		{Path: m.dev("sda"), SectorSize: 512, Model: "A disk [31m", Serial: "SN 1234", Name: "SN 1234", InUse: "sda2 is mounted at /home", Holds: "nothing", Free: true},
		{Path: m.dev("vda"), SectorSize: 512, Serial: "virtual", Name: "virtual", InUse: "vda1 is part of proa-root", Holds: "nothing", Free: true},
		{Path: m.dev("vdb"), SectorSize: 4096, Serial: "from udev", Name: "from udev", Removable: true, ReadOnly: true, Holds: "nothing", Free: true},
	}
	if len(disks) != len(want) {
		t.Fatalf("disks %+v", disks)
	}
	for i := range want {
		want[i].Size = 64 * mib
		if disks[i] != want[i] {
			t.Errorf("disk %+v\nwant %+v", disks[i], want[i])
		}
	}
}

func TestDisksThatAreNotToBeHadAreRefused(t *testing.T) {
	base := func(more map[string]string) Machine {
		files := blockFiles("vda", "252:0", more)
		files["proc/self/mountinfo"] = "30 1 252:2 / /home rw - ext4 /dev/vda2 rw\n"
		files["sys/class/block/vda1/partition"] = "1\n"
		return fakeMachine(t, files)
	}
	for says, c := range map[string]struct {
		name string
		more map[string]string
	}{
		"vda1 is a partition":               {"vda1", nil},
		"vdx: want a whole disk":            {"vdx", nil},
		"no medium":                         {"vda", map[string]string{"size": "0"}},
		"write-protected":                   {"vda", map[string]string{"ro": "1"}},
		"in use: vda2 is mounted at /home":  {"vda", map[string]string{"vda2/dev": "252:2"}},
		"the release is for arm64":          {"vda", nil},
		"sectors of 512 bytes, not of 4096": {"vda", map[string]string{"queue/logical_block_size": "512"}},
	} {
		j := &job{Config: Config{Machine: base(c.more)}, release: manifests.Release{Arch: manifests.HostArch()}}
		if strings.HasSuffix(says, "arm64") {
			j.release.Arch = manifests.ARM64
		}
		if strings.HasSuffix(says, "4096") {
			j.SectorSize = 4096
		}
		if err := j.openDevice(filepath.Join("/dev", c.name)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v: want one that says %q", err, says)
		}
	}
}

func TestWhatIsNoDiskIsRefused(t *testing.T) {
	r := newRelease(t, "1.0.0")
	install := func(path string, sector int64) error {
		_, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, SectorSize: sector})
		return err
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	check(t, unix.Mkfifo(pipe, 0o600))
	for _, path := range []string{t.TempDir(), pipe, "/dev/null"} {
		if err := install(path, 0); !errors.Is(err, ErrNotDisk) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := install(filepath.Join(t.TempDir(), "absent"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	path := blankFile(t, 128*mib)
	if err := install(path, 520); err == nil || !strings.Contains(err.Error(), "sectors of 520") {
		t.Errorf("odd sectors: %v", err)
	}
	release, err := lock(path)
	check(t, err)
	var used *UsedError
	if err := install(path, 0); !errors.As(err, &used) {
		t.Errorf("a file that another one has: %v", err)
	}
	release()
	check(t, install(path, 0))
}

// TestMachinesKeepTheirFilesFromInstallers has QEMU open a disk.
func TestMachinesKeepTheirFilesFromInstallers(t *testing.T) {
	path := blankFile(t, 128*mib)
	end := holdByQEMU(t, path)
	var used *UsedError
	if _, err := Install(t.Context(), Config{Source: folderOf(t, newRelease(t, "1.0.0")), Disk: path}); !errors.As(err, &used) {
		t.Errorf("error %v", err)
	}
	end()
}

// FuzzExamine varies both ends of a disk.
func FuzzExamine(f *testing.F) {
	for _, s := range signatures {
		head, tail := make([]byte, 70<<10), make([]byte, 70<<10)
		if s.at >= 0 {
			copy(head[s.at:], s.magic)
		} else {
			copy(tail[int64(len(tail))+s.at:], s.magic)
		}
		f.Add(head, tail)
	}
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		disk := make([]byte, 2*edge+5*512)
		copy(disk, head)
		copy(disk[max(0, len(disk)-len(tail)):], tail)
		content, err := examine(bytes.NewReader(disk), int64(len(disk)))
		if err != nil {
			t.Fatal(err)
		}
		if content.blank && !isZero(disk) || content.text == "" || strings.ContainsFunc(content.text, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%+v", content)
		}
	})
}
