package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/machine"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/journal"
)

// How often a machine is looked at from outside. There are seconds from arming a
// trial to the reset, but none to waste.
const (
	lookEvery   = 20 * time.Millisecond
	lookClosely = 5 * time.Millisecond
)

// oneShot is the variable by which systemd-boot is told of a trial.
const oneShot = "LoaderEntryOneShot"

// guest is one machine of a rehearsal.
type guest struct {
	*pair
	disk
	machine *machine.Machine
	boot    *machine.Boot // the newest
	visits  *visits       // its requests
	boots   []Boot        // that have ended
}

func (p *pair) guest(m *machine.Machine) *guest {
	return &guest{pair: p, disk: disk{m.Disk()}, machine: m, boots: []Boot{}}
}

// powerOn boots the machine and goes on at once.
func (g *guest) powerOn(ctx context.Context, v *visits) error {
	b, err := g.machine.Boot(ctx)
	if err != nil {
		return err
	}
	g.boot, g.visits = b, v
	g.run.front.welcome(b.ProcessID(), v)
	return nil
}

// powerCut ends the boot, if it has not ended by itself, and keeps account of it.
func (g *guest) powerCut() {
	if g.boot == nil {
		return
	}
	g.boot.PowerCut()
	g.account()
}

// account is for a boot that has ended.
func (g *guest) account() {
	b := g.boot
	g.boot = nil
	g.run.front.forget(b.ProcessID())
	reason, err := b.Wait(context.Background())
	if err != nil {
		reason = machine.ReasonCrashed
	}
	os.Remove(b.LastPicture) // it is often not there
	log, err := filepath.Rel(g.run.Dir, b.Log)
	if err != nil {
		log = b.Log
	}
	g.boots = append(g.boots, Boot{
		Log: log, Seconds: seconds(time.Since(b.Start)), Ended: string(reason),
		Memory: b.PeakMemory(), Fetched: g.visits.seen().fetched,
	})
}

// errEnded is wrapped by the error of a wait for something that did not come
// before the boot ended.
var errEnded = errors.New("the machine ended")

// await waits until what is waited for is the case. Whatever cannot be read in
// passing, of a disk in use, is looked at again.
func (g *guest) await(ctx context.Context, what string, every time.Duration, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.run.Patience, fmt.Errorf("not within %s", g.run.Patience))
	defer cancel()
	for {
		ended := g.boot.Ended() // before the look, which is the last one then
		done, err := is()
		switch {
		case done:
			return nil
		case ended:
			reason, failure := g.boot.Wait(ctx)
			if failure != nil {
				return fmt.Errorf("%s: %w", what, failure)
			}
			return fmt.Errorf("%s: %w: %s%s", what, errEnded, reason, g.verdict())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), err))
		case <-time.After(every):
		}
	}
}

// verdict is what the machine itself noted of a trial of the new release, for people,
// whose terminals are not the release's to write to.
func (g *guest) verdict() string {
	record, err := g.journal()
	if err != nil || record.Last == nil || record.Last.Version != g.run.to.Version || record.Last.Reason == "" {
		return ""
	}
	return fmt.Sprintf(": %s %s: %s", record.Last.Version, journal.Reason(string(record.Last.Outcome)), journal.Reason(record.Last.Reason))
}

// polled reports whether the agent of this boot looked for an update.
func (g *guest) polled() bool { return g.visits.seen().metadata > 0 }

// armed reports whether the next boot tries the new release: the agent has noted it,
// and the firmware keeps it.
func (g *guest) armed() (bool, error) {
	record, err := g.journal()
	if err != nil || record.Phase != journal.Armed || record.Target == nil || record.Target.Release != g.run.to.Release {
		return false, err
	}
	slot, err := g.trial()
	return slot == record.Target.Slot, err
}

// trial is the slot that the firmware was told to try, or 0.
func (g *guest) trial() (partitions.Slot, error) {
	content, found, err := g.machine.Variable(oneShot)
	if err != nil || !found {
		return 0, err
	}
	entry, err := efivars.DecodeString(content)
	if err != nil {
		return 0, err
	}
	slot, _ := partitions.SlotOfUKI(entry)
	return slot, nil
}

// leads is an error unless the slot is the committed one and, with no trial ahead,
// the next boot is of it.
func (g *guest) leads(slot partitions.Slot) error {
	committed, err := g.committed()
	if err != nil {
		return err
	}
	if committed != slot {
		return fmt.Errorf("slot %s leads: want slot %s", committed, slot)
	}
	next, err := g.trial()
	if err == nil && next != 0 {
		err = fmt.Errorf("the next boot tries slot %s: want slot %s without a trial", next, slot)
	}
	return err
}

// wentBack reports whether the machine has noted that the new release went back.
func (g *guest) wentBack() (journal.Record, bool, error) {
	record, err := g.journal()
	last := record.Last
	return record, err == nil && last != nil && last.Version == g.run.to.Version && last.Outcome == journal.WentBack, err
}
