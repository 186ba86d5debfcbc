package updater

import (
	"context"
	"fmt"
	"time"

	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// watchPause is between two rounds of the health checks.
const watchPause = 10 * time.Second

// Watch goes on with the watch window of a release that was committed a while
// ago, and returns when it is over; at once when there is none. A health check
// that does not pass in it makes the machine go back to the other slot, if that
// is whole and led before: the release is blocked and the machine reset. Without
// such a slot the machine stays as it is, and the verdict has the reason.
//
// The host's lock is free while the checks run. The end of the window is in the
// journal, so Watch may be called at every start, and called again when it was cut.
func (u *Updater) Watch(ctx context.Context) (Verdict, error) {
	v, end, err := u.beginWatch(ctx)
	if err != nil || end.IsZero() {
		return v, err
	}
	watched := &session{Updater: u, host: u.Host} // enough for health checks
	for {
		err := watched.runHealthChecks(ctx)
		if err == nil {
			err = watched.isMigrated()
		}
		if ctx.Err() != nil {
			return v, context.Cause(ctx)
		} else if err != nil {
			return u.endWatch(ctx, journal.Reason(err.Error()))
		}
		left := end.Sub(u.Now())
		if left <= 0 {
			return u.endWatch(ctx, "")
		}
		if err := u.Wait(ctx, min(left, watchPause)); err != nil {
			return v, err
		}
	}
}

// beginWatch finds the end of the window, zero when there is none to watch.
func (u *Updater) beginWatch(ctx context.Context) (Verdict, time.Time, error) {
	s, v, err := u.beginPatiently(ctx)
	if err != nil {
		return v, time.Time{}, err
	}
	defer s.close()
	if s.standing() == lifecycle.Failed { // recovery has just finished a way back
		v.Outcome, v.Reason = string(journal.WentBack), s.whyFailed()
		return v, time.Time{}, s.resetTrial()
	}
	if !s.watched() {
		return v, time.Time{}, nil
	}
	now := u.Now()
	// A clock that was set back must not make the window longer than it is.
	left := min(s.record.WatchUntil.Sub(now), time.Duration(s.Settings.Watch))
	return v, now.Add(left), nil
}

// watched reports whether the running release leads, and its window is not
// over as far as the journal knows.
func (s *session) watched() bool {
	at := s.situation()
	return lifecycle.Of(at).Standing == lifecycle.Settled && at.Phase == journal.Good && at.Ours && s.record.WatchUntil != nil
}

// endWatch ends the window, well when there is no reason.
func (u *Updater) endWatch(ctx context.Context, reason string) (Verdict, error) {
	s, v, err := u.beginPatiently(ctx)
	if err != nil {
		return v, err
	}
	defer s.close()
	v.Reason = reason
	if !s.watched() { // another command has ended it
		return v, nil
	}
	running := s.running()
	if reason == "" {
		err := s.write(func(r *journal.Record) { r.WatchUntil = nil })
		if err == nil {
			s.emit(about(events.WatchPassed, running, ""))
		}
		return v, err
	}
	s.emit(about(events.HealthFailed, running, reason))
	target, err := s.rollbackTarget(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return v, context.Cause(ctx)
		}
		v.Reason, err = s.stay(reason, err)
		v.Last = s.record.Last
		return v, err
	}
	if err := s.migrateDown(ctx, target); err != nil {
		if ctx.Err() == nil {
			v.Reason, err = s.stay(reason, err)
			v.Last = s.record.Last
		}
		return v, err
	}
	v.Outcome = string(journal.WentBack)
	if err := s.noteReverting(reason); err != nil {
		return v, err
	}
	v.Last = s.record.Last
	if err := s.lead(target); err != nil {
		return v, err
	}
	return v, s.resetTrial()
}

// noteReverting blocks the running release, which leads still, and says that the
// other slot is to lead.
func (s *session) noteReverting(reason string) error {
	running := s.running()
	err := s.write(func(r *journal.Record) {
		s.noteWentBack(r, running, reason, true)
		r.Phase = journal.Reverting
	})
	if err == nil {
		s.emitWentBack(running, reason, true)
	}
	return err
}

// lead makes the other slot, which was proved to be whole, the committed one.
// The running one is then given up, in this boot.
func (s *session) lead(target journal.Target) error {
	if s.record.BootID != s.facts.BootID {
		if err := s.write(func(r *journal.Record) { r.BootID = s.facts.BootID }); err != nil {
			return err
		}
	}
	if err := s.control.Commit(target.Slot); err != nil {
		return err
	}
	return s.reload()
}

// finishGoingBack is for a way back that was cut before the other slot led.
func (s *session) finishGoingBack(ctx context.Context, note noter) error {
	target, err := s.rollbackTarget(ctx)
	switch {
	case err == nil:
		note("slot %s leads from now on: %s", target.Slot, lastReason(s.record.Last))
		return s.lead(target)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	reason, err := s.stay(lastReason(s.record.Last), err)
	note("%s", reason)
	return err
}

// stay notes that the running release failed while it was watched, and why
// it leads nevertheless.
func (s *session) stay(reason string, cause error) (string, error) {
	reason = journal.Reason(fmt.Sprintf("%s; it stays, since %v", reason, cause))
	running := s.running()
	err := s.write(func(r *journal.Record) {
		r.Phase, r.Target, r.BootID, r.WatchUntil = journal.Good, &running, "", nil
		r.Unblock(running.Release, running.RootHash)
		r.End(journal.Result{Version: running.Version, When: s.now(), Outcome: journal.Committed, Reason: reason})
	})
	if err == nil {
		s.emit(about(events.Degraded, running, reason))
	}
	return reason, err
}
