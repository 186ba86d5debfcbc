package bootcontrol

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

// TestFaultAnywhereIsAnErrorThatTheNextRunMendsWithItsOwnSyncs also kills the work: a
// process that is gone leaves in the cache what it did not sync. What the next
// run finds done already may not be on the medium, and has to be by its end.
func TestFaultAnywhereIsAnErrorThatTheNextRunMendsWithItsOwnSyncs(t *testing.T) {
	onEveryBench(t, func(t *testing.T, b *bench) {
		faults := 0
		for n := range b.record(t) {
			for _, f := range []struct {
				err   error
				lasts bool
			}{
				{syscall.EIO, false}, {syscall.ENOSPC, false}, {syscall.EROFS, true}, {powercut.ErrCut, true},
			} {
				if err := b.failAt(n, f.err, f.lasts); err != nil {
					t.Fatalf("%v at operation %d: %v", f.err, n, err)
				}
				faults++
			}
		}
		t.Logf("%d faults", faults)
	})
}

func (b *bench) failAt(n int, fails error, lasts bool) error {
	dir, err := copyOf(b.before)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	recorder := &powercut.Recorder{Dir: dir, Before: powercut.Fail(n, fails, lasts)}
	err = b.work(b.control(recorder, dir), recorder)
	if !errors.Is(err, fails) {
		return fmt.Errorf("the work ended with %v", err)
	}
	if err == fails {
		return fmt.Errorf("the error %q does not say what failed", err)
	}
	recorder.Before = nil
	left, err := copyOf(dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(left)
	if err := b.judge(left, false); err != nil {
		return fmt.Errorf("after that: %w", err)
	}
	if err := b.work(b.control(recorder, dir), recorder); err != nil {
		return fmt.Errorf("the next run: %w", err)
	}
	ops := recorder.Ops()
	if err := b.cut(ops, len(ops), powercut.Everything, 0, b.judge); err != nil {
		return fmt.Errorf("the next run, with all lost that was not synced, after %v: %w", ops, err)
	}
	return nil
}

func isSync(op powercut.Op) bool {
	return slices.Contains([]powercut.Kind{powercut.Sync, powercut.SyncDir, powercut.SyncFS}, op.Kind)
}

// TestEverySyncIsNeeded takes each out in turn, and the suite has to notice.
// Syncs with nothing in between are one.
func TestEverySyncIsNeeded(t *testing.T) {
	var mu sync.Mutex
	needed := map[string]int{} // by backend
	t.Run("in", func(t *testing.T) {
		onEveryBench(t, func(t *testing.T, b *bench) {
			ops := b.record(t)
			for from := 0; from < len(ops); from++ {
				to := from
				for to < len(ops) && isSync(ops[to]) {
					to++
				}
				if to == from || b.idle || b.nothingNew(t, ops[:from]) {
					continue
				}
				without := slices.Delete(slices.Clone(ops), from, to)
				states, err := b.everyCut(without, 64, b.judge)
				if why := b.spare[b.scenario.name]; why != "" && err == nil {
					t.Logf("%v: %s", ops[from:to], why)
				} else if err == nil {
					t.Errorf("%d states, and none tells that %v is missing from %v", states, ops[from:to], ops)
				}
				mu.Lock()
				needed[b.backend.name]++
				mu.Unlock()
				from = to
			}
		})
	})
	for _, b := range backends {
		t.Logf("%s: %d syncs", b.name, needed[b.name])
		if needed[b.name] == 0 {
			t.Errorf("%s never syncs", b.name)
		}
	}
}

// nothingNew reports whether what was done since the last sync says what was said
// before: writing it once more is for what a killed run has left in the cache alone.
func (b *bench) nothingNew(t *testing.T, ops []powercut.Op) bool {
	last := len(ops)
	for last > 0 && !isSync(ops[last-1]) {
		last--
	}
	var states []string
	for _, n := range []int{last, len(ops)} {
		check(t, b.cut(ops, n, powercut.Nothing, 0, func(dir string, _ bool) error {
			said, err := b.control(&powercut.Recorder{Dir: dir}, dir).State()
			states = append(states, fmt.Sprint(said, digest(filepath.Join(dir, "esp/EFI")), digest(slotFile(dir, "b"))))
			return err
		}))
	}
	return states[0] == states[1]
}

// lossy is a medium that does not keep what is written to existing files,
// behind a cache that shows it until it is dropped.
type lossy struct {
	hostfs.FS
	cache   map[string][]lossyWrite
	keeps   bool // the cache ignores that it is to be dropped
	changes int
}

type lossyWrite struct {
	at   int64
	data []byte
}

type lossyFile struct {
	hostfs.File
	fs   *lossy
	name string
}

func (l *lossy) Open(name string) (hostfs.File, error) {
	f, err := l.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return lossyFile{f, l, name}, nil
}

func (l *lossy) OpenWritable(name string) (hostfs.File, error) {
	if strings.Contains(name, "/slot-") {
		return l.FS.OpenWritable(name) // not a backend's
	}
	return l.Open(name)
}

func (f lossyFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.cache[f.name] = append(f.fs.cache[f.name], lossyWrite{off, slices.Clone(p)})
	before := make([]byte, len(p))
	if _, err := f.File.ReadAt(before, off); err != nil || !slices.Equal(before, p) {
		f.fs.changes++
	}
	return len(p), nil
}

func (f lossyFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	for _, w := range f.fs.cache[f.name] {
		for i, c := range w.data {
			if at := w.at + int64(i) - off; at >= 0 && at < int64(n) {
				p[at] = c
			}
		}
	}
	return n, err
}

func (f lossyFile) Sync() error { return nil }

func (f lossyFile) Drop(off, n int64) error {
	if !f.fs.keeps {
		f.fs.cache[f.name] = slices.DeleteFunc(f.fs.cache[f.name], func(w lossyWrite) bool {
			return w.at >= off && w.at+int64(len(w.data)) <= off+n
		})
	}
	return nil
}

// TestWriteThatTheMediumLosesIsNoticedByReadingBack also shows that it is the drop
// before the reading which does that.
func TestWriteThatTheMediumLosesIsNoticedByReadingBack(t *testing.T) {
	losing := 0
	for _, backend := range backends {
		for _, s := range scenarios {
			for _, keeps := range []bool{false, true} {
				b := newBench(t, backend, s)
				if b.refused[s.name] != nil {
					continue
				}
				fs := &lossy{FS: &powercut.Recorder{Dir: b.before}, cache: map[string][]lossyWrite{}, keeps: keeps}
				err := b.work(b.control(fs, b.before), fs)
				if fs.changes == 0 {
					continue // it only removes files, or sets variables
				}
				losing++
				if noticed := err != nil && strings.Contains(err.Error(), "did not keep"); noticed == keeps {
					t.Errorf("%s, %s: cache without drop %v: %v", backend.name, s.name, keeps, err)
				}
			}
		}
	}
	if losing == 0 {
		t.Error("nothing was ever written")
	}
}
