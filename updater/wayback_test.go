package updater_test

import (
	"context"
	"strings"
	"testing"

	"github.com/proa-os/proa/partitions"
)

func TestACancelledWayBackMigratesAgain(t *testing.T) {
	f := keeping(t, 2, true)
	f.lead(t)
	_, err := f.host.Updater(t, nil).Rollback(context.Background())
	check(t, err)
	_, err = f.host.Updater(t, nil).Cancel(context.Background())
	check(t, err)
	if ran, problems := f.migrated(t), f.status(t).Problems; ran != "up 2, down 1, up 2" || len(problems) > 0 {
		t.Errorf("ran %q, and status has problems %q", ran, problems)
	}
}

func TestADaemonLeavesMigrationsToTheNextBoot(t *testing.T) {
	f := keeping(t, 2, true)
	f.lead(t)
	_, err := f.host.Updater(t, nil).Rollback(context.Background())
	check(t, err)
	u := f.host.Updater(t, nil)
	u.Sandboxed = true
	v, err := u.Cancel(context.Background())
	check(t, err)
	if ran := f.migrated(t); ran != "up 2, down 1" || len(v.Notes) == 0 || !strings.Contains(v.Notes[0], "the next boot") {
		t.Errorf("ran %q, notes %q", ran, v.Notes)
	}
	f.boot(t, partitions.SlotB)
	f.judge(t)
	if problems := f.status(t).Problems; len(problems) > 0 {
		t.Errorf("status has problems %q", problems)
	}
}

func TestAnArmedWayBackIsNotMigratedUnder(t *testing.T) {
	f := keeping(t, 2, true)
	f.lead(t)
	_, err := f.host.Updater(t, nil).Rollback(context.Background())
	check(t, err)
	f.judge(t)
	f.boot(t, partitions.SlotA)
	v := f.judge(t)
	if ran := f.migrated(t); v.Outcome != "committed" || ran != "up 2, down 1" {
		t.Errorf("%s, ran %q", v.Outcome, ran)
	}
	if problems := f.status(t).Problems; len(problems) > 0 {
		t.Errorf("status has problems %q", problems)
	}
}
