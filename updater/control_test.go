package updater_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/bootcount"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/bootcontrol"
	"github.com/proa-os/proa/updater/testhost"
)

// count does what a loader does with a counted entry that it boots.
func count(t *testing.T, h *testhost.Host, from, to string) {
	t.Helper()
	folder := h.Path("esp/" + esp.EntriesFolder)
	check(t, os.Rename(filepath.Join(folder, from), filepath.Join(folder, to)))
}

func TestBootControlIsChangedOnASettledMachineOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	use := func(name string) (updater.BootControl, error) {
		return f.host.Updater(t, nil).UseBootControl(context.Background(), name)
	}
	refused := func(name, want string) {
		t.Helper()
		var refusal *updater.Refusal
		if _, err := use(name); !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) {
			t.Errorf("use %s: %v, want a refusal with %q", name, err, want)
		}
	}
	b, err := use("counted")
	check(t, err)
	if b.Backend != "counted" || b.Counts == nil || *b.Counts || b.Committed != partitions.SlotA {
		t.Errorf("%+v", b)
	}
	u := f.host.Updater(t, nil)
	if _, err := u.Update(context.Background(), updater.UpdateOptions{Now: true}); !errors.Is(err, bootcontrol.ErrUnproven) {
		t.Fatalf("update on firmware that was not seen to count: %v", err)
	}
	count(t, f.host, "p-a+1-0.conf", "p-a+0-1.conf")
	f.update(t)
	refused("oneshot", "trial of slot b is pending")

	f.host.Configure(t, "bootControl: counted\n")
	refused("oneshot", "counted is configured")
	f.host.Configure(t, "bootControl: oneshot\n")
	if _, err := f.host.Updater(t, nil).Status(context.Background(), false); err == nil || !strings.Contains(err.Error(), "laid out for counted") {
		t.Errorf("status with a backend that the disk does not have: %v", err)
	}
}

func TestAJudgedBootIsConfirmed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	disk, err := os.OpenFile(f.host.Path("disk.raw"), os.O_RDWR, 0)
	check(t, err)
	defer disk.Close()
	at := f.host.Offset(partitions.RoleState) + bootcount.Offset
	record := bootcount.Record{}.Begin(partitions.SlotA, f.old.Root.Hash).Begin(partitions.SlotB, [32]byte{1})
	_, err = disk.WriteAt(record.Bytes(), at)
	check(t, err)
	f.status(t)
	raw := make([]byte, bootcount.Size)
	read := func() bootcount.Record {
		_, err := disk.ReadAt(raw, at)
		check(t, err)
		r, err := bootcount.Read(offset(raw))
		check(t, err)
		return r
	}
	if got := read().Unconfirmed(partitions.SlotA, f.old.Root.Hash); got != 1 {
		t.Errorf("after a status: %d", got)
	}
	f.judge(t)
	if got := read().Unconfirmed(partitions.SlotA, f.old.Root.Hash); got != 0 {
		t.Errorf("after the judge: %d", got)
	}
	if got := read().Unconfirmed(partitions.SlotB, [32]byte{1}); got != 1 {
		t.Errorf("of the other slot: %d", got)
	}
}

// offset is a state partition with the record alone.
type offset []byte

func (o offset) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, o[off-bootcount.Offset:]), nil
}

func TestWhatIsPutBesideARunningTrialDoesNotEndIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.host.UseControl(t, bootcontrol.NameCounted)
	f.update(t)
	f.boot(t, partitions.SlotB)
	check(t, os.WriteFile(f.host.Path("esp/"+esp.EntriesFolder+"/x-a.conf"), []byte("title x\n"), 0o600))
	if v := f.judge(t); v.Outcome != "committed" || len(v.Notes) == 0 {
		t.Errorf("verdict %+v", v)
	}
	f.boot(t, partitions.SlotB)
}
