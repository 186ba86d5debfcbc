package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/verity"
)

// memoryDisk is a disk in memory.
type memoryDisk struct{ *bytes.Reader }

func (memoryDisk) Close() error { return nil }

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }
func (brokenDisk) Close() error                      { return nil }

// release is a root image with its hash tree.
type release struct {
	image, tree []byte
	root        verity.Root
}

func newRelease(t *testing.T, content byte) release {
	t.Helper()
	r := release{image: bytes.Repeat([]byte{content}, 300*verity.BlockSize)}
	copy(r.image[1024:], "\xe2\xe1\xf5\xe0") // EROFS
	salt := []byte("salt")
	tree, err := verity.NewTree(verity.LeafHashes(nil, salt, r.image), salt)
	if err != nil {
		t.Fatal(err)
	}
	var stored bytes.Buffer
	if err := tree.Store(&stored, [16]byte{1}); err != nil {
		t.Fatal(err)
	}
	r.tree, r.root = stored.Bytes(), tree.Root()
	return r
}

// newDisk makes a disk with the planned layout and the given releases, either
// of which may be empty.
func newDisk(t *testing.T, name string, a, b release) disk {
	t.Helper()
	layout, err := partitions.Plan("test", runtime.GOARCH, partitions.Sizes{
		ESP: partitions.ESPMinimum, Root: 2 << 20, Verity: 1 << 20, Var: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, layout.DiskSize)
	for role, bytes := range map[partitions.Role][]byte{
		partitions.RoleRootA: a.image, partitions.RoleVerityA: a.tree,
		partitions.RoleRootB: b.image, partitions.RoleVerityB: b.tree,
	} {
		p, _ := layout.Find(role)
		copy(content[p.Start:], bytes)
	}
	return disk{
		name:  name,
		file:  memoryDisk{bytes.NewReader(content)},
		table: gpt.Table{SectorSize: 512, DiskSize: layout.DiskSize, Partitions: layout.Partitions},
	}
}

func TestOnlyTheSlotOfTheRootHashIsTaken(t *testing.T) {
	older, newer, other := newRelease(t, 1), newRelease(t, 2), newRelease(t, 3)
	broken := newDisk(t, "broken", older, newer)
	broken.file = brokenDisk{}
	foreign := disk{name: "usb", file: memoryDisk{bytes.NewReader(nil)}}
	short := newDisk(t, "short", newer, newer)
	for i, p := range short.table.Partitions {
		if p.Role == partitions.RoleRootA || p.Role == partitions.RoleVerityB {
			short.table.Partitions[i].Size = 2 * verity.BlockSize
		}
	}
	for _, test := range []struct {
		name      string
		disks     []disk
		root      verity.Root
		preferred partitions.Slot
		want      string // "DISK SLOT", all matches
	}{
		{"the older one is in a", []disk{newDisk(t, "vda", older, newer)}, older.root, 0, "vda a"},
		{"the newer one is in b", []disk{newDisk(t, "vda", older, newer)}, newer.root, 0, "vda b"},
		{"the boot loader's choice does not decide", []disk{newDisk(t, "vda", older, newer)}, newer.root, partitions.SlotA, "vda b"},
		{"a release that is nowhere", []disk{newDisk(t, "vda", older, newer)}, other.root, 0, ""},
		{"blank slots", []disk{newDisk(t, "vda", release{}, release{})}, newer.root, 0, ""},
		{"the same release twice", []disk{newDisk(t, "vda", newer, newer)}, newer.root, 0, "vda a, vda b"},
		{"the same twice, b was booted", []disk{newDisk(t, "vda", newer, newer)}, newer.root, partitions.SlotB, "vda b, vda a"},
		{"the second disk", []disk{foreign, newDisk(t, "vdb", older, older), newDisk(t, "vdc", other, newer)}, newer.root, 0, "vdc b"},
		{"an unreadable disk", []disk{broken, newDisk(t, "vdb", older, newer)}, older.root, 0, "vdb a"},
		{"partitions too short", []disk{short}, newer.root, 0, ""},
		{"no disk", nil, newer.root, 0, ""},
	} {
		matches, reasons := choose(test.disks, test.root, test.preferred)
		var got []string
		for _, m := range matches {
			got = append(got, m.disk.name+" "+m.slot.String())
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: got %q, want %q (%q)", test.name, got, test.want, reasons)
		}
		if len(matches)+len(reasons) != 2*len(test.disks) {
			t.Errorf("%s: %d matches and %d reasons for %d slots", test.name, len(matches), len(reasons), 2*len(test.disks))
		}
	}
}

func TestSlotOfAnotherArchitectureIsNotTaken(t *testing.T) {
	r := newRelease(t, 1)
	d := newDisk(t, "vda", r, r)
	for i, p := range d.table.Partitions {
		if p.Role == partitions.RoleRootA {
			other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
			d.table.Partitions[i].Type = partitions.TypeRoot(other)
		}
	}
	if matches, _ := choose([]disk{d}, r.root, 0); len(matches) != 1 || matches[0].slot != partitions.SlotB {
		t.Errorf("got %d matches", len(matches))
	}
}

// sysFolder makes a folder like /sys/block with one partition in it.
func sysFolder(t *testing.T, number, start, size string) string {
	t.Helper()
	root := t.TempDir()
	folder := filepath.Join(root, "nvme0n1", "nvme0n1p2")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"partition": number, "start": start, "size": size} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPartitionIsTheOneThatTheKernelSeesAtTheSamePlace(t *testing.T) {
	d := disk{name: "nvme0n1"}
	p := partitions.Partition{Number: 2, Start: 1 << 20, Size: 3 << 20}
	if name, err := findNode(d, p, sysFolder(t, "2", "2048", "6144")); err != nil || name != "nvme0n1p2" {
		t.Errorf("got %q, %v", name, err)
	}
	for _, other := range [][3]string{{"3", "2048", "6144"}, {"2", "2056", "6144"}, {"2", "2048", "6143"}, {"", "", ""}} {
		if name, err := findNode(d, p, sysFolder(t, other[0], other[1], other[2])); err == nil {
			t.Errorf("partition %s at %s with %s sectors was taken: %q", other[0], other[1], other[2], name)
		}
	}
	if _, err := nodeOf(d, p, t.TempDir(), time.Millisecond); err == nil || !strings.Contains(err.Error(), "partition 2") {
		t.Errorf("waiting for a partition that does not come: %v", err)
	}
}

func TestVirtualDevicesAreNoDisks(t *testing.T) {
	for name, want := range map[string]bool{
		"loop0": true, "ram1": true, "dm-0": true, "sr0": true, "zram0": true,
		"vda": false, "sda": false, "nvme0n1": false, "mmcblk0": false, "xvda": false,
	} {
		if isVirtual(name) != want {
			t.Errorf("%s: got %v", name, !want)
		}
	}
}

func TestFallbackGoesToTheOtherSlotAFewTimesOnly(t *testing.T) {
	r := newRelease(t, 1)
	both, onlyA := newDisk(t, "vda", r, r), newDisk(t, "vda", r, release{})
	noTree := newDisk(t, "vda", r, release{image: r.image})
	noRoot := newDisk(t, "vda", r, release{tree: r.tree})
	for _, test := range []struct {
		name     string
		selected partitions.Slot
		count    byte
		disk     disk
		want     partitions.Slot // 0 for a plain reset
	}{
		{"a is rotten", partitions.SlotA, 0, both, partitions.SlotB},
		{"b is rotten", partitions.SlotB, 0, both, partitions.SlotA},
		{"the last try", partitions.SlotA, mostFallbacks - 1, both, partitions.SlotB},
		{"too many tries", partitions.SlotA, mostFallbacks, both, 0},
		{"an impossible count", partitions.SlotA, 255, both, 0},
		{"b is blank", partitions.SlotA, 0, onlyA, 0},
		{"b has no tree", partitions.SlotA, 0, noTree, 0},
		{"b has no root", partitions.SlotA, 0, noRoot, 0},
		{"b is rotten, a is fine", partitions.SlotB, 0, onlyA, partitions.SlotA},
		{"no boot loader tells", 0, 0, both, 0},
	} {
		got, ok := otherSlot(test.selected, test.count, []disk{test.disk})
		if got != test.want || ok != (test.want != 0) {
			t.Errorf("%s: got %v, %v, want %v", test.name, got, ok, test.want)
		}
	}
	if _, ok := otherSlot(partitions.SlotA, 0, nil); ok {
		t.Error("without a disk there is no other slot")
	}
}
