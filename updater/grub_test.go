package updater_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/bootcontrol"
)

// newGRUBFleet is a fleet whose host starts with GRUB.
func newGRUBFleet(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	f.host.UseControl(t, bootcontrol.NameGRUB)
	return f
}

// bootGRUB holds what GRUB's own tool reads against what the machine boots.
func (f *fleet) bootGRUB(t *testing.T, want partitions.Slot) {
	t.Helper()
	out, err := exec.Command("grub-editenv", f.host.Path("esp/grub/grubenv"), "list").CombinedOutput()
	if err != nil {
		t.Fatalf("grub-editenv: %v\n%s", err, out)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	chosen := values["proa_once"]
	if chosen == "0" {
		chosen = values["proa_default"]
	}
	if chosen != want.String() {
		t.Errorf("GRUB reads %v: want slot %s", values, want)
	}
	f.boot(t, want)
}

func TestMachineWithGRUBUpdatesAndGoesBack(t *testing.T) {
	t.Parallel()
	f := newGRUBFleet(t)
	f.bootGRUB(t, partitions.SlotA)
	f.judge(t)
	f.update(t)
	f.bootGRUB(t, partitions.SlotB)
	f.bootGRUB(t, partitions.SlotA) // it came to no judgement
	if v := f.judge(t); v.Standing != "committed" || v.Last == nil || v.Last.Outcome != "went back" {
		t.Fatalf("verdict %+v: want the trial to have gone back", v)
	}
	f.update(t)
	f.bootGRUB(t, partitions.SlotB)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v: want committed", v)
	}
	for range 2 {
		f.bootGRUB(t, partitions.SlotB)
		if v := f.judge(t); v.Standing != "committed" {
			t.Fatalf("verdict %+v: want nothing to judge", v)
		}
	}
	if _, err := f.host.Updater(t, nil).Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.bootGRUB(t, partitions.SlotA)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v: want the way back committed", v)
	}
}

func TestKexecIntoTheOtherSlotOfAMachineWithGRUBIsNoTrial(t *testing.T) {
	t.Parallel()
	f := newGRUBFleet(t)
	f.bootGRUB(t, partitions.SlotA)
	f.update(t)
	// The other slot comes up, and GRUB knows nothing of it.
	f.host.Kexec(t, partitions.SlotB)
	if v := f.judge(t); v.Standing != "visiting" || v.Outcome == "committed" {
		t.Fatalf("verdict %+v: want no trial", v)
	}
}
