package bootcontrol

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
)

var _ Control = (*Counted)(nil)

// newCounted is a machine without variables whose firmware was seen to count,
// on slot a, with both kernel images; slot b has the older one.
func newCounted(t testing.TB) (*Counted, sdboot) {
	t.Helper()
	c, l := newUnproven(t)
	check(t, c.Prove())
	if got := l.boot(t); got != "proa-a.efi" {
		t.Fatalf("the proof booted %s", got)
	}
	return c, l
}

func newUnproven(t testing.TB) (*Counted, sdboot) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "esp")
	for _, folder := range []string{esp.UKIFolder, esp.ConfFolder} {
		check(t, os.MkdirAll(filepath.Join(dir, folder), 0o755))
	}
	check(t, os.WriteFile(filepath.Join(dir, esp.LoaderConfPath), esp.LayoutCounted.Conf(partitions.SlotA), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, esp.UKIPath(partitions.SlotA)), []byte("2"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, esp.UKIPath(partitions.SlotB)), []byte("1"), 0o600))
	c := &Counted{FS: hostfs.OS{}, ESP: dir, Vars: efivars.New(hostfs.OS{}, filepath.Join(dir, "none")), Running: partitions.SlotA}
	return c, sdboot{dir: dir}
}

func (l sdboot) wantBoots(t testing.TB, want ...string) {
	t.Helper()
	for i, kernel := range want {
		if got := l.boot(t); got != "proa-"+kernel+".efi" {
			t.Fatalf("boot %d: %s, want slot %s", i+1, got, kernel)
		}
	}
}

func entryNames(t testing.TB, c *Counted) []string {
	t.Helper()
	names, err := c.FS.List(c.entries().folder())
	check(t, err)
	return names
}

func TestCountedTrialComesBackByItself(t *testing.T) {
	for tries := 1; tries <= 3; tries++ {
		c, l := newCounted(t)
		c.Tries = tries
		check(t, c.Arm(partitions.SlotB))
		if s := stateOf(t, c); s.Armed != partitions.SlotB || s.Committed != partitions.SlotA || s.Override != "" {
			t.Errorf("armed: %+v", s)
		}
		l.wantBoots(t, append(slices.Repeat([]string{"b"}, tries), "a", "a", "a")...)
		if s := stateOf(t, c); s.Armed != 0 {
			t.Errorf("after %d boots still armed: %+v", tries, s)
		}
	}
}

func stateOf(t testing.TB, c Control) State {
	t.Helper()
	s, err := c.State()
	check(t, err)
	return s
}

func TestCountedCommitLastsAndTheWayBackIsATrialToo(t *testing.T) {
	c, l := newCounted(t)
	for _, running := range []partitions.Slot{partitions.SlotB, partitions.SlotA, partitions.SlotB} {
		check(t, c.Arm(running))
		l.wantBoots(t, running.String())
		c.Running = running
		if s := stateOf(t, c); s.Booted != running {
			t.Errorf("on trial: %+v", s)
		}
		check(t, c.Commit(running))
		if s := stateOf(t, c); s.Committed != running || s.Armed != 0 || s.Booted != running {
			t.Errorf("committed: %+v", s)
		}
		l.wantBoots(t, running.String(), running.String())
	}
	if got := entryNames(t, c); !slices.Equal(got, []string{"p-a+0-1.conf"}) {
		t.Errorf("left are %v", got)
	}
}

func TestSlotWhoseBootWasNotCountedIsNotCommitted(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, c *Counted, l sdboot){
		"no trial":  func(*testing.T, *Counted, sdboot) {},
		"not begun": func(t *testing.T, c *Counted, _ sdboot) { check(t, c.Arm(partitions.SlotB)) },
		"the firmware did not rename": func(t *testing.T, c *Counted, l sdboot) {
			check(t, c.Arm(partitions.SlotB))
			l.cut = func(string, string) {}
			l.wantBoots(t, "b", "b")
		},
		"another entry was booted": func(t *testing.T, c *Counted, l sdboot) {
			check(t, c.Arm(partitions.SlotB))
			l.wantBoots(t, "b")
			selectEntry(t, c, "proa-b.efi")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, l := newCounted(t)
			before(t, c, l)
			c.Running = partitions.SlotB
			if err := c.Commit(partitions.SlotB); !errors.Is(err, ErrUncounted) {
				t.Errorf("commit: %v", err)
			}
			if s := stateOf(t, c); s.Committed != partitions.SlotA {
				t.Errorf("%+v", s)
			}
		})
	}
}

// selectEntry gives the machine volatile variables, as the loader sets them.
func selectEntry(t testing.TB, c *Counted, id string) {
	t.Helper()
	dir := t.TempDir()
	c.Vars = efivars.New(hostfs.OS{}, dir)
	check(t, c.Vars.Write(efivars.LoaderEntrySelected, efivars.Variable{Attributes: 6, Data: efivars.EncodeString(id)}))
}

func TestLoadersThatLeaveTheCounterOutOfTheIDCommitAsWell(t *testing.T) {
	for _, id := range []string{"t-a+1-0.conf", "t-a.conf", "T-A.conf"} {
		c, l := newCounted(t)
		check(t, c.Arm(partitions.SlotB))
		l.wantBoots(t, "b")
		selectEntry(t, c, id)
		if s := stateOf(t, c); s.Booted != partitions.SlotB {
			t.Errorf("%s: %+v", id, s)
		}
		check(t, c.Commit(partitions.SlotB))
	}
}

func TestWithoutACommittedKernelTheRunningSlotMayLead(t *testing.T) {
	c, _ := newCounted(t)
	check(t, os.Remove(filepath.Join(c.ESP, esp.UKIPath(partitions.SlotA))))
	c.Running = partitions.SlotB
	check(t, c.Commit(partitions.SlotB))
}

func TestNothingIsArmedOnFirmwareThatWasNotSeenToCount(t *testing.T) {
	c, l := newUnproven(t)
	for range 2 {
		if err := c.Arm(partitions.SlotB); !errors.Is(err, ErrUnproven) {
			t.Fatalf("arm: %v", err)
		}
		l.cut = func(string, string) {} // it cannot rename
		l.wantBoots(t, "a", "a")
	}
	l.cut = nil
	l.wantBoots(t, "a")
	check(t, c.Arm(partitions.SlotB))
	l.wantBoots(t, "b", "a")
}

func TestAProofThatTheOtherSlotWasToBringIsAskedForAgain(t *testing.T) {
	c, l := newUnproven(t)
	check(t, c.Prove())
	check(t, c.conf().commit(esp.LayoutCounted, partitions.SlotB))
	c.Running = partitions.SlotB
	check(t, c.Prove())
	check(t, c.Prove())
	if got := entryNames(t, c); !slices.Equal(got, []string{"p-b+1-0.conf"}) {
		t.Fatalf("entries %v", got)
	}
	l.wantBoots(t, "b")
	check(t, c.Arm(partitions.SlotA))
	l.wantBoots(t, "a", "b")
}

// The firmware deletes the old name before it writes the new one.
func TestACutInTheFirmwaresRenameLeavesNoTrialWithoutACounter(t *testing.T) {
	for name, cut := range map[string]func(from, to string) error{
		"before":     func(string, string) error { return nil },
		"gone":       func(from, _ string) error { return os.Remove(from) },
		"short name": func(from, _ string) error { return os.Rename(from, filepath.Join(filepath.Dir(from), "T-A_1-~1.CON")) },
		"both":       func(from, to string) error { return os.Link(from, to) },
	} {
		t.Run(name, func(t *testing.T) {
			c, l := newCounted(t)
			check(t, c.Arm(partitions.SlotB))
			l.cut = func(from, to string) { check(t, cut(from, to)) }
			l.wantBoots(t, "b") // whose power is cut: it never ran
			l.cut = nil
			switch name {
			case "before":
				l.wantBoots(t, "b", "a")
			case "both":
				// Only a file system that this firmware does not have leaves this; the
				// loader cannot count then. The agent ends it.
				check(t, c.Rollback())
				l.wantBoots(t, "a")
			default:
				l.wantBoots(t, "a", "a")
			}
			check(t, c.RemoveTemporary())
			check(t, c.Arm(partitions.SlotB))
			l.wantBoots(t, "b", "a")
		})
	}
}

func TestDisarmCleansEverythingButTheProof(t *testing.T) {
	c, l := newCounted(t)
	check(t, c.Arm(partitions.SlotB))
	for _, name := range []string{"T-A_1-~1.CON", "t-a+2-1.conf", "t-b+1-0.conf", "x-a.conf", "t-a+10-0.conf"} {
		check(t, os.WriteFile(filepath.Join(c.entries().folder(), name), []byte("efi /EFI/Linux/proa-b.efi\n"), 0o600))
	}
	check(t, os.WriteFile(filepath.Join(c.ESP, esp.TempUKIPath(partitions.SlotA)), nil, 0o600))
	if s := stateOf(t, c); s.Override == "" {
		t.Errorf("foreign entries are not seen: %+v", s)
	}
	if err := c.Disarm(partitions.SlotA); err == nil || !strings.Contains(err.Error(), "committed slot") {
		t.Errorf("disarming the committed slot: %v", err)
	}
	check(t, c.Disarm(partitions.SlotB))
	if got := entryNames(t, c); !slices.Equal(got, []string{"p-a+0-1.conf"}) {
		t.Errorf("left are %v", got)
	}
	names, err := c.FS.List(filepath.Join(c.ESP, esp.UKIFolder))
	check(t, err)
	if !slices.Equal(names, []string{"proa-a.efi"}) {
		t.Errorf("left are %v", names)
	}
	l.wantBoots(t, "a")
	if err := c.Arm(partitions.SlotB); err == nil || !strings.Contains(err.Error(), "no proa-b.efi") {
		t.Errorf("arm: %v", err)
	}
	if err := c.Arm(partitions.SlotA); err == nil || !strings.Contains(err.Error(), "committed slot") {
		t.Errorf("arm: %v", err)
	}
}

func TestARunningTrialIsKeptAndOneThatIsOverIsNot(t *testing.T) {
	c, l := newCounted(t)
	c.Tries = 2
	check(t, c.Arm(partitions.SlotB))
	l.wantBoots(t, "b")
	check(t, c.RemoveTemporary())
	l.wantBoots(t, "b", "a")
	check(t, c.RemoveTemporary())
	if got := entryNames(t, c); !slices.Equal(got, []string{"p-a+0-1.conf"}) {
		t.Errorf("left are %v", got)
	}
}

func TestTheOtherLayoutIsNamedAndNothingIsDone(t *testing.T) {
	c, _ := newCounted(t)
	check(t, os.WriteFile(filepath.Join(c.ESP, esp.LoaderConfPath), esp.LoaderConf(partitions.SlotA), 0o600))
	recorder := &powercut.Recorder{Dir: c.ESP}
	c.FS = recorder
	for name, err := range map[string]error{
		"disarm": c.Disarm(partitions.SlotB), "arm": c.Arm(partitions.SlotB), "commit": c.Commit(partitions.SlotB),
		"prove": c.Prove(), "remove temporary": c.RemoveTemporary(),
	} {
		if err == nil || !strings.Contains(err.Error(), "laid out for oneshot") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ops := recorder.Ops(); len(ops) > 0 {
		t.Errorf("did %v", ops)
	}
}
