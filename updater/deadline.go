package updater

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
)

// Deadline resets a machine that is on a trial still. It takes no lock and
// notes nothing, since a judge that hangs may hold both; the next boot counts
// the trial as one without a verdict.
func (u *Updater) Deadline(context.Context) (Verdict, error) {
	s, err := u.open(false)
	if err != nil {
		return u.blindDeadline(err)
	}
	defer s.close()
	v := s.verdict(nil)
	switch s.standing() {
	case lifecycle.Trial, lifecycle.Failed:
		v.Outcome, v.Reason = string(journal.WentBack), "no verdict before the deadline"
		return v, s.resetTrial()
	}
	return v, nil
}

// DeadlineOf is Deadline for a host whose settings cannot be read: a trial must
// not go on for ever because of them.
func DeadlineOf(host Host) (Verdict, error) {
	u := &Updater{Config: Config{Host: host, FS: hostfs.OS{}, Now: time.Now, Progress: progress.Silent(), Events: events.Silent()}}
	return u.Deadline(context.Background())
}

// blindDeadline is for a release that cannot even read the boot partition or
// the variables, a kernel without their drivers, say. The journal alone then
// has to tell a trial; it does only while it says armed, since from committing
// on the slot may lead, and would be reset for ever.
func (u *Updater) blindDeadline(cause error) (Verdict, error) {
	s := &session{Updater: u, host: u.Host}
	defer s.close()
	if err := s.openJournal(false); err != nil {
		return Verdict{}, cause
	}
	t := s.record.Target
	if t == nil || s.record.Phase != journal.Armed || s.record.BootID == s.facts.BootID ||
		t.Slot != s.facts.Slot || !sameRoot(t.RootHash, s.facts.Root.Hash[:]) {
		return Verdict{}, cause
	}
	v := Verdict{
		Standing: string(lifecycle.Trial),
		Version:  s.facts.Image.Version,
		Slot:     s.facts.Slot,
		Outcome:  string(journal.WentBack),
		Reason:   journal.Reason(fmt.Sprintf("no verdict before the deadline: %v", cause)),
	}
	return v, s.reset()
}

// resetTrial is reset where the table allows it: what runs must not be what the
// reset leads to.
func (s *session) resetTrial() error {
	if standing := s.standing(); !standing.MayReset() {
		return fmt.Errorf("resetting the machine: slot %s is %s, not on a trial", s.facts.Slot, standing)
	}
	s.keepOwnLastWords()
	return s.reset()
}

// reset takes the machine down at once, without asking anybody: what runs is
// not to be trusted with an orderly way.
func (s *session) reset() error {
	syncBriefly()
	if s.host.ResetFile != "" {
		return appendLine(s.host.ResetFile, "reset")
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return fmt.Errorf("resetting the machine: %w", err)
	}
	return nil
}

// syncBriefly gives up after a while: sync(2) waits for ever for a disk or a
// network file system that hangs, which may be why the machine is reset.
func syncBriefly() {
	const patience = 10 * time.Second
	done := make(chan struct{})
	go func() {
		unix.Sync()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
}
