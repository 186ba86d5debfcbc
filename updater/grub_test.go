package updater_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/bootcontrol"
)

// newGRUBFleet is a fleet whose host starts with GRUB.
func newGRUBFleet(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	env, err := bootcontrol.NewGRUBEnv(partitions.SlotA)
	check(t, err)
	check(t, os.Mkdir(f.host.Path("esp/grub"), 0o755))
	check(t, os.WriteFile(f.host.Path("esp/grub/grubenv"), env, 0o600))
	check(t, os.WriteFile(f.host.Path("esp/"+bootcontrol.ChoicePath), []byte("grub\n"), 0o600))
	return f
}

// bootGRUB plays GRUB's script with GRUB's own tool, and the rest of the boot.
func (f *fleet) bootGRUB(t *testing.T, want partitions.Slot) {
	t.Helper()
	file := f.host.Path("esp/grub/grubenv")
	editenv := func(args ...string) string {
		out, err := exec.Command("grub-editenv", append([]string{file}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("grub-editenv %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	values := map[string]string{}
	for line := range strings.Lines(editenv("list")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	chosen := values["proa_once"]
	if chosen == "0" {
		chosen = values["proa_default"]
	}
	editenv("set", "proa_once=0", "proa_booted="+chosen)
	slot, err := partitions.ParseSlot(chosen)
	check(t, err)
	// What comes after the choice is as with any loader.
	check(t, os.WriteFile(f.host.Path("esp/"+esp.LoaderConfPath), esp.LoaderConf(slot), 0o600))
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
	check(t, os.WriteFile(f.host.Path("esp/"+esp.LoaderConfPath), esp.LoaderConf(partitions.SlotB), 0o600))
	f.boot(t, partitions.SlotB)
	if v := f.judge(t); v.Standing != "visiting" || v.Outcome == "committed" {
		t.Fatalf("verdict %+v: want no trial", v)
	}
}
