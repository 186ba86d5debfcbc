package updater

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// OutcomeCancelled is the outcome of a Cancel that had something to undo.
const OutcomeCancelled = "cancelled"

// Cancel undoes an update that was begun and not booted: its trial is taken
// back, and the slot and its kernel image are given up, with the space that
// they take on the boot partition and under /var. The way back to a release
// that led here before only loses its trial. A running trial is rolled back.
// Without anything to undo the outcome is none.
func (u *Updater) Cancel(ctx context.Context) (Verdict, error) {
	s, v, err := u.begin(ctx)
	if err != nil {
		return v, err
	}
	defer s.close()
	switch s.standing() {
	case lifecycle.Trial, lifecycle.Failed:
		v.Outcome, v.Reason = string(journal.WentBack), "cancelled by hand"
		return v, s.noteGivenUp(v.Reason)
	case lifecycle.Visiting:
		return v, nil
	}
	underWay := false
	switch s.record.Phase {
	case journal.Clearing, journal.Writing, journal.Verified, journal.Armed:
		underWay = s.record.Target != nil
	}
	if !underWay && s.boot.Armed == 0 {
		return v, nil
	}
	v.Outcome, v.Slot, v.Version = OutcomeCancelled, s.facts.Slot.Other(), ""
	if underWay {
		v.Version = s.record.Target.Version
	}
	if err := s.noteCancelling(); err != nil {
		return v, err
	}
	if err := s.finishCancelling(); err != nil {
		return v, err
	}
	// A way back has brought /var to the older release's format.
	if !s.Sandboxed {
		v.Notes = append(v.Notes, s.migrate(ctx)...)
	} else if err := s.isMigrated(); err != nil {
		v.Notes = append(v.Notes, err.Error()+"; the next boot sees to that")
	}
	return v, nil
}

// Disarm takes back the trial that Update armed and keeps the release staged:
// the next boot is the committed slot. A cut in it may cost the staged release as
// well, as Cancel does. Without an armed update the outcome is none.
func (u *Updater) Disarm(ctx context.Context) (Verdict, error) {
	s, v, err := u.begin(ctx)
	if err != nil {
		return v, err
	}
	defer s.close()
	target := s.record.Target
	if s.standing() != lifecycle.Settled || s.record.Phase != journal.Armed || target == nil || s.ledBefore(*target) {
		return v, nil
	}
	v.Outcome, v.Version, v.Slot = ResultStaged, target.Version, target.Slot
	if err := s.noteCancelling(); err != nil {
		return v, err
	}
	if err := s.control.Rollback(); err != nil {
		return v, err
	}
	err = s.write(func(r *journal.Record) {
		r.Phase, r.BootID, r.ArmedAt = journal.Verified, "", nil
		r.Tries = max(0, r.Tries-1) // it was none
	})
	if err == nil {
		s.emit(about(events.Staged, *target, "its trial was taken back"))
	}
	return v, err
}

// ledBefore reports whether the release in the slot is one that was committed
// there.
func (s *session) ledBefore(target journal.Target) bool {
	known := s.release(target.Slot)
	return known != nil && sameRoot(known.RootHash, target.RootHash)
}

// noteCancelling comes before a trial is taken back: a cut in between leaves a
// trial that is known to be given up, not one that seems to have failed.
func (s *session) noteCancelling() error {
	other := s.facts.Slot.Other()
	target := &journal.Target{Slot: other}
	if known := s.record.Target; known != nil && known.Slot == other {
		target = known
	} else if root, err := s.installedRoot(other); err == nil {
		target.RootHash = root.Hash[:]
	}
	return s.write(func(r *journal.Record) {
		r.Target = target
		r.Phase, r.BootID = journal.Cancelling, s.facts.BootID
	})
}

// finishCancelling gives up what the journal is about. It may be cut anywhere
// and run again.
func (s *session) finishCancelling() error {
	target := *s.record.Target
	if err := s.control.Rollback(); err != nil {
		return err
	}
	if err := s.reload(); err != nil {
		return err
	}
	if !s.ledBefore(target) && target.Slot == s.facts.Slot.Other() && target.Slot != s.boot.Committed {
		if err := errors.Join(s.giveUpSlot(target), s.keepExtensions()); err != nil {
			return err
		}
	}
	running := s.running()
	err := s.write(func(r *journal.Record) {
		r.Phase, r.Target, r.Offset, r.Tries, r.BootID = journal.Idle, nil, 0, 0, ""
		r.ArmedAt, r.RetryAfter = nil, nil
		// A way back that was asked for had blocked it.
		r.Unblock(running.Release, running.RootHash)
	})
	if err == nil {
		s.emit(about(events.Cancelled, target, ""))
	}
	return err
}

// giveUpSlot removes what the slot would boot from, and what was downloaded
// for it, and makes it one that holds nothing.
func (s *session) giveUpSlot(target journal.Target) error {
	if err := s.control.Disarm(target.Slot); err != nil {
		return err
	}
	slot, err := s.disk.Slot(target.Slot, true)
	if err != nil {
		return err
	}
	defer slot.Close()
	if err := slot.Forget(); err != nil {
		return err
	}
	err = s.FS.Remove(s.downloadPath())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.reload())
}

// Unblocked is what an Unblock lifted.
type Unblocked struct {
	Unblocked []journal.Blocked `json:"unblocked"`
	Notes     []string          `json:"notes,omitempty"`
}

// UnblockAll names every blocked release.
const UnblockAll = "--all"

// Unblock lets a blocked release be installed again. It is named by its
// version, by the digest of its release.json, by its root hash in hex, or
// UnblockAll. That nothing is blocked by the name is a *Refusal.
func (u *Updater) Unblock(ctx context.Context, name string) (Unblocked, error) {
	s, err := u.open(true)
	if err != nil {
		return Unblocked{}, err
	}
	defer s.close()
	notes, err := s.recover(ctx)
	done := Unblocked{Notes: notes, Unblocked: []journal.Blocked{}}
	if err != nil {
		return done, err
	}
	for _, b := range s.record.Blocked {
		if name == UnblockAll || names(b, name) {
			done.Unblocked = append(done.Unblocked, b)
		}
	}
	if len(done.Unblocked) == 0 {
		if name == UnblockAll {
			return done, nil
		}
		return done, refuse("", "no release is blocked here by the name %.100q", name)
	}
	err = s.write(func(r *journal.Record) {
		for _, b := range done.Unblocked {
			r.Unblock(b.Release, b.RootHash)
			if t := r.Target; t != nil && (t.Release == b.Release && !b.Release.IsZero() || sameRoot(t.RootHash, b.RootHash)) {
				r.Tries, r.RetryAfter = 0, nil // what was held against it
			}
		}
	})
	if err != nil {
		return done, err
	}
	for _, b := range done.Unblocked {
		s.emit(about(events.Unblocked, journal.Target{Version: b.Version, Release: b.Release}, ""))
	}
	return done, nil
}

func names(b journal.Blocked, name string) bool {
	return name != "" && (string(b.Version) == name ||
		!b.Release.IsZero() && b.Release.String() == name ||
		len(b.RootHash) > 0 && strings.EqualFold(b.RootHash.String(), name))
}
