package updater_test

import (
	"context"
	"testing"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
)

func TestRollbackBootsTheOldReleaseAndBlocksTheNewOne(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	if v, err := f.host.Updater(t, nil).Rollback(context.Background()); err != nil || v.Outcome != "armed" {
		t.Fatalf("rollback: %+v, %v", v, err)
	}
	f.boot(t, partitions.SlotA)
	if v := f.judge(t); v.Outcome != "committed" {
		t.Fatalf("verdict %+v: want the old release to lead", v)
	}
	f.boot(t, partitions.SlotA)
	_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "rolled back by hand")
}

func TestRollbackOfATrialGoesBackWithTheNextBoot(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	if v, err := f.host.Updater(t, nil).Rollback(context.Background()); err != nil || v.Outcome != "went back" {
		t.Fatalf("rollback: %+v, %v", v, err)
	}
	f.boot(t, partitions.SlotA)
	if status := f.status(t); len(status.Blocked) != 1 {
		t.Errorf("blocked %+v: want the trial's release", status.Blocked)
	}
}

func TestRollbackToNothingIsRefused(t *testing.T) {
	f := newFleet(t)
	_, err := f.host.Updater(t, nil).Rollback(context.Background())
	wantRefusal(t, err, "slot b holds nothing")
	f.update(t)
	_, err = f.host.Updater(t, nil).Rollback(context.Background())
	wantRefusal(t, err, "never committed")
}

func TestRollbackToARottenSlotIsRefused(t *testing.T) {
	f := newFleet(t)
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	damage(t, f.host, f.host.Offset(partitions.RoleRootA)+70_000)
	if _, err := f.host.Updater(t, nil).Rollback(context.Background()); err == nil {
		t.Error("a rotten slot was armed")
	}
	f.boot(t, partitions.SlotB)
}
