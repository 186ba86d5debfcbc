package main

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/bootcount"
	"github.com/proa-os/proa/partitions/verity"
)

// memoryState is a state partition in memory.
type memoryState struct {
	content [bootcount.Offset + bootcount.Size]byte
	broken  error // of every write
	writes  int
}

func (s *memoryState) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.content[:]).ReadAt(p, off)
}

func (s *memoryState) WriteAt(p []byte, off int64) (int, error) {
	s.writes++
	if s.broken != nil {
		return 0, s.broken
	}
	return copy(s.content[off:], p), nil
}

// quietLog swallows what is said.
func quietLog(t *testing.T) *kernelLog {
	t.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &kernelLog{file: file}
}

// boots counts boots of the slot and says at which of them it was read.
func boots(t *testing.T, state *memoryState, f found, root verity.Root, n int, verify error) (read []int) {
	t.Helper()
	for i := 1; i <= n; i++ {
		was := false
		_, err := count(state, f, root, func() error { was = true; return verify }, quietLog(t))
		if was {
			read = append(read, i)
		}
		if was && !errors.Is(err, verify) || !was && err != nil {
			t.Fatalf("boot %d: %v", i, err)
		}
	}
	return read
}

func TestASlotWhoseBootsAreNotConfirmedIsRead(t *testing.T) {
	f := found{slot: partitions.SlotA}
	root := verity.Root{Hash: [32]byte{1}}
	corrupt := errors.New("corrupt")
	for name, test := range map[string]struct {
		verify error
		want   []int
	}{
		"whole":   {nil, []int{4, 7, 10}}, // and then trusted for as many boots again
		"corrupt": {corrupt, []int{4, 5, 6, 7, 8, 9, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := boots(t, &memoryState{}, f, root, 10, test.verify); len(got) != len(test.want) || got[0] != 4 || got[1] != test.want[1] {
				t.Errorf("read at boots %v, want %v", got, test.want)
			}
		})
	}
}

func TestAConfirmedBootStartsTheCountAnew(t *testing.T) {
	f := found{slot: partitions.SlotA}
	root := verity.Root{Hash: [32]byte{1}}
	state := &memoryState{}
	for range 5 {
		if got := boots(t, state, f, root, 3, nil); got != nil {
			t.Fatalf("read at boots %v", got)
		}
		record, err := bootcount.Read(state)
		if err != nil {
			t.Fatal(err)
		}
		copy(state.content[bootcount.Offset:], record.Confirm(partitions.SlotA, root.Hash).Bytes())
	}
	// Another release, or another slot, has a count of its own.
	boots(t, state, f, root, 3, nil)
	if got := boots(t, state, f, verity.Root{Hash: [32]byte{2}}, 3, nil); got != nil {
		t.Errorf("read at boots %v", got)
	}
	if got := boots(t, state, found{slot: partitions.SlotB}, root, 3, nil); got != nil {
		t.Errorf("read at boots %v", got)
	}
}

func TestAStatePartitionThatCannotBeWrittenIsNoObstacle(t *testing.T) {
	state := &memoryState{broken: errors.New("read-only")}
	if got := boots(t, state, found{slot: partitions.SlotA}, verity.Root{}, 10, errors.New("corrupt")); got != nil {
		t.Errorf("read at boots %v", got)
	}
}

func TestCountingWritesOneSectorABoot(t *testing.T) {
	state := &memoryState{}
	const n = 2 * bootcount.Most
	boots(t, state, found{slot: partitions.SlotA}, verity.Root{}, n, errors.New("corrupt"))
	if state.writes > bootcount.Most {
		t.Errorf("%d writes in %d boots: want none once the count is at its end", state.writes, n)
	}
}

// flipped is a disk with one wrong bit.
type flipped struct {
	diskFile
	at int64
}

func (f flipped) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.diskFile.ReadAt(p, off)
	if i := f.at - off; i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	return n, err
}

func TestTheWholeSlotIsRead(t *testing.T) {
	r := newRelease(t, 1)
	for name, test := range map[string]struct {
		at   partitions.Role
		want bool
	}{
		"whole":      {"", true},
		"data":       {partitions.RoleRootA, false},
		"tree":       {partitions.RoleVerityA, false},
		"other slot": {partitions.RoleRootB, true},
	} {
		d := newDisk(t, "vda", r, r)
		if test.at != "" {
			p, _ := d.table.Find(test.at)
			d.file = flipped{d.file, p.Start + int64(len(r.tree)) - 1} // which is in use in either partition
		}
		matches, reasons := choose([]disk{d}, r.root, partitions.SlotA)
		if len(matches) == 0 {
			t.Fatalf("%s: %v", name, reasons)
		}
		progress := 0
		err := verifySlot(matches[0], r.root, func() { progress++ })
		if (err == nil) != test.want || progress == 0 {
			t.Errorf("%s: %v after %d steps", name, err, progress)
		}
	}
}
