package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions/factoryreset"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

func noProgress() {}

// resetHost is a folder with a state partition that has a wish, and a var of
// size bytes that is in use.
func resetHost(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	state := append(make([]byte, factoryreset.Offset), factoryreset.Request{When: time.Unix(1, 0)}.Bytes()...)
	if err := os.WriteFile(filepath.Join(dir, "state"), append(state, make([]byte, 4096)...), 0o600); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "var")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, size); err != nil {
		t.Fatal(err)
	}
	tool(t, "mke2fs", "-t", "ext4", "-q", "-F", "-b", "1024", disk, fmt.Sprintf("%dk", (size-tailSize)/1024))
	return dir
}

// granted does what a boot does about a wish, and reports whether there was one.
func granted(t *testing.T, fsys hostfs.FS, dir string) bool {
	t.Helper()
	var opened []hostfs.File
	for _, name := range []string{"state", "var"} {
		f, err := fsys.OpenWritable(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		opened = append(opened, f)
	}
	if _, err := factoryreset.Read(opened[0]); err != nil {
		if !errors.Is(err, factoryreset.ErrNone) {
			t.Fatal(err)
		}
		return false
	}
	size, err := opened[1].Size()
	if err != nil {
		t.Fatal(err)
	}
	if err := forget(opened[0], opened[1], size, noProgress); err != nil {
		t.Fatal(err)
	}
	return true
}

// TestAFactoryResetThatIsCutIsDoneByTheNextBoot cuts the power after each
// write, with writes lost and torn: as long as anything of the old var is left the
// wish is there, and the next boot comes to the end.
func TestAFactoryResetThatIsCutIsDoneByTheNextBoot(t *testing.T) {
	start := resetHost(t, 3<<20)
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(start)); err != nil {
		t.Fatal(err)
	}
	recorder := &powercut.Recorder{Dir: work}
	if !granted(t, recorder, work) {
		t.Fatal("there was no wish")
	}
	ops := recorder.Ops()
	random := rand.New(rand.NewPCG(1, 2))
	states := 0
	for n := range len(ops) + 1 {
		for _, cut := range powercut.Cuts(ops, n, powercut.Sample{Alone: 3, Torn: 8, Subsets: 3}, random) {
			states++
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(start)); err != nil {
				t.Fatal(err)
			}
			if err := cut.Leave(dir); err != nil {
				t.Fatal(err)
			}
			again := granted(t, hostfs.OS{}, dir)
			if c := look(t, filepath.Join(dir, "var")); !c.blank || c.ext4 || c.unfinished {
				t.Errorf("%s: reset again: %t, then var is %+v", cut, again, c)
			}
			if granted(t, hostfs.OS{}, dir) {
				t.Errorf("%s: the boot after that forgets /var once more", cut)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d states of %d operations", states, len(ops))
}

// TestAFactoryResetForgetsTheKeysOfAnEncryptedVar puts something at both ends of
// what a LUKS2 header may take, and where formatting leaves its mark.
func TestAFactoryResetForgetsTheKeysOfAnEncryptedVar(t *testing.T) {
	dir := resetHost(t, testSize)
	path := filepath.Join(dir, "var")
	if err := mark(path, testSize, true); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	places := []int64{0, 16 << 10, 4 << 20, 16<<20 - 1, testSize - tailSize, testSize - 1}
	for _, at := range places {
		if _, err := f.WriteAt([]byte{0xba}, at); err != nil {
			t.Fatal(err)
		}
	}
	granted(t, hostfs.OS{}, dir)
	for _, at := range places {
		left := make([]byte, 1)
		if _, err := f.ReadAt(left, at); err != nil || left[0] != 0 {
			t.Errorf("byte %d: %x, %v", at, left, err)
		}
	}
}
