package updater_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater"
	"github.com/proa-os/proa/updater/bootcontrol"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/hostfs/powercut"
	"github.com/proa-os/proa/updater/testhost"
)

// feat is a piece of the updater's work, and what it promises.
type feat struct {
	controls []string // that it is played with; nil means all
	name     string
	spec     testhost.Spec // of the release that is offered at first
	begin    func(t testing.TB, f *fleet)
	work     func(t testing.TB, h *testhost.Host, fs hostfs.FS) error
	// done holds of the first boot after the work said that it was done. Optional.
	done func(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted)
	// always holds of the first boot after any cut. Optional.
	always func(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted)
	// end holds when the host has converged. Optional.
	end func(t testing.TB, f *fleet, h *testhost.Host)
	// kept are files that are durable by themselves.
	kept []string
}

func update(o updater.UpdateOptions) func(testing.TB, *testhost.Host, hostfs.FS) error {
	return func(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
		_, err := h.Updater(t, fs).Update(context.Background(), o)
		return err
	}
}

func judge(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
	_, err := h.Updater(t, fs).Judge(context.Background())
	return err
}

func cancelWork(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
	v, err := h.Updater(t, fs).Cancel(context.Background())
	if err == nil && v.Outcome != updater.OutcomeCancelled {
		return fmt.Errorf("verdict %+v", v)
	}
	return err
}

// watch finds the health checks failing.
func watch(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
	settings, err := updater.LoadSettings(h.Path("agent.yaml"))
	check(t, err)
	u, err := updater.New(updater.Config{
		Host: h.Host(), Settings: settings, FS: fs, Wait: func(context.Context, time.Duration) error { return nil },
	})
	check(t, err)
	_, err = u.Watch(context.Background())
	return err
}

// armed, tried and led are how far an update has come.
func armed(t testing.TB, f *fleet) {
	if _, err := f.host.Updater(t, quick(f.host)).Update(context.Background(), updater.UpdateOptions{Now: true}); err != nil {
		t.Fatal(err)
	}
}

func tried(t testing.TB, f *fleet) {
	armed(t, f)
	f.boot(t, partitions.SlotB)
}

func led(t testing.TB, f *fleet) {
	tried(t, f)
	check(t, judge(t, f.host, quick(f.host)))
	f.boot(t, partitions.SlotB)
}

func second(t testing.TB, f *fleet) {
	led(t, f)
	f.old = f.next
	publishNext(t, f)
}

func sick(begin func(testing.TB, *fleet)) func(testing.TB, *fleet) {
	return func(t testing.TB, f *fleet) {
		begin(t, f)
		f.host.AddHealthCheck(t, "broken", "exit 1")
	}
}

func staged(t testing.TB, f *fleet) {
	check(t, update(updater.UpdateOptions{Stage: true})(t, f.host, quick(f.host)))
}

// isSlot demands a slot of the first boot.
func isSlot(slot partitions.Slot) func(testing.TB, *fleet, *testhost.Host, testhost.Booted) {
	return func(t testing.TB, _ *fleet, _ *testhost.Host, booted testhost.Booted) {
		if booted.Slot != slot {
			t.Fatalf("slot %s boots: want slot %s", booted.Slot, slot)
		}
	}
}

// isNext demands the first boot to be the new release's trial.
func isNext(t testing.TB, f *fleet, _ *testhost.Host, booted testhost.Booted) {
	if booted.Release != f.next {
		t.Fatalf("%s boots: want %s", booted.Release.Release.Version, f.next.Release.Version)
	}
}

// heal removes the failing health check, once the way back is told of.
func heal(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted) {
	if booted.Slot == partitions.SlotA {
		v, err := h.Updater(t, quick(h)).Judge(context.Background())
		check(t, err)
		if !updater.WentBack(v.Last) {
			t.Fatalf("verdict %+v is silent about the failure", v)
		}
	}
	h.AddHealthCheck(t, "broken", "exit 0")
}

// damagedWayBack has a committed slot b, and a slot a that rotted.
func damagedWayBack(t testing.TB, f *fleet) {
	f.repository.Publish(t, f.old)
	f.repository.Publish(t, f.next)
	led(t, f)
	for _, at := range []int64{f.host.Offset(partitions.RoleRootA) + 200_000, f.host.Offset(partitions.RoleVerityA) + 70} {
		damage(t, f.host, at)
	}
	damageFile(t, f.host.Path("esp/EFI/Linux/proa-a.efi"), 700)
}

func repairA(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
	_, err := h.Updater(t, fs).Repair(context.Background(), updater.RepairOptions{Slot: partitions.SlotA})
	return err
}

func isWholeA(t testing.TB, f *fleet, h *testhost.Host) {
	if err := h.Verify(partitions.SlotA, f.old.Root); err != nil {
		t.Fatalf("slot a is not whole: %v", err)
	}
	kernel, err := os.ReadFile(h.Path("esp/EFI/Linux/proa-a.efi"))
	if err != nil || string(kernel) != string(f.old.UKI) {
		t.Fatalf("the kernel image of slot a is not whole (%v)", err)
	}
}

// migrating is a release that migrates /var, and takes that back.
var migrating = testhost.Spec{Version: "1.1.0", Migrations: []manifests.Migration{{To: 2, Run: "/migrate", Reversible: true}}}

func withScript(begin func(testing.TB, *fleet)) func(testing.TB, *fleet) {
	return func(t testing.TB, f *fleet) {
		check(t, os.MkdirAll(f.host.Path("root"), 0o755))
		check(t, os.WriteFile(f.host.Path("root/migrate"), []byte("#!/bin/sh\nexit 0\n"), 0o755))
		begin(t, f)
	}
}

// isMigrated demands that what leads at the end works with the format of /var.
func isMigrated(t testing.TB, f *fleet, h *testhost.Host) {
	format, err := os.ReadFile(h.Path("format.json"))
	if err != nil || !contains(string(format), "2") {
		t.Fatalf("/var has format %s (%v): want 2", format, err)
	}
}

// isGivenUp demands that slot b is nothing any more.
func isGivenUp(t testing.TB, f *fleet, h *testhost.Host) {
	wantCancelled(t, h)
	if holds, err := h.Holds(partitions.SlotB, f.next.Root); holds || err != nil {
		t.Fatalf("slot b holds the release: %t, %v", holds, err)
	}
}

// extended is a release with extensions.
var extended = testhost.Spec{Version: "1.1.0", Extensions: map[string]int{"debug": 40 << 10, "site": 3000}}

// hasExtensions demands that the new release has its extensions when it boots.
func hasExtensions(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted) {
	if booted.Release != f.next {
		return
	}
	for _, x := range f.next.Extensions.Extensions {
		wantAttached(t, h, x)
	}
}

var feats = []feat{
	{name: "install", work: update(updater.UpdateOptions{}), done: isNext},
	{name: "install once more", begin: second, work: update(updater.UpdateOptions{}), done: isNext,
		always: func(t testing.TB, f *fleet, _ *testhost.Host, booted testhost.Booted) {
			if booted.Release != f.old && booted.Release != f.next {
				t.Fatalf("%s boots", booted.Release.Release.Version)
			}
		}},
	// Where the loader does not tell proa-init which slot it has booted, that takes a
	// of two with the same release.
	{name: "install over the running release", controls: []string{bootcontrol.NameOneShot}, begin: func(t testing.TB, f *fleet) {
		second(t, f)
		f.host.Install(t, partitions.SlotA, f.old)
	}, work: update(updater.UpdateOptions{}), done: isNext},
	{name: "install over an armed release", begin: func(t testing.TB, f *fleet) {
		armed(t, f)
		publishNext(t, f)
	}, work: update(updater.UpdateOptions{}), done: isNext},
	{name: "resume", begin: func(t testing.TB, f *fleet) {
		stop := errors.New("stopped")
		_, err := f.host.Updater(t, failOnce(f.host.Dir, 24, stop)).Update(context.Background(), updater.UpdateOptions{})
		if !errors.Is(err, stop) {
			t.Fatalf("the update was not stopped: %v", err)
		}
	}, work: update(updater.UpdateOptions{}), done: isNext},
	{name: "install with extensions", controls: []string{bootcontrol.NameOneShot}, spec: extended, work: update(updater.UpdateOptions{}), done: isNext, always: hasExtensions},
	{name: "cancel with extensions", controls: []string{bootcontrol.NameOneShot}, spec: extended, begin: armed, work: cancelWork, done: func(t testing.TB, f *fleet, h *testhost.Host, _ testhost.Booted) {
		isGivenUp(t, f, h)
		wantStored(t, h)
	}},
	{name: "arm", begin: staged, work: update(updater.UpdateOptions{}), done: isNext},
	{name: "stage", work: update(updater.UpdateOptions{Stage: true}), done: isSlot(partitions.SlotA), always: isSlot(partitions.SlotA)},
	{name: "commit", begin: tried, work: judge, done: isSlot(partitions.SlotB)},
	{name: "give up", begin: sick(tried), work: judge, done: isSlot(partitions.SlotA), always: func(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted) {
		isSlot(partitions.SlotA)(t, f, h, booted)
		heal(t, f, h, booted)
	}},
	{name: "roll back", begin: led, work: func(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
		_, err := h.Updater(t, fs).Rollback(context.Background())
		return err
	}, done: isSlot(partitions.SlotA)},
	{name: "roll back a trial", begin: tried, work: func(t testing.TB, h *testhost.Host, fs hostfs.FS) error {
		_, err := h.Updater(t, fs).Rollback(context.Background())
		return err
	}, done: isSlot(partitions.SlotA), always: isSlot(partitions.SlotA)},
	{name: "cancel", begin: armed, work: cancelWork, done: func(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted) {
		isSlot(partitions.SlotA)(t, f, h, booted)
		isGivenUp(t, f, h)
	}},
	{name: "cancel what is staged", begin: staged, work: cancelWork, always: isSlot(partitions.SlotA), done: func(t testing.TB, f *fleet, h *testhost.Host, booted testhost.Booted) {
		isGivenUp(t, f, h)
	}},
	{name: "repair", begin: damagedWayBack, work: repairA, always: isSlot(partitions.SlotB),
		done: func(t testing.TB, f *fleet, h *testhost.Host, _ testhost.Booted) { isWholeA(t, f, h) },
		end: func(t testing.TB, f *fleet, h *testhost.Host) {
			if err := repairA(t, h, quick(h)); err != nil {
				t.Fatalf("the next repair: %v", err)
			}
			isWholeA(t, f, h)
		}},
	{name: "go back from a watch", begin: sick(led), work: watch, done: isSlot(partitions.SlotA), always: heal},
	{name: "commit and migrate", spec: migrating, begin: withScript(tried), work: judge, done: isSlot(partitions.SlotB), end: isMigrated, kept: []string{"format.json"}},
	{name: "take a migration back in a watch", spec: migrating, begin: sick(withScript(led)), work: watch, done: isSlot(partitions.SlotA), always: heal, end: isMigrated, kept: []string{"format.json"}},
}

// on is the feat's work on a machine with a boot control, recorded.
func (w feat) on(t testing.TB, control string) *yard {
	t.Helper()
	f := newFleet(t)
	if w.spec.Version != "" || report.full {
		w.spec.Version = "1.1.0"
		w.spec.ChunkSize = int64(report.sizeOf(64, 16)) << 10 // more operations
		f.next = testhost.NewRelease(t, w.spec)
		f.host.Know(f.next)
		f.repository.Publish(t, f.next)
	}
	f.host.UseControl(t, control)
	if w.begin != nil {
		w.begin(t, f)
	}
	return newYard(t, f, func(h *testhost.Host, fs *powercut.Recorder) { check(t, w.work(t, h, fs)) },
		func(t testing.TB, h *testhost.Host, whole bool) { w.judge(t, f, h, whole) }, w.kept...)
}

// judge looks at a host after a cut, and makes it converge.
func (w feat) judge(t testing.TB, f *fleet, h *testhost.Host, whole bool) {
	t.Helper()
	booted := boots(t, h)
	if whole && w.done != nil {
		w.done(t, f, h, booted)
	}
	if w.always != nil {
		w.always(t, f, h, booted)
	}
	f.convergeFrom(t, h, booted)
	if w.end != nil {
		w.end(t, f, h)
	}
}

// onEveryControl runs a test for each feat with each boot control.
func onEveryControl(t *testing.T, run func(t *testing.T, w feat, control string)) {
	for _, control := range testhost.Controls() {
		for _, w := range feats {
			if w.controls != nil && !slices.Contains(w.controls, control) {
				continue
			}
			t.Run(control+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				run(t, w, control)
			})
		}
	}
}

func TestPowerCutAnywhereLeavesAVerifiedMachineThatConverges(t *testing.T) {
	onEveryControl(t, func(t *testing.T, w feat, control string) { w.on(t, control).cutEverywhere(t) })
}
