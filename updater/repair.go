package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/verity"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/updater/events"
	"github.com/proa-os/proa/updater/hostfs"
	"github.com/proa-os/proa/updater/journal"
	"github.com/proa-os/proa/updater/slots"
)

// RepairOptions are the choices of one repair.
type RepairOptions struct {
	// Slot is the one to repair; 0 is the one that does not run.
	Slot partitions.Slot
	// Check only looks.
	Check bool
}

// Repaired is what a repair found and did.
type Repaired struct {
	Result     string            `json:"result"` // "whole", "damaged" (of a check) or "repaired"
	Slot       partitions.Slot   `json:"slot"`
	Version    manifests.Version `json:"version,omitempty"` // "" when the repository was not reached, of a check
	Release    manifests.Digest  `json:"release,omitzero"`
	Damaged    []string          `json:"damaged,omitempty"` // what was, each in a few words
	Downloaded int64             `json:"downloaded"`        // bytes
	Notes      []string          `json:"notes,omitempty"`
}

// The results of a repair.
const (
	RepairWhole    = "whole"
	RepairDamaged  = "damaged"
	RepairRepaired = "repaired"
)

// repair is a repair under way. Of an installation it has how a kernel image is
// put into place.
type repair struct {
	installation
	found Repaired
}

// Repair replaces what is damaged of a slot that does not run, and of its kernel
// image, from the repository. It fetches only what is damaged.
//
// It is the one exception to the rule that nothing writes to the committed slot.
// Every byte that it writes is the one that the signed release has at that
// place, proven before by the root hash that the slot should have; so a cut
// anywhere leaves a slot no worse than it was (see slots.Slot.Repair). It may be
// called again. Nothing of it is in the journal: what is damaged is seen by
// looking.
func (u *Updater) Repair(ctx context.Context, options RepairOptions) (Repaired, error) {
	s, err := u.open(!options.Check)
	if err != nil {
		return Repaired{}, err
	}
	defer s.close()
	r := &repair{installation: installation{session: s}}
	r.found.Slot = options.Slot
	if r.found.Slot == 0 {
		r.found.Slot = s.facts.Slot.Other()
	}
	if options.Check {
		if err := s.lock(); err != nil { // an update would look like damage
			return Repaired{}, err
		}
	} else if r.found.Notes, err = s.recover(ctx); err != nil {
		return Repaired{}, err
	}
	if err := r.allowed(); err != nil {
		return Repaired{}, err
	}
	if options.Check {
		err = r.check(ctx)
	} else {
		err = r.run(ctx)
		u.emitFailure(ctx, "repair", err)
	}
	return r.found, err
}

// allowed refuses a slot that runs, and one that was never whole.
func (r *repair) allowed() error {
	letter, record := r.found.Slot, r.record
	if letter == r.facts.Slot {
		return refuse("", "slot %s is running: it is repaired from the other slot, once that runs", letter)
	}
	if record.Target != nil && record.Target.Slot == letter && (record.Phase == journal.Clearing || record.Phase == journal.Writing) {
		return refuse(record.Target.Version, "its installation in slot %s was cut: run the update again", letter)
	}
	return nil
}

// identify finds out what the slot should hold.
func (r *repair) identify(ctx context.Context) (err error) {
	letter := r.found.Slot
	if r.offer, err = r.session.identify(ctx, letter); err != nil {
		return err
	}
	r.target = journal.Target{Slot: letter, Release: r.offer.Digest, Version: r.offer.Release.Version, RootHash: r.offer.Release.Root.Hash}
	r.found.Version, r.found.Release = r.target.Version, r.target.Release
	return nil
}

func (r *repair) run(ctx context.Context) error {
	defer func() { r.found.Downloaded += r.done.Downloaded }()
	if err := r.identify(ctx); err != nil {
		return err
	}
	r.found.Result = RepairWhole
	err := runSteps(ctx, []step{
		{"repairing the slot", r.repairSlot},
		{"repairing the kernel image", r.repairUKI},
	})
	if err == nil && r.found.Result == RepairRepaired {
		r.emit(about(events.Repaired, r.target, strings.Join(r.found.Damaged, ", "),
			events.Bytes, fmt.Sprint(r.found.Downloaded+r.done.Downloaded)))
	}
	return err
}

func (r *repair) repairSlot(ctx context.Context) (err error) {
	if r.slot, err = r.disk.Slot(r.found.Slot, true); err != nil {
		return err
	}
	r.closers = append(r.closers, func() { r.slot.Close() }) // its kernel image may be made of it
	if r.quarters, err = r.newQuartermaster(r.offer, r.slot); err != nil {
		return err
	}
	work := slots.Repairing{Image: slots.Image{Root: r.offer.Root}, Source: r.quarters.repository(r.offer.Transport.Root).Range}
	err = r.metered(func() error {
		work.Image.Chunks, err = r.quarters.chunks(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var damage *slots.Damage
	err = r.report("inspect slot", r.offer.Root.Size(), func(step progress.Step) (err error) {
		work.Step = step
		damage, err = r.slot.Inspect(ctx, work)
		return contentError(err)
	})
	if err != nil || damage.None() {
		return err
	}
	r.found.Downloaded += damage.Fetched
	r.noteDamage(damage)
	err = r.report("replace damaged parts", 0, func(progress.Step) error {
		fetched, err := r.slot.Repair(ctx, work, damage)
		r.found.Downloaded += fetched
		return contentError(err)
	})
	if err != nil {
		return err
	}
	err = r.report("verify slot", r.offer.Root.Size(), func(step progress.Step) error {
		return r.slot.Verify(ctx, r.offer.Root, step)
	})
	if err == nil {
		r.found.Result = RepairRepaired
	}
	return err
}

func (r *repair) noteDamage(d *slots.Damage) {
	for _, part := range []struct {
		n    int
		what string
	}{
		{len(d.Chunks), "chunk of the root image"},
		{len(d.Leaves), "part of the hash tree's leaf level"},
		{len(d.Crown), "block of the hash tree above it"},
	} {
		if part.n > 0 {
			r.found.Damaged = append(r.found.Damaged, damagedText(part.n, part.what))
		}
	}
}

// repairUKI replaces the kernel image as an update does, under the eyes of
// nobody until it is renamed. The slot is whole by now: an image that did not
// load must not begin to load with a damaged slot behind it.
func (r *repair) repairUKI(ctx context.Context) error {
	same, err := r.hasUKI(r.found.Slot)
	var unreadable *fs.PathError
	if errors.As(err, &unreadable) {
		same, err = false, nil
	}
	if err != nil || same {
		return err
	}
	if err := r.roomForUKI(); err != nil {
		return err
	}
	err = runSteps(ctx, []step{
		{"fetching", r.fetchUKI},
		{"copying", r.copyUKI},
		{"naming", r.renameUKI},
	})
	if err != nil {
		return err
	}
	r.found.Result = RepairRepaired
	r.found.Damaged = append(r.found.Damaged, "kernel image")
	return nil
}

// roomForUKI makes sure that the kernel image fits beside the damaged one, which
// stays until it is replaced. Where it does not, the damaged one goes first; but
// not that of the committed slot: without it the loader would choose by itself.
func (r *repair) roomForUKI() error {
	final, temporary, err := r.kernelPaths()
	if err != nil {
		return err
	}
	free, err := hostfs.Free(r.esp)
	if err != nil {
		return err
	}
	if info, err := os.Stat(temporary); err == nil {
		free += info.Size()
	}
	need := r.offer.Transport.UKI.Size
	if _, err := os.Stat(final); err != nil || free >= need {
		return nil // fetchUKI looks once more
	}
	if r.found.Slot == r.boot.Committed {
		return refuse(r.target.Version, "the boot partition has %d bytes free: its kernel image needs %d beside the damaged one", free, need)
	}
	if err := r.FS.Remove(final); err != nil {
		return err
	}
	if err := r.FS.SyncDir(filepath.Dir(final)); err != nil {
		return err
	}
	return r.FS.SyncFS(r.esp)
}

// check says what is damaged. Without the repository it goes by the root hash
// that the slot's kernel image names.
func (r *repair) check(ctx context.Context) error {
	err := r.identify(ctx)
	root := r.offer.Root
	var network *NetworkError
	switch {
	case errors.As(err, &network):
		r.found.Notes = append(r.found.Notes, fmt.Sprintf("the kernel image is not checked: %v", err))
		if root, err = r.installedRoot(r.found.Slot); err != nil {
			return fmt.Errorf("%w; and slot %s has no kernel image that names its root hash: %w", network, r.found.Slot, err)
		}
	case err != nil:
		return err
	default:
		same, err := r.hasUKI(r.found.Slot)
		if err != nil || !same {
			r.found.Damaged = append(r.found.Damaged, "kernel image")
		}
	}
	err = r.verifySlot(ctx, r.found.Slot, root)
	var corrupt *verity.CorruptError
	if errors.As(err, &corrupt) {
		r.found.Damaged, err = append(r.found.Damaged, mismatches(corrupt)...), nil
	}
	r.found.Result = RepairWhole
	if len(r.found.Damaged) > 0 {
		r.found.Result = RepairDamaged
	}
	return err
}

// mismatches names the first bad blocks and counts the others.
func mismatches(e *verity.CorruptError) []string {
	const most = 10
	var texts []string
	for _, m := range e.Mismatches[:min(most, len(e.Mismatches))] {
		texts = append(texts, m.String())
	}
	if more := e.Count - uint64(len(texts)); more > 0 {
		texts = append(texts, damagedText(int(more), "more block"))
	}
	if e.Unknown > 0 {
		texts = append(texts, fmt.Sprintf("%d data blocks that cannot be judged, for what is damaged above them", e.Unknown))
	}
	if len(texts) == 0 {
		texts = append(texts, e.Error())
	}
	return texts
}

// damagedText is a damaged part in words.
func damagedText(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
