package updater

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/ukifile"
)

// Recovery is what Recover found and did, a sentence for each.
type Recovery struct {
	Notes []string `json:"notes"`
}

// Recover brings a host that was cut anywhere to a state that later work can
// start from. Every command that writes begins with it.
func (u *Updater) Recover(ctx context.Context) (Recovery, error) {
	s, err := u.open(true)
	if err != nil {
		return Recovery{}, err
	}
	defer s.close()
	notes, err := s.recover(ctx)
	return Recovery{Notes: notes}, err
}

func (s *session) recover(ctx context.Context) (notes []string, err error) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if s.boot.Override != "" {
		note("removed LoaderEntryDefault, which made %q boot in place of the committed slot", s.boot.Override)
		if err := s.clearOverride(); err != nil {
			return notes, err
		}
	}
	if s.standing() != settled {
		return notes, nil
	}
	if err := s.control.RemoveTemporary(); err != nil {
		return notes, err
	}
	if err := s.recoverSettled(ctx, note); err != nil {
		return notes, fmt.Errorf("recovering: %w", err)
	}
	return notes, s.reload()
}

// clearOverride keeps an armed trial armed.
func (s *session) clearOverride() error {
	err := s.control.Rollback()
	if err == nil && s.boot.Armed != 0 && s.boot.Armed != s.boot.Committed {
		err = s.control.Arm(s.boot.Armed)
	}
	if err != nil {
		return err
	}
	return s.reload()
}

// recoverSettled is for a machine on its committed slot.
func (s *session) recoverSettled(ctx context.Context, note func(string, ...any)) error {
	r, here := s.record, s.facts.Slot
	armed := s.boot.Armed != 0 && s.boot.Armed != here
	if !s.recorded {
		return s.recoverWithoutJournal(ctx, armed, note)
	}
	if r.Target == nil {
		return nil
	}
	switch r.Phase {
	case journal.Armed, journal.Committing:
		if r.Target.Slot == here && sameRoot(r.Target.RootHash, s.facts.Root.Hash[:]) {
			note("slot %s leads: noted the commit that was cut", here)
			return s.writeGood()
		}
	}
	switch r.Phase {
	case journal.Clearing, journal.Writing, journal.Bad:
		if armed {
			note("took back the trial of slot %s, whose release is %s", s.boot.Armed, r.Phase)
			return s.control.Rollback()
		}
	case journal.Committing:
		return s.noteNoCommit("proved healthy, but came back before its commit", note)
	case journal.Armed:
		return s.recoverArmed(armed, note)
	}
	return nil
}

// recoverArmed tells a trial that is still to come from one that was cut
// before it was armed, and from one that came back.
func (s *session) recoverArmed(armed bool, note func(string, ...any)) error {
	switch {
	case armed:
		return nil
	case s.record.BootID == s.facts.BootID:
		if !s.boot.Has(s.record.Target.Slot) {
			note("slot %s cannot be armed, its UKI is gone", s.record.Target.Slot)
			return s.write(func(r *journal.Record) { r.Phase = journal.Writing })
		}
		note("armed slot %s again", s.record.Target.Slot)
		return s.control.Arm(s.record.Target.Slot)
	}
	return s.noteNoCommit("came back without a verdict", note)
}

// noteNoCommit notes a trial that came back for a reason that may not be the
// release's; after the last one it is blocked all the same.
func (s *session) noteNoCommit(what string, note func(string, ...any)) error {
	reason := fmt.Sprintf("%s, trial %d of %d", what, s.record.Tries, s.Settings.Trials)
	note("%s %s", s.record.Target.Version, reason)
	last := s.record.Tries >= s.Settings.Trials
	return s.write(func(r *journal.Record) {
		s.noteWentBack(r, *r.Target, reason, last)
		if !last {
			r.Phase = journal.Verified
		}
	})
}

// noteWentBack is how a record looks after a trial that did not end well.
func (s *session) noteWentBack(r *journal.Record, target journal.Target, reason string, block bool) {
	r.Phase = journal.Bad
	r.Target, r.BootID = &target, s.facts.BootID
	reason = journal.Reason(reason)
	r.Last = &journal.Result{Version: target.Version, When: s.now(), Outcome: journal.WentBack, Reason: reason}
	if block {
		r.Block(journal.Blocked{Release: target.Release, RootHash: target.RootHash, Version: target.Version, Reason: reason, When: s.now()})
	}
}

// recoverWithoutJournal lets a trial stand only when the slot proves to be
// what its UKI names.
func (s *session) recoverWithoutJournal(ctx context.Context, armed bool, note func(string, ...any)) error {
	if !armed {
		return nil
	}
	root, err := s.installedRoot(s.boot.Armed)
	if err == nil {
		err = s.verifySlot(ctx, s.boot.Armed, root)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	note("took back the trial of slot %s, which nothing is known about: %v", s.boot.Armed, err)
	return s.control.Rollback()
}

// installedRoot is the root that the slot's UKI on the boot partition names.
func (s *session) installedRoot(slot partitions.Slot) (verity.Root, error) {
	path, err := s.control.KernelPath(slot)
	if err != nil {
		return verity.Root{}, err
	}
	f, err := s.FS.Open(path)
	if err != nil {
		return verity.Root{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return verity.Root{}, err
	}
	line, err := ukifile.CommandLine(f, size)
	if err != nil {
		return verity.Root{}, err
	}
	boot, err := cmdline.Parse(line)
	return boot.Root, err
}

// verifySlot reads a whole slot.
func (s *session) verifySlot(ctx context.Context, letter partitions.Slot, root verity.Root) error {
	slot, err := s.disk.slot(letter, false)
	if err != nil {
		return err
	}
	defer slot.Close()
	return s.report("verify slot", root.Size(), func(step progress.Step) error {
		return slot.Verify(ctx, root, step)
	})
}

// report runs a long step under the eyes of the progress reporter.
func (s *session) report(name string, total int64, run func(progress.Step) error) error {
	step := s.Progress.Step(name, total)
	err := run(step)
	step.Done(err)
	return err
}

// writeGood notes that the running slot leads.
func (s *session) writeGood() error {
	running := s.running()
	now := s.now()
	return s.write(func(r *journal.Record) {
		r.Phase = journal.Good
		r.Target = &running
		r.Offset, r.Tries, r.BootID = 0, 0, ""
		r.Last = &journal.Result{Version: running.Version, When: now, Outcome: journal.Committed}
		r.CommittedSince = &now
		r.Unblock(running.Release, running.RootHash)
		r.Releases[running.Slot.String()] = running
		// The floor rises when the slot to go back to satisfies it as well.
		if other, ok := r.Releases[running.Slot.Other().String()]; ok {
			r.SecurityEpoch = max(r.SecurityEpoch, min(running.SecurityEpoch, other.SecurityEpoch))
		}
	})
}
