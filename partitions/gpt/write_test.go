package gpt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

// ram is a disk in memory that remembers its writes, and after how many of them
// it was synced.
type ram struct {
	content []byte
	writes  []ramWrite
	synced  []int
}

type ramWrite struct {
	at   int64
	data []byte
}

func (r *ram) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(r.content).ReadAt(p, off)
}

func (r *ram) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(r.content)) {
		return 0, fmt.Errorf("write of %d bytes at %d: beyond the end", len(p), off)
	}
	r.writes = append(r.writes, ramWrite{off, bytes.Clone(p)})
	return copy(r.content[off:], p), nil
}

func (r *ram) Sync() error {
	r.synced = append(r.synced, len(r.writes))
	return nil
}

// cuts calls see with each state in which a power cut during the recorded writes
// may leave a disk that was as before: those since the last sync lost, alone or
// all, or torn after each sector.
func (r *ram) cuts(before []byte, sector int, see func(what string, disk []byte)) {
	for n := range len(r.writes) + 1 {
		durable := 0
		for _, at := range r.synced {
			if at <= n {
				durable = at
			}
		}
		base := bytes.Clone(before)
		for _, w := range r.writes[:durable] {
			copy(base[w.at:], w.data)
		}
		open := r.writes[durable:n]
		for lost := range 1 << len(open) {
			state := bytes.Clone(base)
			for i, w := range open {
				if lost&(1<<i) == 0 {
					copy(state[w.at:], w.data)
				}
			}
			see(fmt.Sprintf("after write %d, loss %b", n, lost), state)
		}
		for i, w := range open {
			for at := sector; at < len(w.data); at += sector {
				head, tail := bytes.Clone(base), bytes.Clone(base)
				copy(head[w.at:], w.data[:at])
				copy(tail[w.at+int64(at):], w.data[at:])
				see(fmt.Sprintf("write %d torn after %d bytes", durable+i, at), head)
				see(fmt.Sprintf("write %d without its first %d bytes", durable+i, at), tail)
			}
		}
	}
}

func testLayout(size int64) partitions.Layout {
	return partitions.Layout{DiskGUID: partitions.DeriveGUID("test", "disk"), DiskSize: size, Partitions: proaPartitions()}
}

// sgdiskAgrees lets sgdisk and sfdisk judge a disk with sectors of 512 bytes.
func sgdiskAgrees(t *testing.T, content []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sgdisk", "--verify", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") || strings.Contains(string(out), "Warning") {
		t.Errorf("sgdisk --verify: %v\n%s", err, out)
	}
	out, err = exec.Command("sfdisk", "--verify", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors detected") || strings.Contains(string(out), "mismatch") {
		t.Errorf("sfdisk --verify: %v\n%s", err, out)
	}
}

// fdiskAgrees lets fdisk judge a disk with sectors of 4096 bytes, which sgdisk takes
// from the kernel alone.
func fdiskAgrees(t *testing.T, content []byte, want []partitions.Partition) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("fdisk", "--sector-size", "4096", "--bytes", "--list", "--output", "start,size,name", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	for _, complaint := range []string{"orrupt", "mismatch", "backup", "error"} {
		if strings.Contains(string(out), complaint) {
			err = errors.New(complaint)
		}
	}
	if err != nil {
		t.Errorf("fdisk: %v\n%s", err, out)
	}
	for _, p := range want {
		if line := fmt.Sprint(p.Start/4096, p.Size, string(p.Role)); !strings.Contains(strings.Join(strings.Fields(string(out)), ""), strings.ReplaceAll(line, " ", "")) {
			t.Errorf("fdisk does not say %s:\n%s", line, out)
		}
	}
}

func TestWrittenTablesAreAsSgdiskWritesThem(t *testing.T) {
	disk := &ram{content: make([]byte, testDisk)}
	layout := testLayout(testDisk)
	layout.DiskGUID, _ = partitions.ParseGUID("11111111-2222-3333-4444-555555555555")
	if err := Write(disk, layout, 512); err != nil {
		t.Fatal(err)
	}
	sgdiskAgrees(t, disk.content)
	theirs := sgdiskImage(t)
	copy(theirs[446+5:][:3], []byte{0xff, 0xff, 0xff}) // the end in cylinders, which nobody reads
	for name, piece := range map[string][2]int{
		"protective MBR": {446, 512}, "header": {512, 1024}, "entries": {1024, 34 * 512},
		"backup": {testDisk - 33*512, testDisk},
	} {
		if ours, theirs := disk.content[piece[0]:piece[1]], theirs[piece[0]:piece[1]]; !bytes.Equal(ours, theirs) {
			t.Errorf("%s is not sgdisk's:\n%x\n%x", name, ours[:min(96, len(ours))], theirs[:min(96, len(theirs))])
		}
	}
}

func TestWrittenTablesAreReadBack(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		disk := &ram{content: make([]byte, testDisk+sector)}
		layout := testLayout(testDisk + sector)
		if err := Write(disk, layout, sector); err != nil {
			t.Fatal(err)
		}
		table, err := read(disk.content)
		if err != nil || table.Damaged != "" || table.SectorSize != sector || table.DiskGUID != layout.DiskGUID || !slices.Equal(table.Partitions, layout.Partitions) {
			t.Errorf("sectors of %d: %+v, %v", sector, table, err)
		}
		if sector == 4096 {
			fdiskAgrees(t, disk.content, layout.Partitions)
		}
	}
}

func TestPowerCutsLeaveNoTableOrAWholeOne(t *testing.T) {
	old := sgdiskImage(t)
	for _, sector := range []int64{512, 4096} {
		disk := &ram{content: bytes.Clone(old)}
		if err := Erase(disk, testDisk); err != nil {
			t.Fatal(err)
		}
		states, kept := 0, 0
		disk.cuts(old, 512, func(what string, state []byte) {
			states++
			table, err := read(state)
			switch {
			case errors.Is(err, ErrNoTable):
			case err != nil || !slices.Equal(table.Partitions, proaPartitions()) || table.Damaged != "":
				t.Errorf("erasing, %s: %v, %q", what, err, table.Damaged)
			default:
				kept++
			}
		})
		if kept == 0 || kept == states {
			t.Errorf("%d of %d states have the old table", kept, states)
		}
		if strings.Contains(string(disk.content), Signature) {
			t.Error("a header is left behind")
		}
		blank := &ram{content: bytes.Clone(disk.content)}
		layout := testLayout(testDisk)
		layout.Partitions = layout.Partitions[:6]
		if err := Write(blank, layout, sector); err != nil {
			t.Fatal(err)
		}
		states, kept = 0, 0
		blank.cuts(disk.content, int(sector), func(what string, state []byte) {
			states++
			table, err := read(state)
			switch {
			case errors.Is(err, ErrNoTable):
			case err != nil || !slices.Equal(table.Partitions, layout.Partitions) || table.Damaged != "":
				t.Errorf("writing in sectors of %d, %s: %v, %q", sector, what, err, table.Damaged)
			default:
				kept++
			}
		})
		if kept == 0 || kept == states {
			t.Errorf("%d of %d states have the new table", kept, states)
		}
	}
}

func TestWriteRefusesWhatIsNoTable(t *testing.T) {
	change := func(run func(*partitions.Layout)) partitions.Layout {
		layout := testLayout(testDisk)
		run(&layout)
		return layout
	}
	for says, layout := range map[string]partitions.Layout{
		"overlap":                      change(func(l *partitions.Layout) { l.Partitions[0].Size += 512 }),
		"whole sectors":                change(func(l *partitions.Layout) { l.Partitions[0].Size -= 100 }),
		"want it within":               change(func(l *partitions.Layout) { l.Partitions[6].Size = testDisk }),
		"partition 1 in sectors 1":     change(func(l *partitions.Layout) { l.Partitions[0].Start = 512 }),
		"a number from 1 to 128":       change(func(l *partitions.Layout) { l.Partitions[0].Number = 0 }),
		"two partitions with the numb": change(func(l *partitions.Layout) { l.Partitions[0].Number = 2 }),
		"have one GUID":                change(func(l *partitions.Layout) { l.Partitions[0].GUID = l.Partitions[1].GUID }),
		"a type and a GUID":            change(func(l *partitions.Layout) { l.Partitions[0].Type = partitions.GUID{} }),
		"at most 36 characters":        change(func(l *partitions.Layout) { l.Partitions[0].Role = partitions.Role(strings.Repeat("x", 37)) }),
		"disk of 20000 bytes":          change(func(l *partitions.Layout) { l.DiskSize = 20000 }),
	} {
		disk := &ram{content: make([]byte, testDisk)}
		if err := Write(disk, layout, 512); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v: want one that says %q", err, says)
		}
		if len(disk.writes) != 0 {
			t.Errorf("%s: something was written", says)
		}
	}
	if err := Write(&ram{content: make([]byte, testDisk)}, testLayout(testDisk), 1024); err == nil {
		t.Error("sectors of 1024 bytes are accepted")
	}
	if err := Write(&ram{content: sgdiskImage(t)}, testLayout(testDisk), 512); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("over a table that is there: %v", err)
	}
	if err := Erase(&ram{}, 0); err == nil {
		t.Error("a disk of 0 bytes was erased")
	}
}
