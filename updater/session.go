package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/bootcontrol"
	"github.com/proa-os/proa/updater/bootdisk"
	"github.com/proa-os/proa/updater/health"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
)

// session is the host as one command found it.
type session struct {
	*Updater
	host    Host
	facts   facts
	disk    *bootdisk.Disk
	esp     string // the boot partition's folder
	control bootcontrol.Control
	boot    bootcontrol.State // as of open or the last reload

	state    hostfs.File // the state partition
	journal  *journal.Journal
	record   journal.Record
	recorded bool // the journal held a record

	checks  *health.Checks // made by the first use
	closers []func()
}

// open takes the host's lock when the command writes, and reads everything
// that says how the host stands.
func (u *Updater) open(writable bool) (s *session, err error) {
	opened := &session{Updater: u, host: u.Host}
	s = opened
	defer func() {
		if err != nil {
			opened.close() // s is nil by then
		}
	}()
	if writable {
		if err := s.lock(); err != nil {
			return nil, err
		}
		bootdisk.CleanMounts(s.host.Run)
	}
	if err := s.openJournal(writable); err != nil {
		return nil, err
	}
	if err := s.checkRunningSlot(); err != nil {
		return nil, err
	}
	return s, s.openControl(writable)
}

// openJournal is as far as a host must work for the journal to be read.
func (s *session) openJournal(writable bool) (err error) {
	if s.facts, err = s.host.facts(); err != nil {
		return err
	}
	if s.disk, err = bootdisk.Open(s.FS, s.facts.Disk, string(s.facts.Image.Arch)); err != nil {
		return err
	}
	state, err := s.disk.OpenPartition(partitions.RoleState, writable)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() { state.Close() })
	s.state, s.journal = state, journal.New(state)
	if s.record, s.recorded, err = s.journal.Read(); err != nil {
		return err
	}
	if !s.recorded {
		s.record = journal.Record{Phase: journal.Idle}
	}
	return nil
}

// openPatiently waits for another agent to end: a trial must not go without a
// judge because somebody asked for the status.
func (u *Updater) openPatiently(ctx context.Context) (*session, error) {
	const pause, most = 250 * time.Millisecond, 480 // two minutes
	for tries := 1; ; tries++ {
		s, err := u.open(true)
		if !errors.Is(err, ErrBusy) || tries == most {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// begin opens the host for writing and recovers it; the verdict is what is to be
// said of it when nothing more is decided.
func (u *Updater) begin(ctx context.Context) (*session, Verdict, error) {
	s, err := u.open(true)
	return begun(ctx, s, err)
}

// beginPatiently is begin for those who must not be kept away by another agent.
func (u *Updater) beginPatiently(ctx context.Context) (*session, Verdict, error) {
	s, err := u.openPatiently(ctx)
	return begun(ctx, s, err)
}

func begun(ctx context.Context, s *session, err error) (*session, Verdict, error) {
	if err != nil {
		return nil, Verdict{}, err
	}
	notes, err := s.recover(ctx)
	if err != nil {
		s.close()
		return nil, Verdict{}, err
	}
	return s, s.verdict(notes), nil
}

func (s *session) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// lock takes the one lock of this host; the kernel frees it with the process.
func (s *session) lock() error {
	if err := os.MkdirAll(s.host.Run, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.host.Run, "agent.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrBusy
		}
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	s.closers = append(s.closers, func() {
		// A child that was forked just now has the file open until it executes.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
		f.Close()
	})
	return nil
}

// checkRunningSlot makes sure that the slot that proa-init named has the booted
// root hash. The other slot may hold the same release; opening it for writing
// then shows that the kernel does not use it (hostfs.FS.OpenWritable). Or it may
// be one that cannot be read.
func (s *session) checkRunningSlot() error {
	slot, err := s.disk.Slot(s.facts.Slot, false)
	if err != nil {
		return err
	}
	defer slot.Close()
	holds, err := slot.Holds(s.facts.Root)
	if err != nil {
		return fmt.Errorf("slot %s: %w", s.facts.Slot, err)
	}
	if !holds {
		return fmt.Errorf("slot %s was booted, by %s; but it does not have the booted root hash", s.facts.Slot, s.host.Boot)
	}
	return nil
}

// write replaces the journal's record after change has been applied to it.
func (s *session) write(change func(*journal.Record)) error {
	next := s.record
	next.Blocked = append([]journal.Blocked(nil), next.Blocked...)
	next.History = append([]journal.Result(nil), next.History...)
	releases := make(map[string]journal.Target, len(next.Releases))
	for slot, release := range next.Releases {
		releases[slot] = release
	}
	next.Releases = releases
	change(&next)
	if err := s.journal.Write(next); err != nil {
		return err
	}
	s.record, s.recorded = next, true
	return nil
}

// running is the booted release as far as it is known: the journal knows the
// digest of one that it saw installed.
func (s *session) running() journal.Target {
	running := journal.Target{
		Slot:          s.facts.Slot,
		Version:       s.facts.Image.Version,
		RootHash:      s.facts.Root.Hash[:],
		SecurityEpoch: s.facts.Image.SecurityEpoch,
	}
	// Of a release whose document cannot be read no format is known, which is the
	// first: a way back to it is refused rather than taken in vain.
	if state, err := s.host.releaseState(); err == nil {
		running.VarFormat = state.VarFormat()
	}
	for _, known := range []*journal.Target{s.record.Target, s.release(s.facts.Slot)} {
		if known != nil && sameRoot(known.RootHash, running.RootHash) {
			running.Release = known.Release
			break
		}
	}
	return running
}

// release is what the journal says the slot was committed with.
func (s *session) release(slot partitions.Slot) *journal.Target {
	if known, ok := s.record.Releases[slot.String()]; ok {
		return &known
	}
	return nil
}

func sameRoot(a, b manifests.HexBytes) bool { return len(a) > 0 && string(a) == string(b) }
