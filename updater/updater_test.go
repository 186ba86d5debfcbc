package updater_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/testhost"
)

// fleet is a host on 1.0.0 and a repository that offers 1.1.0.
type fleet struct {
	repository *testhost.Repository
	old, next  *testhost.Release
	host       *testhost.Host
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{
		repository: testhost.NewRepository(t),
		old:        testhost.NewRelease(t, testhost.Spec{Version: "1.0.0"}),
		next:       testhost.NewRelease(t, testhost.Spec{Version: "1.1.0"}),
	}
	f.host = testhost.New(t, f.repository, f.old)
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
	return f
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// update runs an update that must arm a trial, whenever the last one was.
func (f *fleet) update(t testing.TB) updater.Updated {
	t.Helper()
	done, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{Now: true})
	check(t, err)
	if done.Result != updater.ResultArmed {
		t.Fatalf("update did %+v: want a trial armed", done)
	}
	return done
}

func (f *fleet) judge(t testing.TB) updater.Verdict {
	t.Helper()
	v, err := f.host.Updater(t, nil).Judge(context.Background())
	check(t, err)
	return v
}

func (f *fleet) status(t testing.TB) updater.Status {
	t.Helper()
	status, err := f.host.Updater(t, nil).Status(context.Background(), false)
	check(t, err)
	return status
}

// boot boots the machine and demands the slot.
func (f *fleet) boot(t testing.TB, want partitions.Slot) {
	t.Helper()
	if booted := f.host.Boot(t); booted.Slot != want {
		t.Fatalf("booted slot %s: want %s", booted.Slot, want)
	}
}

func TestHealthyTrialLeadsFromThenOn(t *testing.T) {
	f := newFleet(t)
	f.host.AddHealthCheck(t, "10-fine", "exit 0")
	f.update(t)
	f.boot(t, partitions.SlotB)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v: want committed", v)
	}
	for range 2 {
		f.boot(t, partitions.SlotB)
		if v := f.judge(t); v.Standing != "committed" || v.Outcome != updater.OutcomeNone {
			t.Fatalf("verdict %+v: want nothing to judge", v)
		}
	}
	status := f.status(t)
	if status.Running.Version != "1.1.0" || status.Running.Since == nil || status.Last == nil || status.Last.Outcome != "committed" {
		t.Errorf("status %+v", status)
	}
	if n := f.host.Resets(t); n != 0 {
		t.Errorf("%d resets: want none", n)
	}
}

func TestInstalledSlotSatisfiesVeritysetup(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	dir := t.TempDir()
	disk, err := os.ReadFile(f.host.Path("disk.raw"))
	check(t, err)
	for name, role := range map[string]partitions.Role{"root": partitions.RoleRootB, "verity": partitions.RoleVerityB} {
		at := f.host.Offset(role)
		check(t, os.WriteFile(dir+"/"+name, disk[at:at+1<<20], 0o600))
	}
	out, err := exec.Command("veritysetup", "verify", dir+"/root", dir+"/verity", manifests.HexBytes(f.next.Root.Hash[:]).String()).CombinedOutput()
	if err != nil {
		t.Errorf("veritysetup verify: %v\n%s", err, out)
	}
}

func TestUnhealthyTrialGoesBackAndIsBlocked(t *testing.T) {
	f := newFleet(t)
	f.host.AddHealthCheck(t, "20-gateway", "echo starting; echo 503 for 120 s")
	f.host.AddHealthCheck(t, "20-gateway", "echo starting; echo 503 for 120 s; exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	v := f.judge(t)
	if v.Outcome != "went back" || v.Reason != "health check 20-gateway: 503 for 120 s" {
		t.Fatalf("verdict %+v", v)
	}
	if n := f.host.Resets(t); n != 1 {
		t.Fatalf("%d resets: want 1", n)
	}
	f.boot(t, partitions.SlotA)
	if v := f.judge(t); !updater.WentBack(v.Last) {
		t.Errorf("verdict on the old release is silent about the trial: %+v", v)
	}
	status := f.status(t)
	if len(status.Blocked) != 1 || status.Blocked[0].Version != "1.1.0" || status.Blocked[0].Reason != v.Reason {
		t.Errorf("blocked %+v: want 1.1.0", status.Blocked)
	}
	_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "blocked")

	t.Run("until somebody lifts it", func(t *testing.T) {
		f.host.AddHealthCheck(t, "20-gateway", "exit 0")
		done, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{RetryBlocked: true})
		check(t, err)
		if done.Downloaded != 0 {
			t.Errorf("downloaded %d bytes of a release that was there", done.Downloaded)
		}
		f.boot(t, partitions.SlotB)
		if v := f.judge(t); v.Outcome != "committed" {
			t.Errorf("verdict %+v", v)
		}
		if status := f.status(t); len(status.Blocked) != 0 {
			t.Errorf("a release that leads is blocked: %+v", status.Blocked)
		}
	})
}

func TestTrialWithoutVerdictIsTriedThreeTimesWithoutAnotherDownload(t *testing.T) {
	f := newFleet(t)
	for try := 1; try <= 3; try++ {
		done := f.update(t)
		if try > 1 && done.Downloaded != 0 {
			t.Errorf("try %d downloaded %d bytes", try, done.Downloaded)
		}
		f.boot(t, partitions.SlotB) // and panics
		f.boot(t, partitions.SlotA)
		v := f.judge(t)
		if !updater.WentBack(v.Last) {
			t.Fatalf("try %d: verdict %+v is silent about the trial", try, v)
		}
		if blocked := len(f.status(t).Blocked) > 0; blocked != (try == 3) {
			t.Fatalf("try %d: blocked is %t", try, blocked)
		}
	}
	_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "blocked")
}

func TestDeadlineResetsATrialOnly(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	for _, step := range []struct {
		slot   partitions.Slot
		resets int
	}{{partitions.SlotB, 1}, {partitions.SlotA, 1}} {
		f.boot(t, step.slot)
		_, err := f.host.Updater(t, nil).Deadline(context.Background())
		check(t, err)
		if n := f.host.Resets(t); n != step.resets {
			t.Fatalf("slot %s: %d resets, want %d", step.slot, n, step.resets)
		}
	}
}

func TestUpdateDuringATrialIsRefused(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "a trial of slot b is running")
	f.boot(t, partitions.SlotA)
}

func TestUpdateThatIsArmedAlreadyChangesNothing(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	before := f.status(t)
	done := f.update(t)
	if done.Downloaded != 0 {
		t.Errorf("downloaded %d bytes", done.Downloaded)
	}
	if after := f.status(t); after.Pending == nil || *after.Pending != *before.Pending {
		t.Errorf("pending %+v: want %+v", after.Pending, before.Pending)
	}
}

func TestNewerReleaseReplacesAnArmedOne(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	newer := testhost.NewRelease(t, testhost.Spec{Version: "1.2.0", Blocks: 120})
	f.host.Know(newer)
	f.repository.Publish(t, newer)
	f.update(t)
	if booted := f.host.Boot(t); booted.Release != newer {
		t.Errorf("booted %s: want 1.2.0", booted.Release.Release.Version)
	}
}

// damage flips a bit of the disk.
func damage(t testing.TB, h *testhost.Host, at int64) {
	t.Helper()
	disk, err := os.OpenFile(h.Path("disk.raw"), os.O_RDWR, 0)
	check(t, err)
	defer disk.Close()
	b := make([]byte, 1)
	_, err = disk.ReadAt(b, at)
	check(t, err)
	b[0] ^= 4
	_, err = disk.WriteAt(b, at)
	check(t, err)
}

func TestKexecIntoATrialIsNotCommitted(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.host.SetVariable(t, "LoaderEntrySelected", "proa-a.efi") // what the firmware booted
	if v := f.judge(t); v.Outcome != updater.OutcomeNone || v.Standing != "visiting" {
		t.Errorf("verdict %+v: want none", v)
	}
	_, err := f.host.Updater(t, nil).Commit(context.Background())
	wantRefusal(t, err, "only a trial can be committed")
	f.boot(t, partitions.SlotA)
}

func TestLoaderEntryDefaultIsRemovedAndSaid(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.host.SetVariable(t, "LoaderEntryDefault", "proa-b.efi")
	if status := f.status(t); len(status.Problems) != 1 {
		t.Errorf("problems %q: want the override", status.Problems)
	}
	found, err := f.host.Updater(t, nil).Recover(context.Background())
	check(t, err)
	if len(found.Notes) != 1 || f.host.Variable(t, "LoaderEntryDefault") != "" {
		t.Errorf("notes %q, variable %q", found.Notes, f.host.Variable(t, "LoaderEntryDefault"))
	}
	f.boot(t, partitions.SlotB)
	f.boot(t, partitions.SlotA)
}

func TestLostJournalLosesNoTrial(t *testing.T) {
	for name, lose := range map[string]func(*testhost.Host){
		"before the boot": func(h *testhost.Host) { zeroJournal(t, h) },
		"never":           func(*testhost.Host) {},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.update(t)
			lose(f.host)
			_, err := f.host.Updater(t, nil).Recover(context.Background())
			check(t, err)
			f.boot(t, partitions.SlotB)
			lose(f.host)
			if v := f.judge(t); v.Outcome != "committed" {
				t.Fatalf("verdict %+v", v)
			}
			f.boot(t, partitions.SlotB)
		})
	}
}

func TestArmedSlotThatRottedIsDisarmedWithoutAJournal(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	zeroJournal(t, f.host)
	damage(t, f.host, f.host.Offset(partitions.RoleRootB)+5)
	_, err := f.host.Updater(t, nil).Recover(context.Background())
	check(t, err)
	f.boot(t, partitions.SlotA)
}

func zeroJournal(t testing.TB, h *testhost.Host) {
	t.Helper()
	disk, err := os.OpenFile(h.Path("disk.raw"), os.O_RDWR, 0)
	check(t, err)
	defer disk.Close()
	_, err = disk.WriteAt(make([]byte, partitions.StateSize), h.Offset(partitions.RoleState))
	check(t, err)
}

func wantRefusal(t testing.TB, err error, text string) {
	t.Helper()
	var refusal *updater.Refusal
	if !errors.As(err, &refusal) || !contains(err.Error(), text) {
		t.Errorf("error %v: want a refusal with %q", err, text)
	}
}
