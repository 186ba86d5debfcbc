package main

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

func TestOnlyAWholeTableOfOursMayGrow(t *testing.T) {
	good := func() gpt.Table { return newDisk(t, "vda", release{}, release{}).table }
	for _, test := range []struct {
		name   string
		change func(*gpt.Table)
		want   bool
	}{
		{"ours", func(*gpt.Table) {}, true},
		{"a damaged primary copy", func(table *gpt.Table) { table.Primary = errors.New("checksum") }, false},
		{"a damaged backup copy", func(table *gpt.Table) { table.Backup = errors.New("checksum") }, true},
		{"a backup copy of somebody's", func(table *gpt.Table) { table.Backup = gpt.ErrOthers }, false},
		{"without state", func(table *gpt.Table) { table.Partitions[5].Role = "other" }, false},
		{"of another architecture", func(table *gpt.Table) {
			table.Partitions[1].Type = partitions.TypeRoot(map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH])
		}, false},
		{"var has another type", func(table *gpt.Table) { table.Partitions[6].Type = partitions.TypeESP }, false},
		{"something of somebody's before var", func(table *gpt.Table) {
			table.Partitions = append(table.Partitions, partitions.Partition{Number: 9, Role: "mine", Start: 34 * 512, Size: 512})
		}, true},
		{"something of somebody's behind var", func(table *gpt.Table) {
			table.Partitions = append(table.Partitions, partitions.Partition{Number: 9, Role: "mine", Start: 1 << 40, Size: 512})
		}, false},
		{"nothing", func(table *gpt.Table) { table.Partitions = nil }, false},
	} {
		table := good()
		test.change(&table)
		if got := mayGrow(table); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// sfdiskVar is the size of var for sfdisk, in bytes, which reads tables with
// code of its own.
func sfdiskVar(t *testing.T, disk string) int64 {
	t.Helper()
	out, err := exec.Command("sfdisk", "--json", disk).Output()
	if err != nil {
		t.Fatalf("sfdisk: %v", err)
	}
	var read struct {
		Table struct {
			Label      string
			Partitions []struct {
				Size int64
				Name string
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal(out, &read); err != nil {
		t.Fatal(err)
	}
	all := read.Table.Partitions
	if read.Table.Label != "gpt" || len(all) != len(partitions.Roles()) || all[6].Name != string(partitions.RoleVar) {
		t.Fatalf("sfdisk reads\n%s", out)
	}
	return all[6].Size * 512
}

// TestATableIsThereWhereverItsGrowingIsCut lets sfdisk read what each power cut
// leaves, and sgdisk what the next boot makes of it.
func TestATableIsThereWhereverItsGrowingIsCut(t *testing.T) {
	layout, err := partitions.Plan("test", runtime.GOARCH, partitions.Sizes{ESP: partitions.ESPMinimum, Root: 1 << 20, Verity: 1 << 20, Var: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	grown := layout.DiskSize + 5<<20 + 512
	prepare := func(dir string) string {
		path := filepath.Join(dir, "disk")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, layout.DiskSize); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := gpt.Write(f, layout, 512); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, grown); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := 0 // tables that were read with a damage
	grow := func(fsys hostfs.FS, path, cut string) {
		t.Helper()
		f, err := fsys.OpenWritable(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		before, err := gpt.Read(f, grown)
		if err != nil || !mayGrow(before) {
			t.Errorf("%s: a boot leaves the table as it is: %v, %q", cut, err, before.Damaged)
			return
		}
		if before.Damaged != "" {
			damaged++
		}
		if table, _, err := gpt.Grow(f, grown); err != nil || table.Damaged != "" {
			t.Fatalf("%s: %v, %q", cut, err, table.Damaged)
		}
	}
	dir := t.TempDir()
	recorder := &powercut.Recorder{Dir: dir}
	path := prepare(dir)
	before := sfdiskVar(t, path)
	grow(recorder, path, "uncut")
	after := sfdiskVar(t, path)
	if after != before+5<<20 {
		t.Fatalf("var has %d bytes, and had %d", after, before)
	}
	ops, states := recorder.Ops(), 0
	seen := map[int64]int{}
	for n := range len(ops) + 1 {
		for _, cut := range powercut.Cuts(ops, n, powercut.Sample{Alone: 2, Torn: 2, Subsets: 1}, rand.New(rand.NewPCG(3, 4))) {
			states++
			dir := t.TempDir()
			path := prepare(dir)
			if err := cut.Leave(dir); err != nil {
				t.Fatal(err)
			}
			size := sfdiskVar(t, path)
			if size != before && size != after {
				t.Errorf("%s: var has %d bytes", cut, size)
			}
			seen[size]++
			grow(hostfs.OS{}, path, cut.String())
			if size := sfdiskVar(t, path); size != after {
				t.Errorf("%s: grown again, var has %d bytes", cut, size)
			}
			if out, err := exec.Command("sgdisk", "--verify", path).CombinedOutput(); err != nil {
				t.Errorf("%s: sgdisk --verify: %v\n%s", cut, err, out)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("sizes of var that were seen: %v", seen)
	}
	if damaged == 0 {
		t.Error("no cut left a table with a damage")
	}
	t.Logf("%d states of %d operations: %v", states, len(ops), seen)
}
