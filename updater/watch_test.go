package updater_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/testhost"
)

// watched is a fleet whose host has committed 1.1.0 a moment ago.
func watched(t testing.TB) (*fleet, *clock) {
	t.Helper()
	f := newFleet(t)
	c := &clock{now: time.Now()}
	f.update(t)
	f.boot(t, partitions.SlotB)
	v, err := f.at(t, c, nil).Judge(t.Context())
	if err != nil || v.Outcome != "committed" {
		t.Fatalf("verdict %+v, %v", v, err)
	}
	return f, c
}

func TestReleaseThatStaysHealthyIsNotWatchedAnyMore(t *testing.T) {
	f, c := watched(t)
	f.host.AddHealthCheck(t, "x", "echo >>"+f.host.Path("asked"))
	status, err := f.at(t, c, nil).Status(t.Context(), false)
	if err != nil || status.WatchUntil == nil || status.WatchUntil.Sub(c.now.Add(5*time.Minute)).Abs() > time.Second {
		t.Fatalf("watched until %v, %v: want 5 minutes", status.WatchUntil, err)
	}
	heard := &told{}
	if v, err := f.at(t, c, heard).Watch(t.Context()); err != nil || v.Outcome != updater.OutcomeNone || v.Reason != "" {
		t.Fatalf("verdict %+v, %v", v, err)
	}
	asked, err := os.ReadFile(f.host.Path("asked"))
	check(t, err)
	if len(asked) < 10 {
		t.Errorf("the health check was run %d times in 5 minutes", len(asked))
	}
	if status := f.status(t); status.WatchUntil != nil || !slices.Contains(heard.kinds(), events.WatchPassed) {
		t.Errorf("watched until %v, told %v", status.WatchUntil, heard.kinds())
	}
	f.host.AddHealthCheck(t, "x", "exit 1")
	if v, err := f.at(t, c, nil).Watch(t.Context()); err != nil || v.Outcome != updater.OutcomeNone || f.host.Resets(t) != 0 {
		t.Errorf("after the window: %+v, %v", v, err)
	}
}

func TestReleaseThatFailsWhileItIsWatchedGoesBack(t *testing.T) {
	f, c := watched(t)
	f.host.AddHealthCheck(t, "x", "echo 503; exit 1")
	heard := &told{}
	v, err := f.at(t, c, heard).Watch(t.Context())
	if err != nil || v.Outcome != "went back" || v.Reason != "health check x: 503" || f.host.Resets(t) != 1 {
		t.Fatalf("verdict %+v, %v, %d resets", v, err, f.host.Resets(t))
	}
	for _, kind := range []events.Kind{events.HealthFailed, events.WentBack, events.Blocked} {
		if !slices.Contains(heard.kinds(), kind) {
			t.Errorf("told %v: want %v", heard.kinds(), kind)
		}
	}
	for range 2 {
		f.boot(t, partitions.SlotA)
		if v := f.judge(t); !updater.WentBack(v.Last) || v.Standing != "committed" {
			t.Errorf("verdict %+v", v)
		}
	}
	if v, err := f.at(t, c, nil).Watch(t.Context()); err != nil || f.host.Resets(t) != 1 {
		t.Errorf("the old release is watched: %+v, %v", v, err)
	}
	_, err = f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{})
	wantRefusal(t, err, "503")
}

func TestReleaseThatFailsWhileItIsWatchedStaysWithoutAWayBack(t *testing.T) {
	for name, test := range map[string]struct {
		lose func(*testing.T, *fleet)
		why  string
	}{
		"rotten": {func(t *testing.T, f *fleet) { damage(t, f.host, f.host.Offset(partitions.RoleRootA)+70_000) }, "slot a"},
		"gone": {func(t *testing.T, f *fleet) {
			check(t, os.Remove(f.host.Path("esp/EFI/Linux/proa-a.efi")))
		}, "slot a holds nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			f, c := watched(t)
			test.lose(t, f)
			f.host.AddHealthCheck(t, "x", "exit 1")
			v, err := f.at(t, c, nil).Watch(t.Context())
			if err != nil || v.Outcome != updater.OutcomeNone || !contains(v.Reason, test.why) || f.host.Resets(t) != 0 {
				t.Fatalf("verdict %+v, %v, %d resets", v, err, f.host.Resets(t))
			}
			f.boot(t, partitions.SlotB)
			if v := f.judge(t); v.Standing != "committed" || !contains(v.Last.Reason, test.why) {
				t.Errorf("verdict %+v, last %+v", v, v.Last)
			}
		})
	}
}

func TestTwoReleasesThatBothFailDoNotTakeTurns(t *testing.T) {
	f, c := watched(t)
	_, err := f.at(t, c, nil).Rollback(t.Context())
	check(t, err)
	f.boot(t, partitions.SlotA)
	_, err = f.at(t, c, nil).Judge(t.Context())
	check(t, err)
	f.host.AddHealthCheck(t, "x", "exit 1")
	if v, err := f.at(t, c, nil).Watch(t.Context()); err != nil || v.Outcome != updater.OutcomeNone || !contains(v.Reason, "blocked") {
		t.Errorf("verdict %+v, %v: want it to stay", v, err)
	}
	f.boot(t, partitions.SlotA)
}

func TestReleaseThatWasCommittedByHandIsNotWatched(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	_, err := f.host.Updater(t, nil).Commit(t.Context())
	check(t, err)
	f.host.AddHealthCheck(t, "x", "exit 1")
	if v, err := f.host.Updater(t, nil).Watch(t.Context()); err != nil || v.Outcome != updater.OutcomeNone {
		t.Errorf("verdict %+v, %v", v, err)
	}
}

func TestWatchIsNoLongerThanItIsWhenTheClockIsSetBack(t *testing.T) {
	f, c := watched(t)
	c.now = c.now.Add(-1000 * time.Hour)
	began := c.now
	_, err := f.at(t, c, nil).Watch(t.Context())
	check(t, err)
	if took := c.now.Sub(began); took > 6*time.Minute {
		t.Errorf("watched for %v", took)
	}
}

func TestPowerCutOnTheWayBackFromAWatchLeavesOneReleaseThatLeads(t *testing.T) {
	f, c := watched(t)
	f.host.AddHealthCheck(t, "x", "exit 1")
	cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
		settings, err := updater.LoadSettings(h.Path("agent.yaml"))
		check(t, err)
		u, err := updater.New(updater.Config{Host: h.Host(), Settings: settings, FS: fs, Wait: c.wait, Now: func() time.Time { return c.now }})
		check(t, err)
		v, err := u.Watch(context.Background())
		check(t, err)
		if v.Outcome != "went back" {
			t.Fatalf("verdict %+v", v)
		}
	}, func(t testing.TB, h *testhost.Host) {
		noted := record(t, h).Phase == journal.Reverting
		for range 3 {
			booted := h.Boot(t)
			v, err := h.Updater(t, quick(h)).Judge(context.Background())
			check(t, err)
			if v.Standing == "failed" {
				continue // the machine was reset
			}
			if v.Standing != "committed" || noted && (booted.Slot != partitions.SlotA || !updater.WentBack(v.Last)) {
				t.Errorf("slot %s: verdict %+v, last %+v", booted.Slot, v, v.Last)
			}
			if again := h.Boot(t); again.Slot != booted.Slot {
				t.Errorf("slot %s leads, and then slot %s", booted.Slot, again.Slot)
			}
			return
		}
		t.Error("the machine goes on being reset")
	})
}
