// Package bootcontrol is the one place that changes which slot a machine
// boots. A trial is armed, runs once, and is then committed or comes to
// nothing by itself.
//
// A backend keeps two promises, whatever is cut and whenever: the machine boots
// the committed slot unless a trial was armed, and a trial that was not
// committed is followed by the committed slot. No backend ever removes or
// changes what the committed slot boots from.
package bootcontrol

import "github.com/proa-os/proa/partitions"

// Control is a backend.
type Control interface {
	// Name is what status calls the backend: "oneshot", "counted", "grub" or "uboot".
	Name() string
	// KernelPath is where the slot's complete kernel image is, armed or not, as a
	// path of the host; without one, where it is to be put.
	KernelPath(slot partitions.Slot) (string, error)
	// RemoveTemporary removes what an interrupted installation left on the boot
	// partition.
	RemoveTemporary() error
	// State is what the firmware and the loader would do now.
	State() (State, error)
	// Disarm ends every pending trial and removes what the slot would boot from,
	// so that the slot can be written. It refuses the committed slot.
	Disarm(slot partitions.Slot) error
	// Arm makes the next boot try the slot, once.
	Arm(slot partitions.Slot) error
	// Commit makes the slot the one that is booted from now on.
	Commit(slot partitions.Slot) error
	// Rollback gives up a trial that is pending or running: the next boot is the
	// committed slot. What is in the other slot stays.
	Rollback() error
}

// State is what a backend knows. Slots are zero when there is none.
type State struct {
	Committed partitions.Slot // leads: booted when nothing else is said
	Armed     partitions.Slot // is tried at the next boot
	Booted    partitions.Slot // what this firmware boot booted, if the loader says so
	Installed []partitions.Slot
	// Override is an entry that the loader would boot in place of the committed
	// one, set by somebody else; the updater clears it.
	Override string
}

// Has reports whether the slot has something to boot from.
func (s State) Has(slot partitions.Slot) bool {
	for _, installed := range s.Installed {
		if installed == slot {
			return true
		}
	}
	return false
}
