// Package lifecycle says where a machine stands between its two slots and what
// recovery has to do about it. It is one table, Rows, over what can be observed;
// it reads nothing and writes nothing.
//
// Which slot boots next is decided by the boot loader's own data and never by
// the journal, which may be lost. What the table makes of a machine without a
// journal differs from what it makes of the same machine with one in these
// cases only, and in each of them the next boot is of a whole slot and a
// trial is followed by the committed slot:
//
//   - An armed trial stands when the armed slot proves to be what its kernel
//     image names. With a journal it is taken back without a look while that says
//     that the slot is not to be tried: being written, staged, given up, or being
//     cancelled.
//   - A slot that the loader booted and that is not committed is on trial. With
//     a journal it is on trial only if this host armed it and has not given it up.
//   - A trial that was noted and then not armed is not armed again, and a
//     failure in the watch window that was noted and then not acted on is
//     forgotten: the commit stands.
//   - A trial that came back and a commit that was cut are not noted. What is
//     lost is history: how often a release was tried, and which are blocked.
package lifecycle

import "github.com/proa-os/proa/updater/journal"

// Standing is where the machine is between its two slots.
type Standing string

// The standings.
const (
	// Settled: the committed slot runs.
	Settled Standing = "committed"
	// Trial: the other slot runs for the once it was armed for.
	Trial Standing = "trial"
	// Failed: the other slot runs, and was given up already: a reset is due.
	Failed Standing = "failed"
	// Visiting: the other slot runs, but no trial was armed, or the firmware did
	// not boot it, or proa-init chose it for want of a committed one that opens.
	Visiting Standing = "visiting"
)

// MayReset reports whether a machine that stands like this may be reset by the
// agent. On the committed slot a reset would lead to the same slot, and on a
// stand-in for a committed one to the same stand-in: for ever.
func (s Standing) MayReset() bool { return s == Trial || s == Failed }

// Action is what recovery does.
type Action string

// The actions. None of them writes to the running or to the committed slot.
const (
	// Nothing is to be done.
	Nothing Action = "nothing"
	// NoteCommit notes that the running slot leads: its commit was cut after
	// the one byte that makes it so.
	NoteCommit Action = "note the commit"
	// GoBack makes the other slot lead, after a failure in the watch window.
	GoBack Action = "go back"
	// NoteBack notes that the machine did go back.
	NoteBack Action = "note the way back"
	// Cancel finishes the cancelling of an update.
	Cancel Action = "finish the cancelling"
	// TakeBack ends the pending trial.
	TakeBack Action = "take the trial back"
	// Prove reads the armed slot and takes the trial back unless it is whole.
	Prove Action = "prove the armed slot"
	// ArmAgain arms the trial that was noted and not armed.
	ArmAgain Action = "arm again"
	// StartOver forgets that the target slot was complete.
	StartOver Action = "start over"
	// NoteNoVerdict notes a trial that came back without a verdict; there will be
	// another one.
	NoteNoVerdict Action = "note a trial without a verdict"
	// Block is NoteNoVerdict for the last trial: the release is blocked.
	Block Action = "block"
)

// Situation is what can be observed. What is not known is false.
type Situation struct {
	Committed bool // the running slot is the committed one
	Armed     bool // the next boot tries the slot that does not run
	Loaded    bool // the loader says that this firmware boot booted the running slot
	StandIn   bool // proa-init chose the running slot, since the committed one does not open

	Journal  bool          // the journal holds a record
	Phase    journal.Phase // of the journal; Idle when it is about no release
	Ours     bool          // the running slot holds the release that the phase is about
	SameBoot bool          // the phase was noted in this boot
	Kernel   bool          // the kernel image of the slot that the phase is about is there
	LastTry  bool          // as many trials of the release were begun as are allowed
}

// Row is one line of the table.
type Row struct {
	When     When
	Standing Standing
	Action   Action
	Why      string
}

// Rounds is after how many actions, one after the other, nothing is left to do
// at the latest.
const Rounds = 4

// Of finds the row for a situation: the first that matches. The last one
// matches everything.
func Of(s Situation) Row {
	rows := Rows()
	for _, row := range rows {
		if row.When.matches(s) {
			return row
		}
	}
	return rows[len(rows)-1]
}
