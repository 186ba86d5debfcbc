package updater_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/testhost"
)

// keeping is a fleet whose next release has migrations up to the format.
func keeping(t *testing.T, format int, reversible bool) *fleet {
	t.Helper()
	f := newFleet(t)
	spec := testhost.Spec{Version: "1.1.0"}
	for to := 2; to <= format; to++ {
		spec.Migrations = append(spec.Migrations, manifests.Migration{To: to, Run: fmt.Sprintf("/migrate-%d", to), Reversible: reversible})
		f.script(t, fmt.Sprintf("root/migrate-%d", to), "echo $1 $PROA_TO >> "+f.host.Path("migrated"))
	}
	spec.Etc = []manifests.EtcEntry{{Path: "etc/hosts", Mode: "0644", File: manifests.DigestOf([]byte("new"))}}
	f.next = testhost.NewRelease(t, spec)
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
	return f
}

func (f *fleet) script(t *testing.T, name, text string) {
	t.Helper()
	path := f.host.Path(name)
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
}

// migrated is what the migrations did.
func (f *fleet) migrated(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(f.host.Path("migrated"))
	if !os.IsNotExist(err) {
		check(t, err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", ")
}

// lead updates to the next release and commits it.
func (f *fleet) lead(t *testing.T) {
	t.Helper()
	f.update(t)
	f.boot(t, partitions.SlotB)
	if ran := f.migrated(t); ran != "" {
		t.Fatalf("the trial has migrated: %s", ran)
	}
	f.judge(t)
}

func TestAnUpdateTellsWhatItMeansForEtcAndVar(t *testing.T) {
	f := keeping(t, 3, false)
	f.script(t, "etc/upper/hosts", "mine")
	found, err := f.host.Updater(t, nil).Check(context.Background())
	check(t, err)
	if len(found.EtcConflicts) != 1 || found.EtcConflicts[0].Path != "etc/hosts" || found.VarFormat != 3 || !found.OneWay {
		t.Errorf("check: %+v", found.Kept)
	}
	heard := &told{}
	done, err := f.at(t, &clock{now: time.Now()}, heard).Update(context.Background(), updater.UpdateOptions{})
	check(t, err)
	if !slices.ContainsFunc(heard.events, func(e events.Event) bool {
		return e.Kind == events.EtcOverridden && e.Version == "1.1.0" && strings.HasPrefix(e.Text, "/etc/hosts is added here")
	}) {
		t.Errorf("told %+v", heard.events)
	}
	text := strings.Join(done.Notes, "\n")
	if !strings.Contains(text, "/etc/hosts is added here, and stays so: the release has it added") || !strings.Contains(text, "no way back") {
		t.Errorf("update notes %q", done.Notes)
	}
}

func TestARollbackTakesMigrationsBack(t *testing.T) {
	f := keeping(t, 3, true)
	f.lead(t)
	if ran := f.migrated(t); ran != "up 2, up 3" {
		t.Errorf("the commit ran %q", ran)
	}
	f.judge(t) // as at the next boot
	heard := &told{}
	if _, err := f.at(t, &clock{now: time.Now()}, heard).Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	if kinds := heard.kinds(); !slices.Equal(kinds, []events.Kind{events.Migrated, events.Migrated, events.Blocked, events.Armed}) {
		t.Errorf("told %v", kinds)
	}
	if ran := f.migrated(t); ran != "up 2, up 3, down 2, down 1" {
		t.Errorf("the rollback ran %q", ran)
	}
	f.boot(t, partitions.SlotA)
	f.judge(t)
	if ran := f.migrated(t); strings.Count(ran, ",") != 3 {
		t.Errorf("the older release ran %q", ran)
	}
}

func TestThereIsNoWayBackOverAMigrationThatCannotBeUndone(t *testing.T) {
	f := keeping(t, 2, false)
	f.lead(t)
	_, err := f.host.Updater(t, nil).Rollback(context.Background())
	wantRefusal(t, err, "the migration of /var to format 2 cannot be undone")
	if ran := f.migrated(t); ran != "up 2" {
		t.Errorf("ran %q", ran)
	}
	if booted := f.host.Boot(t); booted.Slot != partitions.SlotB {
		t.Errorf("slot %s boots", booted.Slot)
	}
}

func TestAReleaseThatStartsFromANewerVarIsRefused(t *testing.T) {
	f := newFleet(t)
	f.next = testhost.NewRelease(t, testhost.Spec{Version: "1.1.0", Migrations: []manifests.Migration{{To: 5, Run: "/migrate-5"}}})
	f.host.Know(f.next)
	f.repository.Publish(t, f.next)
	_, err := f.host.Updater(t, nil).Update(context.Background(), updater.UpdateOptions{})
	wantRefusal(t, err, "/var has format 1: the release starts from 4")
}

func TestAMigrationThatFailsIsToldAndTriedAgain(t *testing.T) {
	f := keeping(t, 2, true)
	f.script(t, "root/migrate-2", "echo disk is full; exit 1")
	f.update(t)
	f.boot(t, partitions.SlotB)
	heard := &told{}
	v, err := f.at(t, &clock{now: time.Now()}, heard).Judge(context.Background())
	check(t, err)
	if kinds := heard.kinds(); kinds[len(kinds)-1] != events.MigrationFailed {
		t.Errorf("told %v", kinds)
	}
	if v.Outcome != "committed" || !slices.ContainsFunc(v.Notes, func(note string) bool { return strings.Contains(note, "from format 1 to 2: disk is full") }) {
		t.Errorf("verdict %+v", v)
	}
	if problems := f.status(t).Problems; !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, "/var") }) {
		t.Errorf("status has problems %q", problems)
	}
	f.script(t, "root/migrate-2", "exit 0")
	f.boot(t, partitions.SlotB)
	f.judge(t)
	if problems := f.status(t).Problems; len(problems) > 0 {
		t.Errorf("status has problems %q", problems)
	}
}

func TestAFailedMigrationTakesTheMachineBackWhileItIsWatched(t *testing.T) {
	f := keeping(t, 2, true)
	f.script(t, "root/migrate-2", "echo $1 >> "+f.host.Path("migrated")+"; test $1 = down")
	f.host.Configure(t, "watch: 5m\n")
	f.update(t)
	f.boot(t, partitions.SlotB)
	f.judge(t)
	v, err := f.host.Updater(t, nil).Watch(context.Background())
	check(t, err)
	if v.Outcome != "went back" || !strings.Contains(v.Reason, "did not succeed") || f.migrated(t) != "up, down" {
		t.Errorf("verdict %+v, ran %q", v, f.migrated(t))
	}
	if booted := f.host.Boot(t); booted.Slot != partitions.SlotA {
		t.Errorf("slot %s boots", booted.Slot)
	}
}
