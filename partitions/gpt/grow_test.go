package gpt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// image is a disk with proa's partitions, as the start of a larger one.
func image(t *testing.T, sector, size int64) []byte {
	t.Helper()
	disk := &ram{content: make([]byte, testDisk)}
	if err := Write(disk, testLayout(testDisk), sector); err != nil {
		t.Fatal(err)
	}
	return append(disk.content, make([]byte, size-testDisk)...)
}

func grown(size, sector int64) []partitions.Partition {
	all := proaPartitions()
	all[6].Size = VarEnd(size, sector) - all[6].Start
	return all
}

func TestTablesGrowWithTheirDisks(t *testing.T) {
	const mib = 1 << 20
	for _, sector := range []int64{512, 4096} {
		for _, size := range []int64{testDisk + sector, testDisk + 20*sector, 2 * testDisk, 2*testDisk + 5*sector, 64 * mib} {
			disk := &ram{content: image(t, sector, size)}
			table, changed, err := Grow(disk, size)
			if err != nil || !changed || table.Damaged != "" || table.SectorSize != sector {
				t.Fatalf("%d bytes in sectors of %d: %v, %v, %q", size, sector, changed, err, table.Damaged)
			}
			want := grown(size, sector)
			if !slices.Equal(table.Partitions, want) {
				t.Errorf("%d bytes in sectors of %d: %+v", size, sector, table.Partitions[6])
			}
			if sector == 512 {
				sgdiskAgrees(t, disk.content)
			} else {
				fdiskAgrees(t, disk.content, want)
			}
			writes := len(disk.writes)
			if again, changed, err := Grow(disk, size); err != nil || changed || len(disk.writes) != writes || !slices.Equal(again.Partitions, want) {
				t.Errorf("once more: %v, %v", changed, err)
			}
			// And once more, to a still larger disk.
			disk.content = append(disk.content, make([]byte, 3*mib)...)
			if table, changed, err := Grow(disk, size+3*mib); err != nil || !changed || !slices.Equal(table.Partitions, grown(size+3*mib, sector)) {
				t.Errorf("a second time: %v, %v", changed, err)
			}
		}
	}
}

// TestPowerCutsWhileGrowingLeaveAWholePrimaryCopy reads each state as Linux does,
// which believes no backup copy, and then grows it.
func TestPowerCutsWhileGrowingLeaveAWholePrimaryCopy(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		for _, size := range []int64{testDisk + sector, 2 * testDisk} {
			before := image(t, sector, size)
			disk := &ram{content: bytes.Clone(before)}
			if _, _, err := Grow(disk, size); err != nil {
				t.Fatal(err)
			}
			seen := map[int64]int{}
			disk.cuts(before, int(sector), func(what string, state []byte) {
				table, err := read(state)
				if err != nil || table.Primary != nil {
					t.Fatalf("%d bytes in sectors of %d, %s: %v, %v", size, sector, what, err, table.Primary)
				}
				if c := readCopies(bytes.NewReader(state), size, sector); size == 2*testDisk && c.backupErr != nil {
					t.Errorf("sectors of %d, %s: backup copy: %v", sector, what, c.backupErr)
				}
				seen[table.Partitions[6].Size]++
				after := &ram{content: state}
				again, _, err := Grow(after, size)
				if err != nil || again.Damaged != "" || !slices.Equal(again.Partitions, grown(size, sector)) {
					t.Errorf("%d bytes in sectors of %d, %s: grown again: %v", size, sector, what, err)
				}
				if !bytes.Equal(after.content[:512], disk.content[:512]) {
					t.Errorf("%s: another MBR", what)
				}
			})
			if size == 2*testDisk && len(seen) != 2 {
				t.Errorf("sizes of var %v: want the old and the new one", seen)
			}
		}
	}
}

func TestGrowMakesADamagedCopyAnew(t *testing.T) {
	for name, spoil := range map[string]func([]byte){
		"header":         func(d []byte) { d[512] ^= 1 },
		"entries":        func(d []byte) { d[1024] ^= 1 },
		"backup header":  func(d []byte) { d[testDisk-1-511] ^= 1 },
		"backup entries": func(d []byte) { d[testDisk-33*512] ^= 1 },
	} {
		before := sgdiskImage(t)
		spoil(before)
		disk := &ram{content: bytes.Clone(before)}
		table, changed, err := Grow(disk, testDisk)
		if err != nil || !changed || table.Damaged != "" || !slices.Equal(table.Partitions, proaPartitions()) {
			t.Errorf("%s: %v, %v, %q", name, changed, err, table.Damaged)
		}
		disk.cuts(before, 512, func(what string, state []byte) {
			if table, err := read(state); err != nil || !slices.Equal(table.Partitions, proaPartitions()) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		})
	}
}

func TestGrowLeavesForeignDisksAlone(t *testing.T) {
	const size = 2 * testDisk
	spare := partitions.Partition{
		Number: 9, Role: "mine", Type: partitions.TypeVar, GUID: partitions.DeriveGUID("test", "mine"), Start: 10 << 20, Size: 1 << 20,
	}
	for name, all := range map[string][]partitions.Partition{
		"without var": proaPartitions()[:6], "with something behind var": append(proaPartitions(), spare),
	} {
		layout := testLayout(testDisk)
		layout.Partitions = all
		disk := &ram{content: make([]byte, testDisk)}
		if err := Write(disk, layout, 512); err != nil {
			t.Fatal(err)
		}
		disk.content = append(disk.content, make([]byte, size-testDisk)...)
		disk.writes = nil
		if table, changed, err := Grow(disk, size); err != nil || changed || len(disk.writes) != 0 || len(table.Partitions) != len(all) {
			t.Errorf("%s: %v, %v, %d writes", name, changed, err, len(disk.writes))
		}
	}
	if _, changed, err := Grow(&ram{content: make([]byte, testDisk)}, testDisk); err == nil || changed {
		t.Errorf("a blank disk: %v, %v", changed, err)
	}
}

// TestGrowKeepsWhatItDoesNotKnow keeps the attributes of partitions, boot code and
// other entries of the MBR.
func TestGrowKeepsWhatItDoesNotKnow(t *testing.T) {
	const size = 2 * testDisk
	content := sgdiskImage(t)
	content[1024+2*128+48] = 0x04 // an attribute of partition 3
	content[1024+6*128+55] = 0x80 // and of var
	content = append(reseal(content), make([]byte, size-testDisk)...)
	copy(content, "boot code")
	content[446+16+4] = 0x83
	disk := &ram{content: bytes.Clone(content)}
	if _, changed, err := Grow(disk, size); err != nil || !changed {
		t.Fatal(changed, err)
	}
	c := readCopies(disk, size, 512)
	if c.primary.raw[2*128+48] != 0x04 || c.backup.raw[6*128+55] != 0x80 {
		t.Error("attributes are lost")
	}
	if !bytes.HasPrefix(disk.content, []byte("boot code")) || disk.content[446+16+4] != 0x83 {
		t.Error("the MBR lost what else was in it")
	}
}

// ends is a disk of which nothing but both ends can be written; between them are
// zeros.
type ends struct {
	size       int64
	head, tail []byte
}

func (e *ends) place(off int64, n int) []byte {
	tail := e.size - int64(len(e.tail))
	switch {
	case off >= 0 && off+int64(n) <= int64(len(e.head)):
		return e.head[off:][:n]
	case off >= tail && off+int64(n) <= e.size:
		return e.tail[off-tail:][:n]
	}
	return nil
}

func (e *ends) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	copy(p, e.place(off, len(p)))
	return len(p), nil
}

func (e *ends) WriteAt(p []byte, off int64) (int, error) {
	place := e.place(off, len(p))
	if place == nil {
		return 0, fmt.Errorf("write of %d bytes at %d", len(p), off)
	}
	return copy(place, p), nil
}

func (e *ends) Sync() error { return nil }

// FuzzGrow varies the table of a disk that is larger than the table says. Whatever
// it is, nothing but tables is written, and no partition but var changes.
func FuzzGrow(f *testing.F) {
	const head = 34 * 512
	whole := sgdiskImage(f)
	f.Add(whole[:head], uint16(1))
	f.Add(whole[:head], uint16(9999))
	short := bytes.Clone(whole[:head])
	short[512+atCount] = 8
	f.Add(short, uint16(40))
	f.Fuzz(func(t *testing.T, first []byte, more uint16) {
		disk := &ends{size: testDisk + int64(more)*512, head: make([]byte, 1<<20), tail: make([]byte, 1<<20)}
		copy(disk.head[:head], first)
		seal := disk.head[512:1024]
		if count, size := binary.LittleEndian.Uint32(seal[atCount:]), binary.LittleEndian.Uint32(seal[atEntrySize:]); uint64(count)*uint64(size) < 1<<19 {
			sealHeader(seal, disk.head[1024:][:count*size])
		}
		before, err := Read(disk, disk.size)
		if err != nil {
			return
		}
		after, changed, err := Grow(disk, disk.size)
		if err != nil || !changed {
			return
		}
		if after.Damaged != "" || len(after.Partitions) != len(before.Partitions) {
			t.Fatalf("%+v became %+v", before, after)
		}
		for i, p := range before.Partitions {
			q := after.Partitions[i]
			if p.Role == partitions.RoleVar {
				p.Size = max(p.Size, q.Size)
			}
			if p != q {
				t.Errorf("%+v became %+v", p, q)
			}
		}
	})
}
