package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// newMedium is a live medium, with what slot a of a disk would hold.
func newMedium(t *testing.T, name string, r release) disk {
	t.Helper()
	d := newDisk(t, name, r, release{})
	var kept []partitions.Partition
	for from, to := range map[partitions.Role]partitions.Role{
		partitions.RoleESP: partitions.RoleESP, partitions.RoleRootA: partitions.RoleLiveRoot, partitions.RoleVerityA: partitions.RoleLiveVerity,
	} {
		p, _ := d.partition(from)
		p.Role = to
		kept = append(kept, p)
	}
	d.table.Partitions = kept
	return d
}

func TestALiveSystemTakesItsMediumAndNoSlot(t *testing.T) {
	ours, other := newRelease(t, 1), newRelease(t, 2)
	installed := newDisk(t, "vda", ours, ours)
	medium := newMedium(t, "sr0", ours)
	f, reasons := chooseMedium([]disk{installed, newMedium(t, "sdb", other), medium}, ours.root)
	if f == nil || f.disk.name != "sr0" {
		t.Fatalf("took %+v, because %q", f, reasons)
	}
	if p, _ := medium.partition(partitions.RoleLiveRoot); f.root != p {
		t.Errorf("the root is %+v, want %+v", f.root, p)
	}
	if f, reasons := chooseMedium([]disk{installed, newMedium(t, "sdb", other)}, ours.root); f != nil || len(reasons) != 2 || !strings.Contains(reasons[1], "/dev/sdb: it holds another root hash") {
		t.Errorf("took %+v, because %q", f, reasons)
	}
	// And the reverse: a medium that was left in a machine is none of its disks.
	if matches, _ := choose([]disk{medium}, ours.root, partitions.SlotA); len(matches) != 0 || medium.isProa() {
		t.Errorf("a machine takes the medium for its disk: %+v", matches)
	}
}

func TestALiveSystemIsHandedWhatTheInitrdBrought(t *testing.T) {
	dir := t.TempDir()
	brought, live, units := filepath.Join(dir, "brought"), filepath.Join(dir, "run/live"), filepath.Join(dir, "run/units")
	for name, mode := range map[string]fs.FileMode{
		"proa": 0o755, "uki.efi": 0o644, rootFile: 0o644, verityFile: 0o644, "units/a.service": 0o644,
	} {
		path := filepath.Join(brought, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte(name), 1000), mode); err != nil {
			t.Fatal(err)
		}
	}
	wants := filepath.Join(brought, "units/x.target.wants")
	if err := os.Mkdir(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../a.service", filepath.Join(wants, "a.service")); err != nil {
		t.Fatal(err)
	}
	b := &boot{log: &kernelLog{}, medium: liveMedium{root: "/dev/dm-0", verity: "/dev/dm-1"}}
	if err := b.handOverFrom(brought, live, units); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(live, "proa"):                             "-rwxr-xr-x proa",
		filepath.Join(live, "uki.efi"):                          "-rw-r--r-- uki.efi",
		filepath.Join(units, "a.service"):                       "-rw-r--r-- units/a.service",
		filepath.Join(units, "x.target.wants/a.service"):        "-rw-r--r-- units/a.service",
		filepath.Join(brought, rootFile) /* a loop device's */ : "-rw-r--r-- " + rootFile,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		content, err := os.ReadFile(path)
		mode, name, _ := strings.Cut(want, " ")
		if err != nil || info.Mode().String() != mode || string(content) != strings.Repeat(name, 1000) {
			t.Errorf("%s: %s, %d bytes, %v; want %s", path, info.Mode(), len(content), err, want)
		}
	}
	for name, want := range map[string]string{rootFile: "/dev/dm-0", verityFile: "/dev/dm-1"} {
		if link, err := os.Readlink(filepath.Join(live, name)); err != nil || link != want {
			t.Errorf("%s leads to %q, %v; want %q", name, link, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(brought, "proa")); err == nil {
		t.Error("the installer is in memory twice")
	}
}
