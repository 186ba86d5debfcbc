package updater_test

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/testhost"
)

// failOnce is a file system whose n-th operation fails with err.
func failOnce(dir string, n int, err error) *powercut.Recorder {
	return &powercut.Recorder{Dir: dir, Before: powercut.Fail(n, err, false)}
}

// quick is a file system that waits for no disk: the power stays on.
func quick(h *testhost.Host) *powercut.Recorder { return &powercut.Recorder{Dir: h.Dir} }

// panics is a test that panics where it would end, so that what goes wrong is an
// error of the state that is judged.
type panics struct{ testing.TB }

func (panics) Helper() {}
func (panics) Fatal(args ...any) {
	if len(args) == 1 {
		if err, ok := args[0].(error); ok {
			panic(err)
		}
	}
	panic(errors.New(fmt.Sprint(args...)))
}
func (panics) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }
func (panics) Error(args ...any)                 { panic(errors.New(fmt.Sprint(args...))) }
func (panics) Errorf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

// attempt is the error with which run ends.
func attempt(t testing.TB, run func(t testing.TB)) (err error) {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case runtime.Error:
			panic(failed)
		case error:
			err = failed
		default:
			panic(failed)
		}
	}()
	run(panics{t})
	return nil
}

// unbootable is the error of a machine that does not come up.
type unbootable struct{ error }

func (u unbootable) Unwrap() error { return u.error }

// boots boots a machine that was cut.
func boots(t testing.TB, h *testhost.Host) testhost.Booted {
	t.Helper()
	booted, err := h.TryBoot(t)
	if err != nil {
		t.Fatal(unbootable{err})
	}
	return booted
}

// blame counts what is wrong.
func blame(err error) {
	var unverified *testhost.Unverified
	var down unbootable
	switch {
	case errors.As(err, &unverified):
		report.add(figureUnverified, 1)
	case errors.As(err, &down):
		report.add(figureUnbootable, 1)
	default:
		report.add(figureStuck, 1)
	}
}

// yard is a recording of some work, and the host before it.
type yard struct {
	before *testhost.Host
	ops    []powercut.Op
	// judge looks at a host that was cut; the work was done when whole is true.
	judge func(t testing.TB, h *testhost.Host, whole bool)
	// kept are files whose writing is durable by itself and not recorded, with
	// their contents before each operation.
	kept []map[string][]byte

	mu   sync.Mutex
	seen map[uint64]error
}

// digest tells what a machine is.
func digest(t testing.TB, h *testhost.Host, whole bool) uint64 {
	var hash maphash.Hash
	hash.SetSeed(digestSeed)
	fmt.Fprint(&hash, whole)
	h.WriteState(t, &hash)
	return hash.Sum64()
}

var digestSeed = maphash.MakeSeed()

// play makes what a cut leaves, and judges it unless it is known.
func (y *yard) play(t testing.TB, c powercut.Cut, whole bool) error {
	dir, err := os.MkdirTemp(filepath.Dir(y.before.Dir), "cut")
	check(t, err)
	defer os.RemoveAll(dir)
	h := y.before.Copy(t, dir)
	check(t, c.Leave(dir))
	if len(y.kept) > c.After {
		for name, content := range y.kept[c.After] {
			check(t, os.WriteFile(h.Path(name), content, 0o600))
		}
	}
	key := digest(t, h, whole)
	y.mu.Lock()
	known, ok := y.seen[key]
	y.mu.Unlock()
	if ok {
		return known
	}
	report.add(figureDifferent, 1)
	err = attempt(t, func(t testing.TB) { y.judge(t, h, whole) })
	y.mu.Lock()
	y.seen[key] = err
	y.mu.Unlock()
	return err
}

// cuts are all that a cut during ops may leave, each once, the last first; without
// limit they are all of the sample.
func (y *yard) cuts(ops []powercut.Op, s powercut.Sample, limit int) (chosen []powercut.Cut, states int) {
	random := rand.New(rand.NewPCG(report.seed, uint64(len(ops))))
	known := map[string]bool{}
	for n := len(ops); n >= 0; n-- {
		for _, c := range powercut.Cuts(ops, n, s, random) {
			states++
			key := keyOf(c, ops)
			if !known[key] {
				known[key] = true
				chosen = append(chosen, c)
			}
		}
	}
	if limit > 0 && len(chosen) > limit {
		rest := chosen[2:] // without those of the end
		random.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		chosen = chosen[:limit]
	}
	return chosen, states
}

// keyOf tells apart what cuts leave and what is promised of it.
func keyOf(c powercut.Cut, ops []powercut.Op) string { return fmt.Sprint(c.After == len(ops), c.Key()) }

// try plays cuts until one goes wrong.
func (y *yard) try(t testing.TB, ops []powercut.Op, cuts []powercut.Cut) error {
	for _, c := range cuts {
		if err := y.play(t, c, c.After == len(ops)); err != nil {
			last := "nothing"
			if c.After > 0 {
				last = ops[c.After-1].String()
			}
			return fmt.Errorf("%s (the last was %s) of %d: %w", c, last, len(ops), err)
		}
	}
	return nil
}

// cutEverywhere plays the cuts of the yard's work: a few of them in a small run.
func (y *yard) cutEverywhere(t testing.TB) {
	t.Helper()
	sample := powercut.Sample{Alone: 6, Torn: 5, Subsets: 3}
	chosen, states := y.cuts(y.ops, sample, report.sizeOf(smallCuts, 0))
	if !report.full {
		states = len(chosen)
	}
	report.add(figurePrefixes, len(y.ops)+1)
	report.add(figureStates, states)
	if err := y.try(t, y.ops, chosen); err != nil {
		blame(err)
		t.Fatal(err)
	}
	t.Logf("%d operations, %d states, %d different ones", len(y.ops), states, len(y.seen))
}

// smallCuts is how many cuts of each work a small run plays.
const smallCuts = 12

// newYard records work on a copy of the fleet's host. Files that are kept are
// named.
func newYard(t testing.TB, f *fleet, work func(*testhost.Host, *powercut.Recorder), judge func(testing.TB, *testhost.Host, bool), kept ...string) *yard {
	t.Helper()
	// The trusted metadata is on disk before: making it durable is package signing's.
	_, err := f.host.Updater(t, quick(f.host)).Check(context.Background())
	check(t, err)
	folder := testhost.MemoryDir(t)
	y := &yard{before: f.host.Copy(t, filepath.Join(folder, "before")), judge: judge, seen: map[uint64]error{}}
	h := f.host.Copy(t, filepath.Join(folder, "work"))
	keep := func(n int) {
		contents := map[string][]byte{}
		for _, name := range kept {
			if content, err := os.ReadFile(h.Path(name)); err == nil {
				contents[name] = content
			}
		}
		y.kept = append(y.kept[:n:n], contents)
	}
	recorder := &powercut.Recorder{Dir: h.Dir, Drops: true, Before: func(n int, _ powercut.Op) error {
		keep(n)
		return nil
	}}
	work(h, recorder)
	y.ops = recorder.Ops()
	keep(len(y.ops))
	return y
}

// cutEverywhere records what run does to a copy of the fleet's host, and hands
// after hosts for states that a power cut during it could have left.
func cutEverywhere(t *testing.T, f *fleet, run func(*testhost.Host, *powercut.Recorder), after func(testing.TB, *testhost.Host)) {
	t.Helper()
	newYard(t, f, run, func(t testing.TB, h *testhost.Host, _ bool) { after(t, h) }).cutEverywhere(t)
}

// converge is what must be possible after any cut: boot, with a whole slot,
// recover, update, boot the update, commit it, and boot it again.
func (f *fleet) converge(t testing.TB, h *testhost.Host) {
	t.Helper()
	f.convergeFrom(t, h, boots(t, h))
}

// convergeFrom is converge for a host that was booted.
func (f *fleet) convergeFrom(t testing.TB, h *testhost.Host, booted testhost.Booted) {
	t.Helper()
	cut := &fleet{f.repository, f.old, f.next, h}
	for range 6 {
		v, err := h.Updater(t, quick(h)).Judge(context.Background())
		if err != nil {
			t.Fatalf("judging slot %s: %v", booted.Slot, err)
		}
		if v.Outcome != string(journal.WentBack) { // else the machine was reset
			status := cut.status(t)
			if booted.Release == f.next && status.Running.Standing == "committed" {
				if again := boots(t, h); again != booted {
					t.Fatalf("slot %s leads, and slot %s boots", booted.Slot, again.Slot)
				}
				return
			}
			if booted.Release != f.next {
				if _, err := h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{Now: true, RetryBlocked: true}); err != nil {
					t.Fatalf("the next update: %v", err)
				}
			}
		}
		booted = boots(t, h)
	}
	t.Fatal("the machine never gets to the new release")
}

// publishNext makes the channel name 1.2.0.
func publishNext(t testing.TB, f *fleet) {
	t.Helper()
	f.next = testhost.NewRelease(t, testhost.Spec{Version: "1.2.0", Blocks: 130, ChunkSize: int64(report.sizeOf(64, 16)) << 10})
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
}

// TestKillAnywhereThenRerunConverges stops the agent's own writes, with the
// machine staying up: what was written stays in the page cache.
func TestKillAnywhereThenRerunConverges(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	folder := testhost.MemoryDir(t)
	for n := 0; ; n += report.sizeOf(3, 1) {
		h := f.host.Copy(t, filepath.Join(folder, fmt.Sprint(n)))
		_, err := h.Updater(t, &powercut.Recorder{Dir: h.Dir, Before: powercut.CutAfter(n)}).Update(context.Background(), updater.UpdateOptions{})
		if err == nil {
			return
		}
		if !errors.Is(err, powercut.ErrCut) {
			t.Fatalf("operation %d: %v", n, err)
		}
		done, err := h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{})
		if err != nil || done.Result != updater.ResultArmed {
			t.Fatalf("killed at operation %d, the rerun: %+v, %v", n, done, err)
		}
		if booted := h.Boot(t); booted.Release != f.next {
			t.Fatalf("killed at operation %d: booted %s", n, booted.Release.Release.Version)
		}
		check(t, os.RemoveAll(h.Dir))
	}
}

// without is ops without those from one place to another.
func without(ops []powercut.Op, from, to int) []powercut.Op {
	return slices.Delete(slices.Clone(ops), from, to)
}
