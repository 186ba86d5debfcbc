package updater

import (
	"context"
	"fmt"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/partitions/ukifile"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// Recovery is what Recover found and did, a sentence for each.
type Recovery struct {
	Notes []string        `json:"notes"`
	Last  *journal.Result `json:"last,omitempty"` // how the newest trial ended
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
	return Recovery{Notes: notes, Last: s.record.Last}, err
}

// noter takes down what recovery did, for people.
type noter func(format string, args ...any)

func (s *session) recover(ctx context.Context) (notes []string, err error) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if s.boot.Override != "" {
		note("removed LoaderEntryDefault, which made %q boot in place of the committed slot", s.boot.Override)
		if err := s.clearOverride(); err != nil {
			return notes, err
		}
	}
	if s.standing() != lifecycle.Settled {
		return notes, nil
	}
	if err := s.control.RemoveTemporary(); err != nil {
		return notes, err
	}
	if err := s.reload(); err != nil {
		return notes, err
	}
	for range lifecycle.Rounds {
		action := lifecycle.Of(s.situation()).Action
		before := len(notes)
		if err := s.act(ctx, action, note); err != nil {
			return notes, fmt.Errorf("recovering: %w", err)
		}
		if action != lifecycle.NoteNoVerdict && action != lifecycle.Block { // which have events of their own
			for _, text := range notes[before:] {
				s.emit(events.Event{Kind: events.Recovered, Text: text})
			}
		}
		if err := s.reload(); err != nil {
			return notes, err
		}
		if action == lifecycle.Nothing || action == lifecycle.Prove {
			break
		}
	}
	return notes, s.keepLastWords(ctx)
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

// act does what the table says.
func (s *session) act(ctx context.Context, action lifecycle.Action, note noter) error {
	switch action {
	case lifecycle.NoteCommit:
		note("slot %s leads: noted the commit that was cut", s.facts.Slot)
		if err := s.writeGood(); err != nil {
			return err
		}
		s.announce(ctx, hooks.Committed)
		return nil
	case lifecycle.GoBack:
		return s.finishGoingBack(ctx, note)
	case lifecycle.NoteBack:
		note("slot %s leads again, after a failure of %s", s.facts.Slot, s.record.Target.Version)
		return s.write(func(r *journal.Record) { r.Phase = journal.Bad })
	case lifecycle.Cancel:
		note("finished the cancelling of %s", s.record.Target.Version)
		return s.finishCancelling()
	case lifecycle.TakeBack:
		note("took back the trial of slot %s, whose release is %s", s.boot.Armed, s.record.Phase)
		return s.control.Rollback()
	case lifecycle.Prove:
		return s.proveArmed(ctx, note)
	case lifecycle.ArmAgain:
		note("armed slot %s again", s.record.Target.Slot)
		return s.control.Arm(s.record.Target.Slot)
	case lifecycle.StartOver:
		note("slot %s cannot be armed, its UKI is gone", s.record.Target.Slot)
		return s.write(func(r *journal.Record) { r.Phase = journal.Writing })
	case lifecycle.NoteNoVerdict:
		return s.noteNoVerdict(note, false)
	case lifecycle.Block:
		return s.noteNoVerdict(note, true)
	}
	return nil
}

// noteNoVerdict notes a trial that came back for a reason that may not be the
// release's; after the last one it is blocked all the same.
func (s *session) noteNoVerdict(note noter, last bool) error {
	what := "came back without a verdict"
	if s.record.Phase == journal.Committing {
		what = "proved healthy, but came back before its commit"
	}
	target, tries := *s.record.Target, s.record.Tries
	reason := fmt.Sprintf("%s, trial %d of %d", what, tries, s.Settings.Trials)
	note("%s %s", target.Version, reason)
	retry := s.now().Add(s.retryPause(tries))
	err := s.write(func(r *journal.Record) {
		s.noteWentBack(r, target, reason, last)
		r.BootID = "" // the boot that failed is not known, but for its place before this one
		if !last {
			r.Phase, r.RetryAfter = journal.Verified, &retry
		}
	})
	if err != nil {
		return err
	}
	if last {
		s.emitWentBack(target, reason, true)
		return nil
	}
	s.emit(about(events.TrialUndecided, target, reason, events.Tries, fmt.Sprint(tries), events.Until, timeText(retry)))
	return nil
}

// noteWentBack is how a record looks after a trial that did not end well.
func (s *session) noteWentBack(r *journal.Record, target journal.Target, reason string, block bool) {
	reason = journal.Reason(reason)
	r.End(journal.Result{
		Version: target.Version, When: s.now(), Outcome: journal.WentBack, Reason: reason, Armed: r.ArmedAt, Try: r.Tries,
	})
	r.Phase = journal.Bad
	r.Target, r.BootID = &target, s.facts.BootID
	r.ArmedAt, r.RetryAfter, r.WatchUntil = nil, nil, nil
	if block {
		r.Block(journal.Blocked{Release: target.Release, RootHash: target.RootHash, Version: target.Version, Reason: reason, When: s.now()})
	}
}

// proveArmed lets a trial of which nothing is known stand only when the slot
// proves to be what its UKI names.
func (s *session) proveArmed(ctx context.Context, note noter) error {
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
	slot, err := s.disk.Slot(letter, false)
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
	err := s.write(func(r *journal.Record) {
		r.End(journal.Result{Version: running.Version, When: now, Outcome: journal.Committed, Armed: r.ArmedAt, Try: r.Tries})
		r.Phase = journal.Good
		r.Target = &running
		r.Offset, r.Tries, r.BootID = 0, 0, ""
		r.ArmedAt, r.RetryAfter = nil, nil
		r.CommittedSince = &now
		r.Unblock(running.Release, running.RootHash)
		r.Releases[running.Slot.String()] = running
		// The floor rises when the slot to go back to satisfies it as well.
		if other, ok := r.Releases[running.Slot.Other().String()]; ok {
			r.SecurityEpoch = max(r.SecurityEpoch, min(running.SecurityEpoch, other.SecurityEpoch))
		}
	})
	if err == nil {
		s.emit(about(events.Committed, running, ""))
	}
	return err
}
