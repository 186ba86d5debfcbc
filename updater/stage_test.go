package updater_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/testhost"
)

func (f *fleet) stage(t testing.TB) {
	t.Helper()
	done, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{Stage: true})
	check(t, err)
	if done.Result != updater.ResultStaged || done.Slot != "b" {
		t.Fatalf("update did %+v: want it staged", done)
	}
}

func (f *fleet) cancel(t testing.TB) updater.Verdict {
	t.Helper()
	v, err := f.host.Updater(t, nil).Cancel(context.Background())
	check(t, err)
	return v
}

func TestStagedReleaseIsCompleteAndNotTried(t *testing.T) {
	f := newFleet(t)
	for range 2 {
		f.stage(t)
		if status := f.status(t); status.Phase != journal.Verified || status.Pending != nil {
			t.Errorf("phase %s, pending %+v: want a verified slot that nobody boots", status.Phase, status.Pending)
		}
		f.boot(t, partitions.SlotA)
		f.judge(t)
	}
	if done := f.update(t); done.Downloaded != 0 {
		t.Errorf("downloaded %d bytes of a release that was staged", done.Downloaded)
	}
	f.boot(t, partitions.SlotB)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Errorf("verdict %+v", v)
	}
}

func TestStagingTakesNoTrialBackButThatOfAnotherRelease(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	done, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{Stage: true})
	if err != nil || done.Result != updater.ResultArmed {
		t.Errorf("staging what is armed: %+v, %v", done, err)
	}
	newer := testhost.NewRelease(t, testhost.Spec{Version: "1.2.0", Blocks: 120})
	f.host.Know(newer)
	f.repository.Publish(t, newer)
	f.stage(t)
	f.boot(t, partitions.SlotA)
	if v := f.judge(t); updater.WentBack(v.Last) {
		t.Errorf("%+v is said to have gone back: it was never tried", v.Last)
	}
}

func TestCancelUndoesAnUpdateWhereverItIs(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *fleet){
		"staged": func(t *testing.T, f *fleet) { f.stage(t) },
		"armed":  func(t *testing.T, f *fleet) { f.update(t) },
		"armed, and the journal lost": func(t *testing.T, f *fleet) {
			f.update(t)
			zeroJournal(t, f.host)
		},
		"waiting for the next trial": func(t *testing.T, f *fleet) {
			f.update(t)
			f.boot(t, partitions.SlotB)
			f.boot(t, partitions.SlotA)
			f.judge(t)
		},
		"cut at a chunk": func(t *testing.T, f *fleet) {
			fails := failOnce(f.host.Dir, 20, errors.New("cut"))
			if _, err := f.host.Updater(t, fails).Update(t.Context(), updater.UpdateOptions{}); err == nil {
				t.Fatal("the update was not cut")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			begin(t, f)
			if v := f.cancel(t); v.Outcome != updater.OutcomeCancelled {
				t.Fatalf("verdict %+v", v)
			}
			wantCancelled(t, f.host)
			if v := f.cancel(t); v.Outcome != updater.OutcomeNone {
				t.Errorf("verdict %+v: want nothing to cancel", v)
			}
			f.boot(t, partitions.SlotA)
			f.judge(t)
			f.update(t)
			f.boot(t, partitions.SlotB)
			f.judge(t)
			f.boot(t, partitions.SlotB)
		})
	}
}

// wantCancelled demands that nothing of an update of slot b is left.
func wantCancelled(t testing.TB, h *testhost.Host) {
	t.Helper()
	for _, name := range []string{"esp/EFI/Linux/proa-b.efi", "esp/EFI/Linux/proa-b.new", "state/uki.download"} {
		if _, err := os.Stat(h.Path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s keeps its space: %v", name, err)
		}
	}
	if armed := h.Variable(t, "LoaderEntryOneShot"); armed != "" {
		t.Errorf("%s is armed", armed)
	}
	if r := record(t, h); r.Phase != journal.Idle || r.Target != nil || r.RetryAfter != nil || len(r.Blocked) != 0 {
		t.Errorf("journal %+v: want nothing under way and nothing blocked", r)
	}
}

func TestCancelOfAWayBackKeepsBothReleases(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	_, err := f.host.Updater(t, nil).Rollback(t.Context())
	check(t, err)
	if v := f.cancel(t); v.Outcome != updater.OutcomeCancelled {
		t.Fatalf("verdict %+v", v)
	}
	f.boot(t, partitions.SlotB)
	if blocked := f.status(t).Blocked; len(blocked) != 0 {
		t.Errorf("blocked %+v: want none", blocked)
	}
	if v, err := f.host.Updater(t, nil).Rollback(t.Context()); err != nil || v.Outcome != "armed" {
		t.Errorf("the way back is lost: %+v, %v", v, err)
	}
}

func TestCancelOfARunningTrialRollsItBack(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	if v := f.cancel(t); v.Outcome != "went back" {
		t.Errorf("verdict %+v", v)
	}
	f.boot(t, partitions.SlotA)
	if v := f.judge(t); !updater.WentBack(v.Last) {
		t.Errorf("verdict %+v is silent about the trial", v)
	}
}

func TestPowerCutDuringACancelLeavesTheOldReleaseAndAWayForward(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *fleet){
		"armed":  func(t *testing.T, f *fleet) { f.update(t) },
		"staged": func(t *testing.T, f *fleet) { f.stage(t) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			begin(t, f)
			cutEverywhere(t, f, func(h *testhost.Host, fs *powercut.Recorder) {
				v, err := h.Updater(t, fs).Cancel(context.Background())
				check(t, err)
				if v.Outcome != updater.OutcomeCancelled {
					t.Fatalf("verdict %+v", v)
				}
			}, func(t testing.TB, h *testhost.Host) {
				begun := record(t, h).Phase == journal.Cancelling
				h.Boot(t)
				v, err := h.Updater(t, quick(h)).Judge(context.Background())
				check(t, err)
				if begun && v.Outcome == "committed" {
					t.Error("a release that was being cancelled leads")
				}
				if begun && v.Outcome == "went back" { // it was armed still, and reset
					if booted := h.Boot(t); booted.Slot != partitions.SlotA {
						t.Fatalf("booted slot %s", booted.Slot)
					}
					v, err = h.Updater(t, quick(h)).Judge(context.Background())
					check(t, err)
				}
				if begun {
					wantCancelled(t, h)
					if updater.WentBack(v.Last) {
						t.Errorf("%+v is said to have gone back: it was cancelled", v.Last)
					}
				}
				f.converge(t, h)
			})
		})
	}
}

func TestUnblockLetsAReleaseInAgain(t *testing.T) {
	f := newFleet(t)
	f.host.AddHealthCheck(t, "x", "exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	blocked := f.status(t).Blocked
	if len(blocked) != 1 {
		t.Fatalf("blocked %+v", blocked)
	}
	_, err := f.host.Updater(t, nil).Unblock(t.Context(), "1.1")
	wantRefusal(t, err, `no release is blocked here by the name "1.1"`)
	for _, name := range []string{"1.1.0", blocked[0].Release.String(), blocked[0].RootHash.String(), updater.UnblockAll} {
		t.Run(name, func(t *testing.T) {
			h := f.host.Copy(t, t.TempDir())
			done, err := h.Updater(t, nil).Unblock(t.Context(), name)
			if err != nil || len(done.Unblocked) != 1 || len(record(t, h).Blocked) != 0 {
				t.Fatalf("unblocked %+v, %v", done, err)
			}
			if done, err := h.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{}); err != nil || done.Result != updater.ResultArmed {
				t.Errorf("update: %+v, %v", done, err)
			}
		})
	}
}

func TestDisarmedReleaseIsStagedStill(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	v, err := f.host.Updater(t, nil).Disarm(t.Context())
	if err != nil || v.Outcome != updater.ResultStaged {
		t.Fatalf("verdict %+v, %v", v, err)
	}
	if v, err := f.host.Updater(t, nil).Disarm(t.Context()); err != nil || v.Outcome != updater.OutcomeNone {
		t.Errorf("again: verdict %+v, %v", v, err)
	}
	f.boot(t, partitions.SlotA)
	if v := f.judge(t); updater.WentBack(v.Last) {
		t.Errorf("%+v is said to have gone back: it was never tried", v.Last)
	}
	if r := record(t, f.host); r.Tries != 0 || r.Phase != journal.Verified {
		t.Errorf("journal %+v: want a release that was never tried", r)
	}
	if done := f.update(t); done.Downloaded != 0 {
		t.Errorf("downloaded %d bytes of a release that was staged", done.Downloaded)
	}
}
