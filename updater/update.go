package updater

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hooks"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/lifecycle"
	"github.com/proa-os/proa/updater/slots"
)

// UpdateOptions are the choices of one update.
type UpdateOptions struct {
	// RetryBlocked lifts the block of the offered release.
	RetryBlocked bool
	// Stage installs, and stops before the trial is armed.
	Stage bool
	// Now does not wait for the end of a release's back-off.
	Now bool
}

// Updated is what an update did.
type Updated struct {
	Result     string            `json:"result"` // "armed", "staged", or "up-to-date"
	Running    manifests.Version `json:"running"`
	Version    manifests.Version `json:"version"`
	Release    manifests.Digest  `json:"release"`
	Slot       string            `json:"slot,omitempty"` // that the next boot tries
	Path       string            `json:"path,omitempty"` // how the root image came about: PathDelta or PathIndex
	Downloaded int64             `json:"downloaded"`     // bytes from the network, without metadata
	Reused     int64             `json:"reused"`         // bytes of the root image that were in the slot already
	Copied     int64             `json:"copied"`         // bytes of it that came from the slot that runs
	Patched    int64             `json:"patched"`        // bytes of it that were made by patches
	Told                         // what the publisher says of it
	Kept                         // what it means for /etc and /var
	Last       *journal.Result   `json:"last,omitempty"` // how the newest trial ended
	Notes      []string          `json:"notes,omitempty"`
}

// The results of an update.
const (
	ResultArmed    = "armed"
	ResultStaged   = "staged"
	ResultUpToDate = "up-to-date"
)

// installation is an update under way.
type installation struct {
	*session
	offer  offer
	target journal.Target
	slot   *slots.Slot // the target, from openTarget on
	stage  bool        // stop before arming
	again  bool        // the journal was about this image in this slot before

	quarters *quartermaster // of an update, from findSupply on
	supply   *supply        // the one in use
	holes    []kernelPart   // of the kernel image, until the root image is written
	done     Updated
}

// Update installs what the channel names into the slot that does not run, and
// arms its trial for the next boot. It may be cut anywhere and called again.
func (u *Updater) Update(ctx context.Context, options UpdateOptions) (Updated, error) {
	done, err := u.update(ctx, options)
	u.emitFailure(ctx, "update", err)
	return done, err
}

func (u *Updater) update(ctx context.Context, options UpdateOptions) (Updated, error) {
	s, err := u.open(true)
	if err != nil {
		return Updated{}, err
	}
	defer s.close()
	notes, err := s.recover(ctx)
	done := Updated{Running: s.facts.Image.Version, Last: s.record.Last, Notes: notes}
	if err != nil {
		return done, err
	}
	if err := s.mayWriteOther(); err != nil {
		return done, err
	}
	if err := s.mayArm(); err != nil {
		return done, err
	}
	offered, err := s.resolve(ctx)
	if err != nil {
		return done, err
	}
	done.Version, done.Release, done.Told = offered.Release.Version, offered.Digest, offered.told
	given, err := s.withdraw(offered.told.withdrawn)
	done.Notes = append(done.Notes, given...)
	if err != nil {
		return done, err
	}
	if options.RetryBlocked {
		if err := s.liftBlock(offered); err != nil {
			return done, err
		}
	}
	news, err := s.isNews(offered)
	if err != nil {
		return done, err
	}
	if !news {
		done.Result = ResultUpToDate
		return done, s.completeExtensions(ctx, &done)
	}
	if !options.Now && !options.Stage {
		if err := s.mayRetry(offered); err != nil {
			return done, err
		}
	}
	if done.Kept, err = s.weigh(ctx, offered); err != nil {
		return done, err
	}
	done.Notes = append(done.Notes, done.Kept.Warnings()...)
	done.Result, done.Slot = ResultArmed, s.facts.Slot.Other().String()
	i := &installation{session: s, offer: offered, stage: options.Stage, done: done}
	err = i.install(ctx)
	return i.done, err
}

// mayWriteOther refuses while the slot that does not run is the committed one.
func (s *session) mayWriteOther() error {
	switch s.standing() {
	case lifecycle.Settled:
		return nil
	case lifecycle.Trial, lifecycle.Failed:
		return refuse("", "a trial of slot %s is running: let it end, or end it with commit or rollback", s.facts.Slot)
	}
	return refuse("", "slot %s runs and slot %s is committed: reboot into the committed slot first", s.facts.Slot, s.boot.Committed)
}

func (s *session) liftBlock(o offer) error {
	if _, blocked := s.record.BlockOf(o.Digest, o.Release.Root.Hash); !blocked {
		return nil
	}
	err := s.write(func(r *journal.Record) {
		r.Unblock(o.Digest, o.Release.Root.Hash)
		r.Tries, r.RetryAfter = 0, nil
	})
	if err == nil {
		s.emit(events.Event{Kind: events.Unblocked, Version: o.Release.Version, Fields: map[string]string{events.Release: o.Digest.String()}})
	}
	return err
}

// install does the steps of OrderOfWrites that are still to be done.
func (i *installation) install(ctx context.Context) error {
	i.target = journal.Target{
		Slot:          i.facts.Slot.Other(),
		Release:       i.offer.Digest,
		Version:       i.offer.Release.Version,
		RootHash:      i.offer.Release.Root.Hash,
		SecurityEpoch: i.offer.Release.SecurityEpoch,
		VarFormat:     i.done.format,
	}
	if i.record.Phase == journal.Armed && i.record.Target != nil && i.record.Target.Release == i.target.Release && i.boot.Armed == i.target.Slot {
		return nil
	}
	if err := i.openTarget(); err != nil { // 0
		return err
	}
	defer i.slot.Close()
	whole, err := i.isInstalled(ctx)
	if err != nil {
		return err
	}
	if err := i.checkExtensionSpace(); err != nil {
		return err
	}
	var steps []step
	if !whole {
		// Nothing is given up for a release whose parts cannot be found.
		if err := i.findSupply(ctx); err != nil {
			return err
		}
		defer func() { i.done.Notes = append(i.done.Notes, i.quarters.sources.Notes()...) }()
		if err := i.askHooks(ctx, i.target.Version); err != nil {
			return err
		}
		i.emit(about(events.DownloadStarted, i.target, ""))
		if overridden := i.done.overridden(); len(overridden) > 0 {
			i.emit(about(events.EtcOverridden, i.target, strings.Join(overridden, "; ")))
		}
		steps = i.writes(firstOfFilling, lastOfFilling)
	}
	steps = append(steps, step{"fetching the extensions", i.fetchExtensions})
	steps = append(steps, step{"checking whether /var opens", i.checkOpens})
	if i.stage {
		steps = append(steps, step{"noting the complete slot", i.noteStaged})
	} else {
		steps = append(steps, i.writes(firstOfArming, lastOfArming)...)
	}
	err = runSteps(ctx, steps)
	if err == nil && !whole {
		i.announce(ctx, hooks.UpdateAfter)
	}
	return err
}

// findSupply finds out where the root image is to come from.
func (i *installation) findSupply(ctx context.Context) (err error) {
	if i.quarters, err = i.newQuartermaster(i.offer, i.slot); err != nil {
		return err
	}
	return i.metered(func() error {
		i.supply, err = i.quarters.find(ctx)
		if err == nil {
			i.done.Notes = append(i.done.Notes, i.supply.notes...)
		}
		return err
	})
}

// openTarget makes sure once more that the slot to write is neither the
// running nor the committed one, judged by content and by the loader's own
// configuration.
func (i *installation) openTarget() error {
	if i.target.Slot == i.facts.Slot || i.target.Slot == i.boot.Committed {
		return fmt.Errorf("slot %s is running or committed: it is not written to", i.target.Slot)
	}
	slot, err := i.disk.Slot(i.target.Slot, true)
	if err != nil {
		return err
	}
	i.slot = slot
	err = slot.Fits(i.offer.Root)
	var small *slots.TooSmallError
	if errors.As(err, &small) {
		err = refuse(i.target.Version, "%v", small)
	}
	if err != nil {
		slot.Close()
	}
	return err
}

// isInstalled reports whether the target slot and its UKI are complete
// already: after a trial that came back without a verdict, say. Content
// decides, whatever the journal says.
func (i *installation) isInstalled(ctx context.Context) (bool, error) {
	if !i.boot.Has(i.target.Slot) {
		return false, nil
	}
	if holds, err := i.slot.Holds(i.offer.Root); err != nil || !holds {
		return false, err
	}
	if same, err := i.hasUKI(i.target.Slot); err != nil || !same {
		return false, err
	}
	err := i.verifySlot(ctx, i.target.Slot, i.offer.Root)
	var corrupt *verity.CorruptError
	if errors.As(err, &corrupt) {
		return false, nil
	}
	if err == nil {
		i.done.Reused = i.offer.Root.Size()
	}
	return err == nil, err
}
