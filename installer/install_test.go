package installer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/diskimage"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/testhost"
)

func TestDisksAreInstalledAndOtherToolsReadThem(t *testing.T) {
	r := newRelease(t, "1.0.0")
	for _, c := range []struct{ size, sector int64 }{{128 * mib, 512}, {700*mib + 512*7, 512}, {400 * mib, 4096}} {
		path := blankFile(t, c.size)
		done, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, SectorSize: c.sector, Settings: []byte("settings"), BootFiles: map[string][]byte{"loader/keys/auto/db.auth": {1}}})
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if err := judge(t, path, r); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		clean(t, path)
		image, err := diskimage.Open(path)
		check(t, err)
		defer image.Close()
		if text, err := image.ReadESPFile(SettingsPath, 100); err != nil || string(text) != "settings" {
			t.Errorf("settings %q, %v", text, err)
		}
		last, _ := image.Table.Find(partitions.RoleVar)
		if end := last.Start + last.Size; image.Table.SectorSize != c.sector || c.size-end > 2*mib+4096 || done.Var != last.Size {
			t.Errorf("%+v: sectors of %d, var ends %d bytes before the end, %+v", c, image.Table.SectorSize, c.size-end, done)
		}
		if c.sector == 512 {
			if out := run(t, "sgdisk", "--verify", path); !strings.Contains(out, "No problems found") || strings.Contains(out, "Warning") {
				t.Errorf("sgdisk --verify: %s", out)
			}
		}
		place := image.Table.Partitions[0]
		boot := filepath.Join(t.TempDir(), "esp")
		run(t, "dd", "if="+path, "of="+boot, "bs=1M", fmt.Sprintf("skip=%d", place.Start/mib), fmt.Sprintf("count=%d", place.Size/mib), "conv=sparse")
		run(t, "fsck.vfat", "-n", boot)
		if out := run(t, "mtype", "-i", boot, "::"+esp.LoaderConfPath); out != string(esp.LoaderConf(partitions.SlotA)) {
			t.Errorf("loader.conf: %q", out)
		}
		if text, err := image.ReadESPFile("loader/keys/auto/db.auth", 100); err != nil || string(text) != "\x01" {
			t.Errorf("further file %q, %v", text, err)
		}
		again, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, SectorSize: c.sector, Settings: []byte("settings"), BootFiles: map[string][]byte{"loader/keys/auto/db.auth": {1}}})
		if err != nil || !again.Already || again.Written != 0 || again.Var != done.Var {
			t.Errorf("once more: %+v, %v", again, err)
		}
	}
}

func TestDisksWithDataAreLeftAsTheyAre(t *testing.T) {
	r := newRelease(t, "1.0.0")
	for holds, spoil := range map[string]func(path string){
		"data of an unknown kind": func(path string) { writeAt(t, path, 128*mib-1, "x") },
		"ext file system":         func(path string) { run(t, "mkfs.ext4", "-q", "-F", path) },
		"FAT file system":         func(path string) { run(t, "mkfs.vfat", path) },
		"2 partitions (one, two)": func(path string) {
			run(t, "sgdisk", "--new=1:2048:4095", "--change-name=1:one", "--new=2:4096:8191", "--change-name=2:two", path)
		},
		"1 partitions (MBR)": func(path string) {
			run(t, "sh", "-c", "echo 'label: dos\n2048,4096,83' | sfdisk -q "+path)
		},
		"swap space": func(path string) { run(t, "mkswap", path) },
		"a system of proa": func(path string) {
			other := newRelease(t, "0.9.0")
			_, err := Install(t.Context(), Config{Source: folderOf(t, other), Disk: path})
			check(t, err)
		},
		"LUKS volume": func(path string) { writeAt(t, path, 0, "LUKS\xba\xbe") },
		// Of a disk that somebody took for something else after an installation was cut.
		"3 partitions (MBR)": func(path string) {
			writeAt(t, path, markAt, mark)
			run(t, "sh", "-c", "printf 'label: dos\n2048,4096,83\n8192,4096,83\n16384,4096,83\n' | sfdisk -q --wipe never "+path)
		},
		"LVM volume": func(path string) { writeAt(t, path, markAt, mark); writeAt(t, path, 512, "LABELONE") },
		"data":       func(path string) { writeAt(t, path, markAt, mark); writeAt(t, path, 100<<10, "x") },
	} {
		path := blankFile(t, 128*mib)
		spoil(path)
		before := digestOf(t, path)
		var data *DataError
		_, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path})
		if !errors.As(err, &data) || !strings.Contains(data.Holds, holds) || data.Name != "disk.raw" {
			t.Errorf("%s: error %v", holds, err)
		}
		if _, err = Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, Wipe: "other"}); err == nil || !strings.Contains(err.Error(), `"disk.raw"`) {
			t.Errorf("%s, with another's name: %v", holds, err)
		}
		if digestOf(t, path) != before {
			t.Fatalf("%s: something was written", holds)
		}
		done, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, Wipe: "disk.raw"})
		if err != nil || done.Already || done.Resumed {
			t.Errorf("%s, wiped: %+v, %v", holds, done, err)
		}
		if err := judge(t, path, r); err != nil {
			t.Errorf("%s, wiped: %v", holds, err)
		}
		clean(t, path)
	}
}

func TestThatADiskMayBeWipedIsNoReasonTo(t *testing.T) {
	r := newRelease(t, "1.0.0")
	path := blankFile(t, 128*mib)
	_, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path})
	check(t, err)
	writeAt(t, path, partitionAt(t, path, "var"), "somebody's")
	before := digestOf(t, path)
	done, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, Wipe: "disk.raw"})
	if err != nil || !done.Already || digestOf(t, path) != before {
		t.Errorf("the same command once more: %+v, %v", done, err)
	}
}

func TestANameOfAnotherDiskIsNeverPassedOver(t *testing.T) {
	path := blankFile(t, 128*mib)
	_, err := Install(t.Context(), Config{Source: folderOf(t, newRelease(t, "1.0.0")), Disk: path, Wipe: "other.raw"})
	if info, statErr := os.Stat(path); err == nil || statErr != nil || used(info) != 0 {
		t.Errorf("a blank disk, with another's name: %v, %v", err, statErr)
	}
}

func writeAt(t testing.TB, path string, at int64, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte(content), at)
	check(t, err)
}

func TestDisksThatAreTooSmallSayWhatIsNeeded(t *testing.T) {
	r := newRelease(t, "1.0.0")
	var small *TooSmallError
	path := blankFile(t, 60*mib)
	if _, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path}); !errors.As(err, &small) || !strings.Contains(err.Error(), "needs 85 MiB") {
		t.Fatalf("error %v", err)
	}
	for _, sector := range []int64{512, 4096} {
		_, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path, SectorSize: sector})
		if !errors.As(err, &small) {
			t.Fatalf("error %v", err)
		}
		needed := blankFile(t, small.Needed)
		if _, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: needed, SectorSize: sector}); err != nil {
			t.Errorf("a disk of what is needed: %v", err)
		}
		less := blankFile(t, small.Needed-mib)
		if _, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: less, SectorSize: sector}); !errors.As(err, &small) {
			t.Errorf("a disk of 1 MiB less: %v", err)
		}
		if info, err := os.Stat(less); err != nil || used(info) != 0 {
			t.Errorf("something was written: %v", err)
		}
	}
}

func TestOnlyTheReleaseItselfIsInstalled(t *testing.T) {
	r := newRelease(t, "1.0.0")
	for name, says := range map[string]string{
		manifests.RootFile: "root hash", manifests.UKIFile: "the release lists", manifests.LoaderFile: "the release lists", manifests.LayoutFile: "the release lists",
	} {
		dir := writeFolder(t, r)
		writeAt(t, filepath.Join(dir, name), 70, "other")
		path := blankFile(t, 128*mib)
		source, err := OpenFolder(t.Context(), dir)
		if err == nil {
			_, err = Install(t.Context(), Config{Source: source, Disk: path})
			source.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v", name, err)
		}
		if err := judge(t, path, r); err == nil {
			t.Errorf("%s: it boots", name)
		}
	}
	old := testhost.NewRelease(t, testhost.Spec{Version: "0.1.0"})
	dir := t.TempDir()
	old.WriteFolder(t, dir)
	if _, err := OpenFolder(t.Context(), dir); !errors.Is(err, ErrNotInstallable) {
		t.Errorf("a release without a layout: %v", err)
	}
	if _, err := OpenFolder(t.Context(), t.TempDir()); !errors.Is(err, ErrNotRelease) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestInterruptedInstallationsGoOn(t *testing.T) {
	r := newRelease(t, "1.0.0")
	path := blankFile(t, 128*mib)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Install(ctx, Config{Source: folderOf(t, r), Disk: path, Progress: cancelAt{"write boot partition", cancel}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if err := judge(t, path, r); err == nil {
		t.Error("half an installation boots")
	}
	done, err := Install(t.Context(), Config{Source: folderOf(t, r), Disk: path})
	if err != nil || !done.Resumed || done.Already || done.Written > 3*mib {
		t.Errorf("%+v, %v", done, err)
	}
	check(t, judge(t, path, r))
}
