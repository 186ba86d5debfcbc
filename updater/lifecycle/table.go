package lifecycle

import (
	"slices"

	"github.com/proa-os/proa/updater/journal"
)

// Is is what a row demands of one observation.
type Is int

// The demands.
const (
	Any Is = iota
	Yes
	No
)

func (is Is) matches(observed bool) bool { return is == Any || observed == (is == Yes) }

// When is what a row demands of a Situation, field by field; what is left out
// may be anything.
type When struct {
	Committed, Armed, Loaded, StandIn, Journal, Ours, SameBoot, Kernel, LastTry Is

	Phase []journal.Phase // one of these
}

func (w When) matches(s Situation) bool {
	return w.Committed.matches(s.Committed) &&
		w.Armed.matches(s.Armed) &&
		w.Loaded.matches(s.Loaded) &&
		w.StandIn.matches(s.StandIn) &&
		w.Journal.matches(s.Journal) &&
		w.Ours.matches(s.Ours) &&
		w.SameBoot.matches(s.SameBoot) &&
		w.Kernel.matches(s.Kernel) &&
		w.LastTry.matches(s.LastTry) &&
		(len(w.Phase) == 0 || slices.Contains(w.Phase, s.Phase))
}

// in is the phases of a row.
func in(phases ...journal.Phase) []journal.Phase { return phases }

// Rows is the table. The first row that matches is the one that counts.
func Rows() []Row {
	const (
		armed, bad            = journal.Armed, journal.Bad
		committing, reverting = journal.Committing, journal.Reverting
		clearing, writing     = journal.Clearing, journal.Writing
		cancelling, verified  = journal.Cancelling, journal.Verified
	)
	return []Row{
		// The other slot runs. Recovery leaves everything to the judge.
		{When{Committed: No, StandIn: Yes}, Visiting, Nothing,
			"a reset would lead here again: it stays until somebody repairs the committed slot"},
		{When{Committed: No, Journal: Yes, Ours: Yes, SameBoot: Yes, Phase: in(bad, reverting)}, Failed, Nothing,
			"it was given up in this boot"},
		{When{Committed: No, Loaded: No}, Visiting, Nothing,
			"the firmware did not boot it: a kexec did"},
		{When{Committed: No, Journal: No}, Trial, Nothing,
			"nothing but a trial makes the loader boot it"},
		{When{Committed: No, SameBoot: Yes}, Visiting, Nothing,
			"what was noted in this boot is about the next one"},
		{When{Committed: No, Ours: Yes, Phase: in(cancelling)}, Failed, Nothing,
			"its cancelling was cut before the trial was taken back"},
		{When{Committed: No, Ours: Yes, Phase: in(armed, committing)}, Trial, Nothing,
			"this is the trial that was armed"},
		{When{Committed: No}, Visiting, Nothing,
			"nobody armed it"},

		// The committed slot runs.
		{When{Journal: No, Armed: Yes}, Settled, Prove,
			"only its content can tell whether the trial is one"},
		{When{Journal: No}, Settled, Nothing,
			"nothing is known to be under way"},
		{When{Ours: Yes, Phase: in(armed, committing)}, Settled, NoteCommit,
			"it was the trial, and it leads"},
		{When{Ours: Yes, Phase: in(reverting)}, Settled, GoBack,
			"it failed while it was watched, and leads still"},
		{When{Phase: in(reverting)}, Settled, NoteBack,
			"the release that failed while it was watched leads no more"},
		{When{Phase: in(cancelling)}, Settled, Cancel,
			"the cancelling was cut"},
		{When{Armed: Yes, Phase: in(clearing, writing, verified, bad)}, Settled, TakeBack,
			"the armed slot is not to be tried: it is not complete, not released for it, or was given up"},
		{When{LastTry: No, Phase: in(committing)}, Settled, NoteNoVerdict,
			"it proved healthy, but came back before its commit"},
		{When{Phase: in(committing)}, Settled, Block,
			"it proved healthy, but came back before its commit, once too often"},
		{When{Armed: Yes, Phase: in(armed)}, Settled, Nothing,
			"the trial is still to come"},
		{When{SameBoot: Yes, Kernel: No, Phase: in(armed)}, Settled, StartOver,
			"there is nothing to arm"},
		{When{SameBoot: Yes, Phase: in(armed)}, Settled, ArmAgain,
			"the arming was cut"},
		{When{LastTry: No, Phase: in(armed)}, Settled, NoteNoVerdict,
			"it came back without a verdict"},
		{When{Phase: in(armed)}, Settled, Block,
			"it came back without a verdict, once too often"},
		{When{}, Settled, Nothing,
			"nothing is under way"},
	}
}
