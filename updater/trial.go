package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// Verdict is what a judge found.
type Verdict struct {
	Standing string            `json:"standing"` // committed, trial, failed or visiting: how the machine stood when it was asked
	Version  manifests.Version `json:"version"`
	Slot     partitions.Slot   `json:"slot"`
	Outcome  string            `json:"outcome"` // committed, went back, armed, cancelled, none
	Reason   string            `json:"reason,omitempty"`
	Last     *journal.Result   `json:"last,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
}

// OutcomeNone is the outcome of a judgement that decided nothing.
const OutcomeNone = "none"

// Judge decides about a running trial: it runs the health checks and commits
// the slot, or notes why not and resets the machine. Without a trial it only
// recovers. After a reset that is not real it returns.
func (u *Updater) Judge(ctx context.Context) (Verdict, error) {
	s, v, err := u.beginPatiently(ctx)
	if err != nil {
		return v, err
	}
	defer s.close()
	if degraded := s.degraded(s.standing()); degraded != "" {
		s.emit(about(events.Degraded, s.running(), degraded))
	}
	switch s.standing() {
	case lifecycle.Failed:
		v.Outcome, v.Reason = string(journal.WentBack), s.whyFailed()
		return v, s.resetTrial()
	case lifecycle.Trial:
	default:
		v.Notes = append(append(v.Notes, s.confirmBoot()...), s.migrate(ctx)...)
		return v, nil
	}
	running := s.running()
	s.emit(about(events.TrialStarted, running, ""))
	if err := s.checkTrial(ctx); err != nil {
		if ctx.Err() != nil {
			return v, context.Cause(ctx) // no verdict: the trial goes on
		}
		v.Outcome, v.Reason = string(journal.WentBack), journal.Reason(err.Error())
		s.emit(about(events.HealthFailed, running, v.Reason))
		return v, s.giveUp(v.Reason)
	}
	v.Outcome = string(journal.Committed)
	if err := s.commit(time.Duration(s.Settings.Watch)); err != nil {
		return v, err
	}
	s.announce(ctx, hooks.Committed)
	v.Notes = append(append(v.Notes, s.confirmBoot()...), s.migrate(ctx)...)
	return v, nil
}

// whyFailed is why the running release was given up.
func (s *session) whyFailed() string {
	if s.record.Phase == journal.Cancelling {
		return "its update was being cancelled"
	}
	return lastReason(s.record.Last)
}

func (s *session) verdict(notes []string) Verdict {
	return Verdict{
		Standing: string(s.standing()),
		Version:  s.facts.Image.Version,
		Slot:     s.facts.Slot,
		Outcome:  OutcomeNone,
		Last:     s.record.Last,
		Notes:    notes,
	}
}

// commit is step 14: the running slot leads from now on, and is watched for a
// while.
func (s *session) commit(watch time.Duration) error {
	running, until := s.running(), s.now().Add(watch)
	err := s.write(func(r *journal.Record) {
		r.Phase, r.Target, r.WatchUntil = journal.Committing, &running, nil
		if watch > 0 {
			r.WatchUntil = &until
		}
	})
	if err != nil {
		return err
	}
	if err := s.control.Commit(s.facts.Slot); err != nil {
		return err
	}
	if err := s.reload(); err != nil {
		return err
	}
	return s.writeGood()
}

// giveUp notes why the running trial failed, blocks it, and resets.
func (s *session) giveUp(reason string) error {
	if err := s.noteGivenUp(reason); err != nil {
		// The committed slot must come back whether or not this can be noted.
		return fmt.Errorf("%w (%v)", err, s.resetTrial())
	}
	return s.resetTrial()
}

func (s *session) noteGivenUp(reason string) error {
	running := s.running()
	if err := s.write(func(r *journal.Record) { s.noteWentBack(r, running, reason, true) }); err != nil {
		return err
	}
	s.emitWentBack(running, reason, true)
	return s.control.Rollback()
}

// Commit makes the slot of a running trial lead without asking the health
// checks, which then do not watch it either. On the committed slot there is
// nothing to do.
func (u *Updater) Commit(ctx context.Context) (Verdict, error) {
	s, v, err := u.begin(ctx)
	if err != nil {
		return v, err
	}
	defer s.close()
	switch s.standing() {
	case lifecycle.Settled:
		return v, nil
	case lifecycle.Trial:
		v.Outcome = string(journal.Committed)
		if err := s.commit(0); err != nil {
			return v, err
		}
		s.announce(ctx, hooks.Committed)
		v.Notes = append(v.Notes, s.migrate(ctx)...)
		return v, nil
	case lifecycle.Visiting:
		lost, err := s.committedIsLost(ctx)
		if err != nil {
			return v, err
		}
		if lost {
			v.Outcome = string(journal.Committed)
			return v, s.commit(0)
		}
	}
	return v, refuse("", "slot %s runs, but not as a trial that this host armed: only a trial can be committed", s.facts.Slot)
}

// committedIsLost reports whether the firmware booted this slot, which is whole,
// while the committed one is not: proa-init came here since there is nothing to
// go back to.
func (s *session) committedIsLost(ctx context.Context) (bool, error) {
	if s.boot.Booted != s.facts.Slot {
		return false, nil
	}
	if err := s.verifySlot(ctx, s.facts.Slot, s.facts.Root); err != nil {
		return false, err
	}
	root, err := s.installedRoot(s.boot.Committed)
	if err == nil {
		err = s.verifySlot(ctx, s.boot.Committed, root)
	}
	return err != nil && ctx.Err() == nil, context.Cause(ctx)
}

// Rollback takes the machine to the other slot with the next boot. On a trial
// that ends the trial and blocks its release. On the committed slot it arms a
// trial of the other slot, which leads if it proves healthy once more; the
// release that runs now is blocked, so that the next update does not bring it
// back at once.
func (u *Updater) Rollback(ctx context.Context) (Verdict, error) {
	const reason = "rolled back by hand"
	s, v, err := u.begin(ctx)
	if err != nil {
		return v, err
	}
	defer s.close()
	v.Reason = reason
	switch s.standing() {
	case lifecycle.Trial, lifecycle.Failed:
		v.Outcome = string(journal.WentBack)
		return v, s.noteGivenUp(reason)
	case lifecycle.Visiting:
		return v, refuse("", "slot %s runs without a trial: a reboot leads to the committed slot %s", s.facts.Slot, s.boot.Committed)
	}
	if err := s.mayArm(); err != nil {
		return v, err
	}
	target, err := s.rollbackTarget(ctx)
	if err != nil {
		return v, err
	}
	if err := s.migrateDown(ctx, target); err != nil {
		return v, err
	}
	running, before, now := s.running(), s.record, s.now()
	err = s.write(func(r *journal.Record) {
		r.Releases[running.Slot.String()] = running
		r.Phase, r.Target, r.BootID, r.Tries, r.Offset = journal.Armed, &target, s.facts.BootID, s.Settings.Trials, 0
		r.ArmedAt, r.RetryAfter, r.WatchUntil, r.WithoutVar = &now, nil, nil, s.lacksVar()
		r.Block(journal.Blocked{Release: running.Release, RootHash: running.RootHash, Version: running.Version, Reason: reason, When: s.now()})
	})
	if err != nil {
		return v, err
	}
	if err := s.control.Arm(target.Slot); err != nil {
		if back := s.control.Rollback(); back != nil {
			return v, errors.Join(err, back) // it may be armed still
		}
		err = errors.Join(err, s.write(func(r *journal.Record) { *r = before }))
		v.Notes = append(v.Notes, s.migrate(ctx)...)
		return v, err
	}
	v.Outcome, v.Version, v.Slot = ResultArmed, target.Version, target.Slot
	s.emit(about(events.Blocked, running, reason))
	s.emit(about(events.Armed, target, reason))
	return v, nil
}

// rollbackTarget proves that the other slot is whole and may be gone back to.
func (s *session) rollbackTarget(ctx context.Context) (journal.Target, error) {
	other := s.facts.Slot.Other()
	if !s.boot.Has(other) {
		return journal.Target{}, refuse("", "slot %s holds nothing to go back to", other)
	}
	root, err := s.installedRoot(other)
	if err != nil {
		return journal.Target{}, fmt.Errorf("slot %s: %w", other, err)
	}
	target := journal.Target{Slot: other, RootHash: root.Hash[:]}
	known := s.release(other)
	if known == nil || !bytes.Equal(known.RootHash, root.Hash[:]) {
		return journal.Target{}, refuse("", "the release in slot %s was never committed here: update brings a new one", other)
	}
	target = *known
	if b, blocked := s.record.BlockOf(target.Release, target.RootHash); blocked {
		return journal.Target{}, refuse(target.Version, "blocked on this host: %s", b.Reason)
	}
	if err := s.mayGoBackTo(target); err != nil {
		return journal.Target{}, err
	}
	if err := s.opensAgain(target); err != nil {
		return journal.Target{}, err
	}
	if err := s.verifySlot(ctx, other, root); err != nil {
		return journal.Target{}, fmt.Errorf("slot %s: %w", other, err)
	}
	return target, s.hasExtensionsOf(target.Version, other, root.Hash[:])
}

// Reboot asks the service manager for an orderly reboot.
func (u *Updater) Reboot(ctx context.Context) error {
	if u.Host.ResetFile != "" {
		return appendLine(u.Host.ResetFile, "reboot")
	}
	out, err := exec.CommandContext(ctx, "systemctl", "reboot").CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl reboot: %w: %s", err, journal.Reason(string(out)))
	}
	return nil
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}
