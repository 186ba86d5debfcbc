package updater_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/hostfs"
)

// What goes wrong around an update, but for power cuts.

func TestTheSameReleaseInBothSlotsIsNoObstacle(t *testing.T) {
	f := newFleet(t)
	f.host.Install(t, partitions.SlotB, f.old)
	if _, err := f.host.Updater(t, nil).Status(t.Context(), false); err != nil {
		t.Errorf("status: %v", err)
	}
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	f.boot(t, partitions.SlotB)
}

func TestAJudgeWaitsForAnotherAgent(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	lock, err := os.OpenFile(f.host.Path("run/agent.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { lock.Close() })
	if v, err := f.host.Updater(t, nil).Judge(t.Context()); err != nil || v.Outcome != "committed" {
		t.Errorf("got %q, %v", v.Outcome, err)
	}
}

// noCommit is a boot partition whose loader.conf cannot be written.
type noCommit struct{ hostfs.OS }

func (n noCommit) OpenWritable(name string) (hostfs.File, error) {
	if strings.HasSuffix(name, "loader.conf") {
		return nil, unix.EROFS
	}
	return n.OS.OpenWritable(name)
}

func TestATrialThatCannotBeCommittedIsCountedAndBlockedInTheEnd(t *testing.T) {
	f := newFleet(t)
	for try := 1; try <= 3; try++ {
		if _, err := f.host.Updater(t, nil).Update(t.Context(), updater.UpdateOptions{Now: true}); err != nil {
			t.Fatalf("try %d: %v", try, err)
		}
		f.boot(t, partitions.SlotB)
		if _, err := f.host.Updater(t, noCommit{}).Judge(t.Context()); !errors.Is(err, unix.EROFS) {
			t.Errorf("try %d: judge: %v", try, err)
		}
		if _, err := f.host.Updater(t, nil).Deadline(t.Context()); err != nil {
			t.Errorf("try %d: deadline: %v", try, err)
		}
		f.boot(t, partitions.SlotA)
		if v := f.judge(t); !updater.WentBack(v.Last) {
			t.Errorf("try %d: nobody says that it went back", try)
		}
	}
	if blocked := f.status(t).Blocked; len(blocked) != 1 {
		t.Errorf("after three tries %d releases are blocked", len(blocked))
	}
}

func TestAGivenUpReleaseThatStandsInForARottenOneIsLeftRunning(t *testing.T) {
	f := newFleet(t)
	f.host.AddHealthCheck(t, "x", "exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	f.boot(t, partitions.SlotA)
	f.judge(t)
	f.host.SetVariable(t, "LoaderEntryOneShot", "proa-b.efi") // as proa-init does when slot a does not open
	f.boot(t, partitions.SlotB)
	before := f.host.Resets(t)
	v, err := f.host.Updater(t, nil).Judge(t.Context())
	if err != nil || v.Standing != "visiting" || f.host.Resets(t) != before {
		t.Errorf("got %q, %v, %d resets more", v.Standing, err, f.host.Resets(t)-before)
	}
}

func TestTheStandInOfARottenReleaseCanBeCommittedByHand(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	f.boot(t, partitions.SlotB)
	f.host.SetVariable(t, "LoaderEntryOneShot", "proa-a.efi")
	f.boot(t, partitions.SlotA)
	var refusal *updater.Refusal
	if _, err := f.host.Updater(t, nil).Commit(t.Context()); !errors.As(err, &refusal) {
		t.Errorf("while the committed slot is whole: %v", err)
	}
	damage(t, f.host, f.host.Offset(partitions.RoleRootB)+5)
	if v, err := f.host.Updater(t, nil).Commit(t.Context()); err != nil || v.Outcome != "committed" {
		t.Errorf("got %q, %v", v.Outcome, err)
	}
}

// A release may lack what even its agent needs. The deadline must end its trial.
func TestTheDeadlineResetsATrialThatCannotBeJudged(t *testing.T) {
	for name, breakHost := range map[string]func(t *testing.T, f *fleet){
		"efivarfs is not mounted": func(t *testing.T, f *fleet) {
			names, err := filepath.Glob(f.host.Path("efivars/*"))
			if err != nil || len(names) == 0 {
				t.Fatal(names, err)
			}
			for _, name := range names {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		},
		"the boot partition does not mount": func(t *testing.T, f *fleet) {
			if err := os.Rename(f.host.Path("esp"), f.host.Path("gone")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.update(t)
			f.boot(t, partitions.SlotB)
			breakHost(t, f)
			if v, err := f.host.Updater(t, nil).Judge(t.Context()); err == nil {
				t.Errorf("judge: %+v", v)
			}
			if _, err := f.host.Updater(t, nil).Deadline(t.Context()); err != nil || f.host.Resets(t) != 1 {
				t.Errorf("deadline: %v, %d resets", err, f.host.Resets(t))
			}
		})
	}
}

// readOnlyVariables is firmware that stores nothing.
type readOnlyVariables struct{ hostfs.OS }

func (readOnlyVariables) WriteVariable(string, []byte) error { return unix.EROFS }

func TestAReleaseThatCouldNotBeArmedIsNotBlamed(t *testing.T) {
	f := newFleet(t)
	for range 4 {
		if _, err := f.host.Updater(t, readOnlyVariables{}).Update(t.Context(), updater.UpdateOptions{}); !errors.Is(err, unix.EROFS) {
			t.Errorf("update: %v", err)
		}
		f.boot(t, partitions.SlotA)
		if v, err := f.host.Updater(t, readOnlyVariables{}).Judge(t.Context()); err != nil || updater.WentBack(v.Last) {
			t.Errorf("judge: %+v, %v", v, err)
		}
	}
	if blocked := f.status(t).Blocked; len(blocked) != 0 {
		t.Errorf("%d releases are blocked", len(blocked))
	}
}

// badSector is a disk of which one journal copy cannot be read.
type badSector struct {
	hostfs.OS
	at int64
}

func (b badSector) Open(name string) (hostfs.File, error) {
	f, err := b.OS.Open(name)
	return badFile{f, b.at}, err
}

func (b badSector) OpenWritable(name string) (hostfs.File, error) {
	f, err := b.OS.OpenWritable(name)
	return badFile{f, b.at}, err
}

type badFile struct {
	hostfs.File
	at int64
}

func (b badFile) ReadAt(p []byte, off int64) (int, error) {
	if off == b.at {
		return 0, unix.EIO
	}
	return b.File.ReadAt(p, off)
}

func TestOneUnreadableCopyOfTheJournalIsNoObstacle(t *testing.T) {
	for _, distance := range []int64{0, 512 << 10} {
		f := newFleet(t)
		f.update(t)
		f.boot(t, partitions.SlotB)
		bad := badSector{at: f.host.Offset(partitions.RoleState) + distance}
		status, err := f.host.Updater(t, bad).Status(t.Context(), false)
		if err != nil || status.Running.Version != "1.1.0" {
			t.Errorf("copy at %d: %+v, %v", distance, status.Running, err)
		}
	}
}

func TestVariablesOfTheLoaderThatAreNoTextAreRemoved(t *testing.T) {
	for _, name := range []string{"LoaderEntryDefault", "LoaderEntryOneShot"} {
		f := newFleet(t)
		variable := f.host.Path("efivars/" + name + "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
		if err := os.WriteFile(variable, []byte("\x07\x00\x00\x00p\x00r\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := f.host.Updater(t, nil).Recover(t.Context())
		if err != nil || len(found.Notes) != 1 {
			t.Errorf("%s: notes %q, %v", name, found.Notes, err)
		}
		if _, err := os.Stat(variable); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}
