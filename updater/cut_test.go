package updater_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/testhost"
)

// failOnce is a file system whose n-th operation fails with err.
func failOnce(dir string, n int, err error) *powercut.Recorder {
	done := false
	return &powercut.Recorder{Dir: dir, Before: func(at int, _ powercut.Op) error {
		if at == n && !done {
			done = true
			return err
		}
		return nil
	}}
}

// losses are the ways a cut is played, with their seeds.
var losses = []struct {
	loss  powercut.Loss
	seeds uint64
}{{powercut.Nothing, 1}, {powercut.Everything, 1}, {powercut.Part, 3}}

// cutEverywhere records what run does to the fleet's host, and hands after a
// host for every state that a power cut during it could have left.
func cutEverywhere(t *testing.T, f *fleet, run func(*testhost.Host, *powercut.Recorder), after func(*testhost.Host)) {
	// The trusted metadata is on disk before: making it durable is package signing's.
	_, err := f.host.Updater(t, nil).Check(context.Background())
	check(t, err)
	before := f.host.Copy(t, filepath.Join(t.TempDir(), "before"))
	recorder := &powercut.Recorder{Dir: f.host.Dir}
	run(f.host, recorder)
	ops := recorder.Ops()
	states := 0
	for n := range len(ops) + 1 {
		for _, way := range losses {
			for seed := range way.seeds {
				name := fmt.Sprintf("after %d of %d operations, %s, seed %d", n, len(ops), way.loss, seed)
				if n > 0 {
					name += ", the last was " + ops[n-1].String()
				}
				ok := t.Run(name, func(t *testing.T) {
					cut := before.Copy(t, t.TempDir())
					check(t, powercut.Leave(cut.Dir, ops, n, way.loss, seed))
					after(cut)
				})
				if states++; !ok {
					return
				}
			}
		}
	}
	t.Logf("%d operations, %d states", len(ops), states)
}

// quick is a file system that waits for no disk: the power stays on.
func quick(h *testhost.Host) *powercut.Recorder { return &powercut.Recorder{Dir: h.Dir} }

// converge is what must be possible after any cut: boot, with a whole slot,
// recover, update, boot the update, commit it, and boot it again.
func (f *fleet) converge(t *testing.T, h *testhost.Host) {
	t.Helper()
	cut := &fleet{f.repository, f.old, f.next, h}
	for range 6 {
		booted, err := h.TryBoot(t)
		if err != nil {
			t.Fatalf("the machine does not boot: %v", err)
		}
		v, err := h.Updater(t, quick(h)).Judge(context.Background())
		check(t, err)
		if v.Outcome == string(journal.WentBack) {
			continue // the machine was reset
		}
		status := cut.status(t)
		if booted.Release == f.next && status.Running.Standing == "committed" {
			h.Boot(t)
			return
		}
		if booted.Release != f.next {
			if _, err := h.Updater(t, quick(h)).Update(context.Background(), updater.UpdateOptions{Now: true}); err != nil {
				t.Fatalf("the next update: %v", err)
			}
		}
	}
	t.Fatal("the machine never gets to the new release")
}

func TestPowerCutDuringAnUpdateLeavesAMachineThatBootsAndUpdates(t *testing.T) {
	f := newFleet(t)
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		_, err := h.Updater(t, fs).Update(context.Background(), updater.UpdateOptions{})
		check(t, err)
	}, func(h *testhost.Host) { f.converge(t, h) })
}

func TestPowerCutDuringASecondUpdateKeepsTheCommittedSlot(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	f.boot(t, partitions.SlotB)
	f.old = f.next
	cutTheNextUpdate(t, f)
}

// cutTheNextUpdate publishes 1.2.0 and cuts the update to it everywhere.
func cutTheNextUpdate(t *testing.T, f *fleet) {
	t.Helper()
	publishNext(t, f)
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		_, err := h.Updater(t, fs).Update(context.Background(), updater.UpdateOptions{})
		check(t, err)
	}, func(h *testhost.Host) { f.converge(t, h) })
}

// publishNext makes the channel name 1.2.0.
func publishNext(t *testing.T, f *fleet) {
	t.Helper()
	f.next = testhost.NewRelease(t, testhost.Spec{Version: "1.2.0", Blocks: 130})
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
}

func TestPowerCutDuringTheCommitLeavesTheOldOrTheNewRelease(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		v, err := h.Updater(t, fs).Judge(context.Background())
		check(t, err)
		if v.Outcome != "committed" {
			t.Fatalf("verdict %+v", v)
		}
	}, func(h *testhost.Host) {
		committed := record(t, h).Phase == journal.Good
		if booted := h.Boot(t); committed && booted.Slot != partitions.SlotB {
			t.Errorf("the commit was noted, and slot %s boots", booted.Slot)
		}
		f.converge(t, h)
	})
}

func TestPowerCutWhileAnArmedReleaseIsReplaced(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	cutTheNextUpdate(t, f)
}

func TestPowerCutWhileATrialIsGivenUpLeadsBack(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.host.AddHealthCheck(t, "broken", "exit 1")
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		_, err := h.Updater(t, fs).Judge(context.Background())
		check(t, err)
	}, func(h *testhost.Host) {
		if booted := h.Boot(t); booted.Slot != partitions.SlotA {
			t.Fatalf("booted slot %s: want the committed one", booted.Slot)
		}
		v, err := h.Updater(t, nil).Judge(context.Background())
		check(t, err)
		if !updater.WentBack(v.Last) {
			t.Errorf("verdict %+v is silent about the trial", v)
		}
	})
}

// TestKillAnywhereThenRerunConverges stops the agent's own writes, with the
// machine staying up: what was written stays in the page cache.
func TestKillAnywhereThenRerunConverges(t *testing.T) {
	f := newFleet(t)
	for n := 0; ; n++ {
		h := f.host.Copy(t, t.TempDir())
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
	}
}
