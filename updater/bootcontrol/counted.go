package bootcontrol

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/partitions"
	"github.com/proa-os/proa/partitions/esp"
	"github.com/proa-os/proa/updater/efivars"
	"github.com/proa-os/proa/updater/hostfs"
)

// Counted is the backend for systemd-boot on firmware that does not keep
// variables: the committed slot is a letter in loader.conf, a trial is a boot
// entry with a counter in its name, which the loader counts down before it
// loads the entry, and passes over when nothing is left (UAPI.1 Boot Loader
// Specification, boot counting).
//
// The counter is never on a kernel image, and so never on what the committed
// slot boots from. It is on a small file whose short name on FAT is no entry,
// so that a cut in the firmware's rename cannot leave a trial without a counter.
type Counted struct {
	FS   hostfs.FS
	ESP  string // the folder where the boot partition is mounted
	Vars efivars.Store
	// Running is the slot that runs. Where the loader's variables are missing, it
	// is what was booted, if the loader has counted a boot of it.
	Running partitions.Slot
	// Tries is how often in a row a trial is booted, 1 to 9, before the loader goes
	// back to the committed slot; 0 means 1.
	Tries int
}

var (
	// ErrUncounted is wrapped by the error of a commit of a slot whose trial the
	// loader did not count: then it did not come here by a trial, or could not end one.
	ErrUncounted = errors.New("the loader has counted no boot of it")
	// ErrUnproven is wrapped by the error of arming a trial on firmware that was
	// not seen to count.
	ErrUnproven = errors.New("this firmware was not seen to count boots")
)

func (c *Counted) kernels() kernels { return kernels{c.FS, c.ESP} }
func (c *Counted) conf() loaderConf { return loaderConf{c.FS, c.ESP} }
func (c *Counted) entries() entries { return entries{c.FS, c.ESP} }

// Name implements Control.
func (c *Counted) Name() string { return "counted" }

// KernelPath implements Control.
func (c *Counted) KernelPath(slot partitions.Slot) (string, error) {
	return c.kernels().path(slot), nil
}

// State implements Control.
func (c *Counted) State() (State, error) {
	s, _, err := c.look()
	return s, err
}

// look also returns the entries.
func (c *Counted) look() (s State, found []entry, err error) {
	if s.Committed, err = c.conf().committed(esp.LayoutCounted); err != nil {
		return State{}, nil, err
	}
	if s.Installed, err = c.kernels().installed(); err != nil {
		return State{}, nil, err
	}
	if found, err = c.entries().list(); err != nil {
		return State{}, nil, err
	}
	for _, e := range found {
		switch {
		case e.isTrial(s.Committed) && e.Left > 0 && s.Has(e.Boots()):
			s.Armed = e.Boots()
		case !e.exact && esp.MatchesDefault(e.file, s.Committed) && isConf(e.file):
			s.Override = e.file
		}
	}
	if c.Vars.Present() != nil {
		s.Booted = c.bootedByCount(s.Committed, found)
		return s, found, nil
	}
	booted, err := c.Vars.ReadString(efivars.LoaderEntrySelected)
	if err != nil {
		return State{}, nil, err
	}
	s.Booted, _ = esp.SlotOfEntry(booted)
	for _, name := range []efivars.Name{efivars.LoaderEntryDefault, efivars.LoaderEntryOneShot} {
		switch text, err := c.Vars.ReadString(name); {
		case errors.Is(err, efivars.ErrText):
			s.Override = "something that is not text"
		case err != nil:
			return State{}, nil, err
		case text != "":
			s.Override = text
		}
	}
	return s, found, nil
}

// bootedByCount is what was booted, as far as that can be told from names
// alone.
func (c *Counted) bootedByCount(committed partitions.Slot, found []entry) partitions.Slot {
	if c.Running == committed || counted(found, committed, c.Running) {
		return c.Running
	}
	return 0
}

// counted reports whether the loader has counted a boot of the slot's trial.
func counted(found []entry, committed, slot partitions.Slot) bool {
	for _, e := range found {
		if e.isTrial(committed) && e.Boots() == slot && e.Done > 0 {
			return true
		}
	}
	return false
}

// Disarm implements Control.
func (c *Counted) Disarm(slot partitions.Slot) error {
	committed, err := c.conf().committed(esp.LayoutCounted)
	if err != nil {
		return err
	}
	if slot == committed {
		return fmt.Errorf("disarming slot %s: it is the committed slot", slot)
	}
	if err := c.Rollback(); err != nil {
		return err
	}
	return c.kernels().remove(slot)
}

// Arm implements Control. Without a proof that the firmware counts, it asks
// for one, which the next boot brings, and returns an error.
func (c *Counted) Arm(slot partitions.Slot) error {
	s, found, err := c.look()
	if err != nil {
		return err
	}
	switch {
	case slot == s.Committed:
		return fmt.Errorf("arming slot %s: it is the committed slot", slot)
	case !s.Has(slot):
		return fmt.Errorf("arming slot %s: no %s on the boot partition", slot, slot.UKI())
	}
	if err := c.clear(func(entry) bool { return false }); err != nil {
		return err
	}
	if !proven(found) {
		if err := c.Prove(); err != nil {
			return err
		}
		return fmt.Errorf("arming slot %s: %w: reboot once; if that has been done, it cannot count", slot, ErrUnproven)
	}
	trial := esp.Entry{Committed: s.Committed, Left: max(c.Tries, 1)}
	if trial.Left > esp.CountMost {
		return fmt.Errorf("arming slot %s for %d boots: want at most %d", slot, trial.Left, esp.CountMost)
	}
	return c.entries().create(trial)
}

// Proven reports whether the firmware was seen to count a boot, so that it can
// be trusted to end a trial.
func (c *Counted) Proven() (bool, error) {
	found, err := c.entries().list()
	return proven(found), err
}

func proven(found []entry) bool {
	for _, e := range found {
		// Only the loader makes such a name.
		if e.exact && e.Proof && e.Done > 0 {
			return true
		}
	}
	return false
}

// Prove makes the next boot of the committed slot one that the loader counts.
func (c *Counted) Prove() error {
	committed, err := c.conf().committed(esp.LayoutCounted)
	if err != nil {
		return err
	}
	return c.entries().prove(committed)
}

// Commit implements Control: one byte, in place.
func (c *Counted) Commit(slot partitions.Slot) error {
	s, found, err := c.look()
	switch {
	case err != nil:
		return err
	case !s.Has(slot):
		return fmt.Errorf("committing slot %s: no %s on the boot partition", slot, slot.UKI())
	case slot == c.Running && slot != s.Committed && s.Has(s.Committed):
		// With no committed slot to go back to, this one is better than none; and one
		// that does not run is gone back to, without a trial.
		if err := c.demandCounted(s, found, slot); err != nil {
			return fmt.Errorf("committing slot %s: %w", slot, err)
		}
	}
	if err := c.conf().commit(esp.LayoutCounted, slot); err != nil {
		return fmt.Errorf("committing slot %s: %w", slot, err)
	}
	return c.Rollback()
}

// demandCounted refuses a slot that was not booted by a trial which the loader
// had counted: such a boot says nothing about whether the next one comes back
// when it fails.
func (c *Counted) demandCounted(s State, found []entry, slot partitions.Slot) error {
	if !counted(found, s.Committed, slot) {
		return ErrUncounted
	}
	if c.Vars.Present() != nil {
		return nil
	}
	selected, err := c.Vars.ReadString(efivars.LoaderEntrySelected)
	if err != nil || selected == "" {
		return err
	}
	if booted, ok := esp.SlotOfEntry(selected); !ok || booted != slot || !isConf(selected) {
		return fmt.Errorf("%w: it booted %.40q", ErrUncounted, selected)
	}
	return nil
}

func isConf(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".conf") }

// Rollback implements Control. That the loader has counted the boot of the
// trial that runs stays: nothing else tells that it is one.
func (c *Counted) Rollback() error {
	committed, err := c.conf().committed(esp.LayoutCounted)
	return c.clear(func(e entry) bool {
		return err == nil && c.Running != committed && e.isTrial(committed) && e.Boots() == c.Running && e.Left == 0
	})
}

// clear removes what makes the loader boot anything but the committed slot, and
// every entry but those to keep and the proof.
func (c *Counted) clear(keep func(entry) bool) error {
	err := c.entries().clean(func(e entry) bool { return e.exact && e.Proof || keep(e) })
	if err != nil || c.Vars.Present() != nil {
		return err
	}
	if err := c.Vars.Delete(efivars.LoaderEntryOneShot); err != nil {
		return err
	}
	return c.Vars.Delete(efivars.LoaderEntryDefault)
}

// RemoveTemporary implements Control. A trial that is over is removed too.
func (c *Counted) RemoveTemporary() error {
	state, err := c.State()
	if err != nil {
		return err
	}
	if err := c.kernels().removeTemporary(state); err != nil {
		return err
	}
	return c.entries().clean(func(e entry) bool {
		return e.exact && e.Proof || e.isTrial(state.Committed) && e.Left > 0
	})
}
