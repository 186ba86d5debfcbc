package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/efivars"
)

// devices makes a sysfs in which block devices and PCI functions have their
// places: pairs of a link's path and what it leads to.
func devices(t *testing.T, links ...string) (sysBlock, sysPCI string) {
	t.Helper()
	root := t.TempDir()
	for i := 0; i < len(links); i += 2 {
		link, target := filepath.Join(root, links[i]), filepath.Join(root, "devices", links[i+1])
		for _, folder := range []string{target, filepath.Dir(link)} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, "block"), filepath.Join(root, "pci")
}

func TestTheDiskThatTheLoaderCameFromIsTaken(t *testing.T) {
	r := newRelease(t, 1)
	vda, vdb, nvme, foreign := newDisk(t, "vda", r, r), newDisk(t, "vdb", r, r), newDisk(t, "nvme0n1", r, r), newDisk(t, "sda", r, release{})
	for i := range foreign.table.Partitions {
		foreign.table.Partitions[i].GUID = partitions.DeriveGUID("another product", string(foreign.table.Partitions[i].Role))
	}
	sysBlock, _ := devices(t,
		"block/vda", "pci0000:00/0000:00:07.0/virtio4/block/vda", // found first, further down
		"block/vdb", "pci0000:00/0000:00:03.0/virtio1/block/vdb",
		"block/nvme0n1", "pci0000:00/0000:00:1c.4/0000:3a:00.0/nvme/nvme0/nvme0n1",
		"block/sda", "pci0000:00/0000:00:01.0/usb1/1-1/block/sda")
	esp, _ := vda.partition(partitions.RoleESP)
	other, _ := foreign.partition(partitions.RoleESP)
	at := func(numbers ...byte) (path []pciFunction) {
		for i := 0; i < len(numbers); i += 2 {
			path = append(path, pciFunction{numbers[i], numbers[i+1]})
		}
		return path
	}
	for _, test := range []struct {
		name  string
		from  origin
		disks []disk
		want  string // in this order
	}{
		{"nothing is known: by place", origin{}, []disk{foreign, vda, vdb}, "sda vdb vda"},
		{"only ours have the GUID", origin{partition: esp.GUID}, []disk{foreign, vda, vdb}, "vdb vda sda"},
		{"the other has it", origin{partition: other.GUID}, []disk{vda, foreign}, "sda vda"},
		{"the firmware took the first", origin{esp.GUID, at(3, 0)}, []disk{foreign, vda, vdb}, "vdb vda sda"},
		{"the firmware took the second", origin{esp.GUID, at(7, 0)}, []disk{foreign, vda, vdb}, "vda vdb sda"},
		{"behind a bridge", origin{esp.GUID, at(0x1c, 4, 0, 0)}, []disk{vda, vdb, nvme}, "nvme0n1 vdb vda"},
		{"a place where none is", origin{esp.GUID, at(9, 0)}, []disk{vda, vdb}, "vdb vda"},
		{"a place without the GUID", origin{esp.GUID, at(1, 0)}, []disk{foreign, vda}, "vda sda"},
		{"a GUID that none has", origin{partitions.GUID{1}, at(7, 0)}, []disk{foreign, vda, vdb}, "sda vdb vda"},
	} {
		matches, _ := choose(test.disks, r.root, 0)
		var got []string
		for _, m := range test.from.sorted(matches, sysBlock) {
			if got = append(got, m.disk.name); m.slot == partitions.SlotA && slices.Contains(got[:len(got)-1], m.disk.name) {
				t.Errorf("%s: slot a of %s behind slot b", test.name, m.disk.name)
			}
		}
		if order := strings.Join(slices.Compact(got), " "); order != test.want {
			t.Errorf("%s: %s, want %s", test.name, order, test.want)
		}
	}
	if got := twins(vda, []disk{vda, vdb, foreign, nvme}); strings.Join(got, " ") != "/dev/vdb /dev/nvme0n1" {
		t.Errorf("twins of vda: %v", got)
	}
}

func TestTheDiskThatTheLoaderCameFromIsWaitedFor(t *testing.T) {
	r := newRelease(t, 1)
	vda, vdb := newDisk(t, "vda", r, r), newDisk(t, "vdb", r, r)
	esp, _ := vda.partition(partitions.RoleESP)
	others := disk{name: "sda"} // somebody's own boot partition, whose loader starts ours
	others.table.Partitions = []partitions.Partition{{Number: 1, Role: "EFI System", Type: partitions.TypeESP, GUID: partitions.GUID{2}}}
	sysBlock, sysPCI := devices(t,
		"block/vda", "pci0000:00/0000:00:03.0/virtio1/block/vda",
		"block/vdb", "pci0000:00/0000:00:04.0/virtio2/block/vdb",
		"block/sr0", "pci0000:00/0000:00:1f.2/ata1/block/sr0",
		"pci/0000:00:03.0", "pci0000:00/0000:00:03.0",
		"pci/0000:00:04.0", "pci0000:00/0000:00:04.0",
		"pci/0000:00:1f.2", "pci0000:00/0000:00:1f.2",
		"pci/0000:00:14.0", "pci0000:00/0000:00:14.0")
	for _, test := range []struct {
		name  string
		from  origin
		disks []disk
		want  bool
	}{
		{"nothing is known", origin{}, []disk{vda}, false},
		{"it is there", origin{esp.GUID, nil}, []disk{vda}, false},
		{"it is there, at its place", origin{esp.GUID, []pciFunction{{3, 0}}}, []disk{vda}, false},
		{"nobody has the GUID", origin{partitions.GUID{1}, nil}, []disk{vda, vdb}, true},
		{"one of somebody else's has it", origin{partitions.GUID{2}, nil}, []disk{vda, others}, false},
		{"a controller without a disk so far", origin{esp.GUID, []pciFunction{{0x14, 0}}}, []disk{vda}, true},
		{"a controller with something else", origin{esp.GUID, []pciFunction{{0x1f, 2}}}, []disk{vda}, false},
		{"a place that the kernel does not know", origin{esp.GUID, []pciFunction{{0xe, 0}}}, []disk{vda}, false},
	} {
		matches, _ := choose(test.disks, r.root, 0)
		best := test.from.sorted(matches, sysBlock)[0]
		if got := test.from.awaited(test.disks, best, sysBlock, sysPCI); got != test.want {
			t.Errorf("%s: waits %t", test.name, got)
		}
	}
}

// The option by which OVMF boots a virtio disk: PciRoot(0x0)/Pci(0x2,0x0).
const optionOfOVMF = "010000001600550045004600490020004d006900730063002000440065007600690063006500000002010c00d041030a000000000101060000027fff04004eac0881119f594d850ee21a522c59b2"

func TestTheOriginIsReadFromTheFirmwaresVariables(t *testing.T) {
	store := variables(t.TempDir())
	if got := readOrigin(store); !got.partition.IsZero() || got.path != nil {
		t.Errorf("without variables: %+v", got)
	}
	guid := partitions.DeriveGUID("test", "esp")
	option, err := hex.DecodeString(optionOfOVMF)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name, vendor string
		value        []byte
	}{
		{loaderPartition, loaderVendor, encodeUTF16(strings.ToUpper(guid.String()))}, // as systemd-boot writes it
		{bootCurrent, globalVendor, []byte{0x0a, 0x00}},
		{"Boot000A", globalVendor, option},
	} {
		if err := store.write(v.name, v.vendor, v.value); err != nil {
			t.Fatal(err)
		}
	}
	if got := readOrigin(store); got.partition != guid || !slices.Equal(got.path, []pciFunction{{2, 0}}) {
		t.Errorf("read %+v", got)
	}
	// What systems and proa write begins with the partition.
	short := efivars.LoadOption{Attributes: efivars.Active, Description: "proa", Path: []efivars.Node{efivars.HardDrive{Number: 1, GUID: guid}.Node(), efivars.FileNode(`\x.efi`)}}
	if path, err := optionPath(short.Encode()); err != nil || path != nil {
		t.Errorf("an option that begins with the partition: %v, %v", path, err)
	}
}

func TestPathsInSysfsAreThoseOfTheFirmware(t *testing.T) {
	for name, want := range map[string]pciFunction{"0000:00:1f.2": {0x1f, 2}, "0000:ff:00.7": {0, 7}, "10000:e1:0a.0": {10, 0}} {
		if got, ok := parsePCI(name); !ok || got != want {
			t.Errorf("%s: %v, %t", name, got, ok)
		}
	}
	for _, name := range []string{"", "pci0000:00", "virtio1", "1-1.4:1.0", "0:0:0:0", "0000:00:1f", "0000:00:1f.22", "0000:00:xx.2", "0000.00.1f.2", "nvme0n1"} {
		if got, ok := parsePCI(name); ok {
			t.Errorf("%s was taken for %v", name, got)
		}
	}
}

func FuzzOptionPath(f *testing.F) {
	option, _ := hex.DecodeString(optionOfOVMF)
	f.Add(option)
	f.Add(efivars.LoadOption{Path: []efivars.Node{{Type: typeHardware, SubType: subPCI, Data: []byte{1, 2}}}}.Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		path, err := optionPath(raw)
		if len(path)*(nodeHeader+2) > len(raw) {
			t.Fatalf("%d functions in %d bytes", len(path), len(raw))
		}
		parsed, strictErr := efivars.ParseLoadOption(raw)
		if strictErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("refused what is right: %v", err)
		}
		var want []pciFunction
		for _, node := range parsed.Path {
			if node.Type == typeEnd {
				break
			}
			if node.Type == typeHardware && node.SubType == subPCI && len(node.Data) == 2 {
				want = append(want, pciFunction{device: node.Data[1], function: node.Data[0]})
			}
		}
		if !slices.Equal(path, want) {
			t.Fatalf("%v, want %v", path, want)
		}
	})
}
