package installer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/proa-os/proa/partitions/gpt"
	"github.com/proa-os/proa/partitions/sparse"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/testhost"
)

// TestPowerCutsLeaveNoSystemOrTheWholeOne cuts an installation after each write, with
// what was not synced lost, alone or all, or torn. The reader that judges is none of
// the installer's; firmware and kernel look at the table in the same way. Then the
// same installation is begun again.
func TestPowerCutsLeaveNoSystemOrTheWholeOne(t *testing.T) {
	const size = 86 * mib
	next, old := newRelease(t, "1.1.0"), newRelease(t, "1.0.0")
	for name, c := range map[string]struct {
		wipe   string
		before func(path string)
	}{
		"blank": {"", func(string) {}},
		"a machine in use": {"disk.raw", func(path string) {
			_, err := Install(t.Context(), Config{Source: folderOf(t, old), Disk: path})
			check(t, err)
			image := partitionAt(t, path, "var")
			writeAt(t, path, image, "somebody's")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := blankFile(t, size)
			c.before(before)
			dir := testhost.MemoryDir(t)
			work := filepath.Join(dir, "disk.raw")
			copyDisk(t, before, work)
			recorder := &powercut.Recorder{Dir: dir, Drops: true}
			if _, err := Install(t.Context(), Config{Source: folderOf(t, next), Disk: work, FS: recorder, Wipe: c.wipe}); err != nil {
				t.Fatal(err)
			}
			ops := recorder.Ops()
			if n := powercut.Unread(ops); n < len(ops) {
				t.Errorf("operation %d reads back what is not on the medium: %s", n, ops[n])
			}
			if first := ops[slices.IndexFunc(ops, func(o powercut.Op) bool { return o.Kind != powercut.Drop })]; first.Kind != powercut.Write || first.Offset != 0 || len(first.Data) != 512 || !isZero(first.Data) {
				t.Errorf("the first change is not to take the table off: %s", first)
			}
			source := folderOf(t, next)
			random := rand.New(rand.NewPCG(7, uint64(len(ops))))
			states, none, whole, again := map[string]bool{}, 0, 0, 0
			for n := range len(ops) + 1 {
				for _, cut := range powercut.Cuts(ops, n, powercut.Sample{Alone: 2, Torn: 2, Subsets: 1}, random) {
					if states[cut.Key()] {
						continue
					}
					states[cut.Key()] = true
					path := filepath.Join(testhost.MemoryDir(t), "disk.raw")
					copyDisk(t, before, path)
					check(t, cut.Leave(filepath.Dir(path)))
					switch table, err := readTable(t, path); {
					case errors.Is(err, gpt.ErrNoTable):
						none++
					case err == nil && table.Damaged == "" && judge(t, path, next) == nil:
						whole++
						clean(t, path)
					case err == nil && table.Damaged == "" && judge(t, path, old) == nil:
						// nothing was written yet
					default:
						t.Errorf("%s: %v, %v", cut, err, judge(t, path, next))
					}
					if random.IntN(6) == 0 {
						again++
						if _, err := Install(t.Context(), Config{Source: source, Disk: path, Wipe: c.wipe}); err != nil {
							t.Errorf("%s: once more: %v", cut, err)
						}
						if err := judge(t, path, next); err != nil {
							t.Errorf("%s: once more: %v", cut, err)
						}
						clean(t, path)
					}
					check(t, os.RemoveAll(filepath.Dir(path)))
				}
			}
			t.Logf("%d operations, %d states: %d without a table, %d whole; %d installed again", len(ops), len(states), none, whole, again)
			if none == 0 || whole == 0 {
				t.Error("one of the two was never seen")
			}
		})
	}
}

func partitionAt(t testing.TB, path, name string) int64 {
	t.Helper()
	table, err := readTable(t, path)
	check(t, err)
	for _, p := range table.Partitions {
		if string(p.Role) == name {
			return p.Start
		}
	}
	t.Fatalf("no partition %s", name)
	return 0
}

func readTable(t testing.TB, path string) (gpt.Table, error) {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	return gpt.ReadDisk(f)
}

func copyDisk(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	check(t, err)
	defer src.Close()
	dst, err := os.Create(to)
	check(t, err)
	defer dst.Close()
	check(t, sparse.Copy(context.Background(), dst, src, func(int64) {}))
}

// TestABrokenSourceIsNoFaultOfTheDisk has the medium that the release comes from fail.
func TestABrokenSourceIsNoFaultOfTheDisk(t *testing.T) {
	r := newRelease(t, "1.0.0")
	path := blankFile(t, 86*mib)
	_, err := Install(t.Context(), Config{Source: brokenSource{folderOf(t, r)}, Disk: path})
	var gone *GoneError
	if !errors.Is(err, syscall.EIO) || errors.As(err, &gone) {
		t.Errorf("%v: want an error that does not blame the disk", err)
	}
}

type brokenSource struct{ Source }

func (brokenSource) Fill(context.Context, filling) error {
	return fmt.Errorf("reading root.erofs: %w", syscall.EIO)
}

// TestRefusedWritesAreErrorsAndTheNextRunConverges fails each operation once, as a
// disk that is pulled out, or full, does.
func TestRefusedWritesAreErrorsAndTheNextRunConverges(t *testing.T) {
	r := newRelease(t, "1.0.0")
	source := folderOf(t, r)
	for n := 0; ; n += 3 {
		path := blankFile(t, 86*mib)
		broken := fmt.Errorf("write: %w", syscall.EIO)
		recorder := &powercut.Recorder{Dir: filepath.Dir(path), Drops: true, Before: powercut.Fail(n, broken, true)}
		_, err := Install(t.Context(), Config{Source: source, Disk: path, FS: recorder})
		if err == nil {
			if n < 30 {
				t.Errorf("no operation from %d on was refused", n)
			}
			return
		}
		var gone *GoneError
		if !errors.As(err, &gone) || gone.Disk != path {
			t.Fatalf("operation %d: %v", n, err)
		}
		if _, err := readTable(t, path); err == nil && judge(t, path, r) != nil {
			t.Errorf("operation %d: half a system boots", n)
		}
		if _, err := Install(t.Context(), Config{Source: source, Disk: path}); err != nil {
			t.Errorf("operation %d: once more: %v", n, err)
		}
		check(t, judge(t, path, r))
		os.RemoveAll(filepath.Dir(path))
	}
}
