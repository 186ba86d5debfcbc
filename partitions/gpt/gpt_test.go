package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/proa-os/proa/partitions"
)

const testDisk = 16 << 20

// sgdiskImage is a fresh copy of a disk with proa's partitions by sgdisk.
func sgdiskImage(t testing.TB) []byte {
	t.Helper()
	content, err := sgdiskOnce()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(content)
}

var sgdiskOnce = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "proa-gpt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "disk.raw")
	if err := os.WriteFile(path, make([]byte, testDisk), 0o600); err != nil {
		return nil, err
	}
	args := []string{"--disk-guid=11111111-2222-3333-4444-555555555555"}
	for i, p := range proaPartitions() {
		args = append(args,
			fmt.Sprintf("--new=%d:%d:%d", i+1, p.Start/512, (p.Start+p.Size)/512-1),
			fmt.Sprintf("--typecode=%d:%s", i+1, p.Type),
			fmt.Sprintf("--partition-guid=%d:%s", i+1, p.GUID),
			fmt.Sprintf("--change-name=%d:%s", i+1, p.Role))
	}
	if out, err := exec.Command("sgdisk", append(args, path)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("sgdisk: %w\n%s", err, out)
	}
	out, err := exec.Command("sgdisk", "--verify", path).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("No problems found")) {
		return nil, fmt.Errorf("sgdisk --verify: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

func proaPartitions() []partitions.Partition {
	var all []partitions.Partition
	for i, p := range []struct {
		role partitions.Role
		kind partitions.GUID
	}{
		{partitions.RoleESP, partitions.TypeESP},
		{partitions.RoleRootA, partitions.TypeRoot("amd64")},
		{partitions.RoleVerityA, partitions.TypeVerity("amd64")},
		{partitions.RoleRootB, partitions.TypeRoot("amd64")},
		{partitions.RoleVerityB, partitions.TypeVerity("amd64")},
		{partitions.RoleState, partitions.TypeState},
		{partitions.RoleVar, partitions.TypeVar},
	} {
		all = append(all, partitions.Partition{
			Number: i + 1, Role: p.role, Type: p.kind,
			GUID:  partitions.DeriveGUID("test", string(p.role)),
			Start: int64(i+1) << 20, Size: 1 << 20,
		})
	}
	return all
}

func read(content []byte) (Table, error) {
	return Read(bytes.NewReader(content), int64(len(content)))
}

func TestReadsWhatSgdiskWrote(t *testing.T) {
	table, err := read(sgdiskImage(t))
	if err != nil {
		t.Fatal(err)
	}
	if table.Damaged != "" || table.Primary != nil || table.Backup != nil {
		t.Errorf("a whole table is said to be damaged: %q", table.Damaged)
	}
	if got := table.DiskGUID.String(); got != "11111111-2222-3333-4444-555555555555" {
		t.Errorf("disk GUID %s", got)
	}
	if got, want := fmt.Sprint(table.Partitions), fmt.Sprint(proaPartitions()); got != want {
		t.Errorf("partitions\n %s\nwant\n %s", got, want)
	}
	for _, want := range proaPartitions() {
		if got, ok := table.Find(want.Role); !ok || got != want {
			t.Errorf("Find(%s) = %v, %v", want.Role, got, ok)
		}
	}
	if _, ok := table.FindFor(partitions.RoleRootA, "arm64"); ok {
		t.Error("an amd64 root was found for arm64")
	}
}

func TestFindWantsNameAndType(t *testing.T) {
	content := sgdiskImage(t)
	entry := content[1024+1*128:]
	other := partitions.TypeVar.Disk()
	copy(entry, other[:])
	table, err := read(reseal(content))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := table.Find(partitions.RoleRootA); ok {
		t.Errorf("found %v by its name alone", p)
	}
	if p, ok := table.Find("Linux filesystem"); ok {
		t.Errorf("found %v for no role", p)
	}
}

func TestReadsDisksWithLargeSectors(t *testing.T) {
	content := largeSectors(t, sgdiskImage(t))
	table, err := read(content)
	if err != nil {
		t.Fatal(err)
	}
	if table.SectorSize != 4096 || table.Damaged != "" {
		t.Errorf("sectors of %d bytes, damaged %q", table.SectorSize, table.Damaged)
	}
	if got, want := fmt.Sprint(table.Partitions), fmt.Sprint(proaPartitions()); got != want {
		t.Errorf("partitions\n %s\nwant\n %s", got, want)
	}
	clear(content[4096:8192])
	if table, err = read(content); err != nil || table.SectorSize != 4096 || table.Primary == nil {
		t.Errorf("without its primary header: %v, %v", table, err)
	}
	if _, err := ReadSectors(bytes.NewReader(content), testDisk, 512); !errors.Is(err, ErrNoTable) {
		t.Errorf("read with sectors of 512 bytes: %v", err)
	}
	if _, err := ReadSectors(bytes.NewReader(content), testDisk, 0); err == nil {
		t.Error("sectors of 0 bytes accepted")
	}
}

// largeSectors rewrites a disk's table for sectors of 4096 bytes.
func largeSectors(t testing.TB, content []byte) []byte {
	t.Helper()
	out := make([]byte, len(content))
	copy(out, content[:512])
	le := binary.LittleEndian
	entries := bytes.Clone(content[1024 : 1024+16384])
	for i := range 128 {
		entry := entries[i*128:][:128]
		if first := le.Uint64(entry[32:]); first != 0 {
			le.PutUint64(entry[32:], first/8)
			le.PutUint64(entry[40:], (le.Uint64(entry[40:])+1)/8-1)
		}
	}
	last := uint64(len(content)/4096 - 1)
	for _, h := range []struct{ my, alternate, entries uint64 }{{1, last, 2}, {last, 1, last - 4}} {
		header := out[h.my*4096:][:4096]
		copy(header, content[512:1024])
		le.PutUint64(header[24:], h.my)
		le.PutUint64(header[32:], h.alternate)
		le.PutUint64(header[40:], 6)
		le.PutUint64(header[48:], last-5)
		le.PutUint64(header[72:], h.entries)
		copy(out[h.entries*4096:], entries)
		sealHeader(header, entries)
	}
	return out
}

// reseal makes both copies of a 512-byte-sector table agree with the primary
// one and gives them right checksums.
func reseal(content []byte) []byte {
	le := binary.LittleEndian
	primary := content[512:1024]
	entries := content[1024 : 1024+16384]
	sealHeader(primary, entries)
	last := uint64(len(content)/512 - 1)
	backup := content[last*512:][:512]
	copy(backup, primary)
	le.PutUint64(backup[24:], last)
	le.PutUint64(backup[32:], 1)
	le.PutUint64(backup[72:], last-32)
	copy(content[(last-32)*512:], entries)
	sealHeader(backup, entries)
	return content
}

func sealHeader(header, entries []byte) {
	le := binary.LittleEndian
	le.PutUint32(header[88:], crc32.ChecksumIEEE(entries))
	resum(header)
}

func resum(header []byte) {
	size := min(int(binary.LittleEndian.Uint32(header[12:])), len(header))
	clear(header[16:20])
	binary.LittleEndian.PutUint32(header[16:], crc32.ChecksumIEEE(header[:size]))
}
