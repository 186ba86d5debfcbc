package updater

import (
	"context"
	"errors"
	"strconv"

	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
)

// Write is one step of an update, as OrderOfWrites lists them.
type Write struct {
	Number int
	// Name is what the step does; the error of an update that ends in it begins
	// with it.
	Name string
	// Text is a sentence or two about it.
	Text string
	// After is what boots after a cut in the step or behind it, while slot a is
	// committed and b is written.
	After string

	run func(*installation, context.Context) error // nil for what an update does not do itself
}

// OrderOfWrites is an update from the first write to the commit, with slot a
// committed and running, and b the target. Each step may be cut and all of them
// run again.
func OrderOfWrites() []Write {
	return []Write{
		{0, "opening the slot",
			"the lock is taken, and the slot that does not run is opened; it must be neither the running nor the committed one",
			"a", nil},
		{1, "fetching the kernel image",
			"trusted metadata was stored file by file; the kernel image is put together in `/var/lib/proa/agent`, but for what the new root image will have of it, and must name the release's root hash",
			"a", (*installation).fetchUKI},
		// Booted after the journal is about this release, the trial of another one
		// would be judged by nobody.
		{2, "noting the start",
			"a pending trial is taken back; journal: clearing",
			"a", (*installation).noteClearing},
		{3, "disarming the slot",
			"what makes the loader boot the slot is removed: a variable, the old kernel image, and the top of its hash tree",
			"a", (*installation).disarm},
		{4, "noting the writing",
			"journal: writing",
			"a", (*installation).noteWriting},
		{5, "writing the root image",
			"the chunks of the root image that the slot does not hold are copied from the slot that runs, patched, or fetched; each is checked in the buffer that is then written. Every 64 MiB: sync, journal, and what was synced is read back from the disk",
			"a", (*installation).writeRoot},
		{6, "writing the hash tree",
			"the hash tree is completed; its top block, by which a slot is found, is written last",
			"a", (*installation).writeTree},
		{7, "verifying the slot",
			"the root hash of what was read back must be the signed one; journal: verified",
			"a", (*installation).verify},
		{8, "copying the kernel image",
			"the kernel image is completed, proven by its digest, copied to the boot partition as `proa-b.new`, synced, and read back",
			"a", (*installation).copyUKI},
		{9, "naming the kernel image",
			"it is renamed to `proa-b.efi`, synced, and read back. `update --stage` ends here",
			"a", (*installation).renameUKI},
		{10, "noting the trial",
			"journal: armed, with the number of the trial and the id of this boot",
			"a; recover arms again", (*installation).noteArmed},
		{11, "arming the trial",
			"`LoaderEntryOneShot`, or what the machine's boot control has in its place, makes the next boot try it, once",
			"b once, or a", (*installation).arm},
		{12, "rebooting",
			"the machine is rebooted, by whoever is to do that",
			"b once, then a", nil},
		{13, "judging the trial",
			"b runs: the firmware booted it, its root hash is the release's, and its health checks pass; or the machine is reset",
			"a", nil},
		{14, "committing",
			"journal: committing; the letter in `loader.conf`, or what the machine's boot control has in its place, is overwritten, synced, and read back; journal: good, with the end of the watch window",
			"a or b, and both are good", nil},
	}
}

// Which steps of OrderOfWrites an update does.
const (
	firstOfFilling = 1  // with the slot
	lastOfFilling  = 9  // with the kernel image under its name
	firstOfArming  = 10 // of a slot that is complete
	lastOfArming   = 11
)

// writes are the steps of an installation from one number to another.
func (i *installation) writes(first, last int) []step {
	var steps []step
	for _, w := range OrderOfWrites() {
		if w.run == nil || w.Number < first || w.Number > last {
			continue
		}
		run := w.run
		steps = append(steps, step{w.Name, func(ctx context.Context) error { return run(i, ctx) }})
	}
	return steps
}

// takeBack ends a pending trial, of another release most likely.
func (i *installation) takeBack() error {
	switch i.boot.Armed {
	case 0:
		return nil
	case i.target.Slot:
		if err := i.noteCancelling(); err != nil {
			return err
		}
	}
	return i.control.Rollback()
}

// noteClearing is step 2. A trial that is booted after the journal is about
// another release would be judged by nobody.
func (i *installation) noteClearing(context.Context) error {
	if err := i.takeBack(); err != nil {
		return err
	}
	before := i.record.Target
	i.again = before != nil && before.Slot == i.target.Slot && sameRoot(before.RootHash, i.target.RootHash)
	running := i.running()
	return i.write(func(r *journal.Record) {
		i.aim(r, running)
		r.Phase, r.BootID = journal.Clearing, ""
		delete(r.Releases, i.target.Slot.String())
	})
}

// aim makes the record one about this installation. What is known of an
// earlier attempt at the same release stays.
func (i *installation) aim(r *journal.Record, running journal.Target) {
	if r.Target == nil || r.Target.Release != i.target.Release {
		r.Tries, r.Offset = 0, 0
	}
	// There is nothing any more that a release under watch could go back to.
	r.RetryAfter, r.WatchUntil, r.ArmedAt = nil, nil, nil
	r.Target = &i.target
	r.Releases[running.Slot.String()] = running
}

func (i *installation) disarm(context.Context) error {
	if err := i.control.Disarm(i.target.Slot); err != nil {
		return err
	}
	// Nothing may take the slot for what it held, least of all proa-init when it
	// held the running release too.
	if err := i.slot.Forget(); err != nil {
		return err
	}
	return i.reload()
}

func (i *installation) noteWriting(context.Context) error {
	return i.write(func(r *journal.Record) { r.Phase = journal.Writing })
}

// noteStaged ends an update that is to stop before its trial is armed.
func (i *installation) noteStaged(context.Context) error {
	if err := i.takeBack(); err != nil {
		return err
	}
	if err := i.reload(); err != nil {
		return err
	}
	running := i.running()
	err := i.write(func(r *journal.Record) {
		retry := r.RetryAfter
		if r.Target == nil || r.Target.Release != i.target.Release {
			retry = nil
		}
		i.aim(r, running)
		r.Phase, r.BootID, r.Offset, r.RetryAfter = journal.Verified, "", 0, retry
	})
	if err != nil {
		return err
	}
	i.done.Result = ResultStaged
	i.emit(about(events.Staged, i.target, "", i.fetched()...))
	return nil
}

// fetched is fields of an event.
func (i *installation) fetched() []string {
	return []string{events.Bytes, strconv.FormatInt(i.done.Downloaded, 10), events.Reused, strconv.FormatInt(i.done.Reused+i.done.Copied, 10)}
}

// noteArmed is step 10.
func (i *installation) noteArmed(context.Context) error {
	running, now := i.running(), i.now()
	return i.write(func(r *journal.Record) {
		i.aim(r, running)
		r.Tries++
		r.Phase, r.BootID, r.Offset, r.ArmedAt, r.WithoutVar = journal.Armed, i.facts.BootID, 0, &now, i.lacksVar()
	})
}

// arm is step 11. Where the firmware refuses, no trial has begun, so none may be
// counted when the machine is rebooted.
func (i *installation) arm(context.Context) error {
	err := i.control.Arm(i.target.Slot)
	if err == nil {
		i.emit(about(events.Armed, i.target, "", i.fetched()...))
		return nil
	}
	if back := i.control.Rollback(); back != nil {
		return errors.Join(err, back) // it may be armed still
	}
	return errors.Join(err, i.write(func(r *journal.Record) {
		r.Tries--
		r.Phase, r.BootID, r.ArmedAt = journal.Verified, "", nil
	}))
}
