package lifecycle

import (
	"slices"
	"testing"

	"github.com/proa-os/proa/updater/journal"
)

// phases are all phases, and one of a newer agent.
func phases() []journal.Phase {
	return []journal.Phase{
		journal.Idle, journal.Clearing, journal.Writing, journal.Verified, journal.Armed, journal.Committing,
		journal.Good, journal.Bad, journal.Reverting, journal.Cancelling, "of a newer agent",
	}
}

// everySituation is every combination of what can be observed. What only a
// journal can tell is false without one.
func everySituation() []Situation {
	const flags = 9
	seen := map[Situation]bool{}
	var all []Situation
	for _, phase := range phases() {
		for bits := range 1 << flags {
			flag := func(n int) bool { return bits>>n&1 == 1 }
			s := Situation{
				Committed: flag(0), Armed: flag(1), Loaded: flag(2), StandIn: flag(3), Journal: flag(4),
				Phase: phase, Ours: flag(5), SameBoot: flag(6), Kernel: flag(7), LastTry: flag(8),
			}
			if !s.Journal {
				s = s.withoutJournal()
			}
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// withoutJournal is the same machine after its journal was lost.
func (s Situation) withoutJournal() Situation {
	s.Journal, s.Phase = false, journal.Idle
	s.Ours, s.SameBoot, s.Kernel, s.LastTry = false, false, false, false
	return s
}

func among(phase journal.Phase, phases ...journal.Phase) bool { return slices.Contains(phases, phase) }

func TestEverySituationHasARowAndEveryRowASituation(t *testing.T) {
	rows := Rows()
	used := make([]int, len(rows))
	for _, s := range everySituation() {
		n := slices.IndexFunc(rows, func(r Row) bool { return r.When.matches(s) })
		if n < 0 {
			t.Fatalf("%+v has no row", s)
		}
		used[n]++
		if got := Of(s); got.Why != rows[n].Why {
			t.Fatalf("%+v is row %q: want the first that matches, %q", s, got.Why, rows[n].Why)
		}
	}
	for n, row := range rows {
		if used[n] == 0 {
			t.Errorf("row %d, %q, is never used", n, row.Why)
		}
		if row.Standing == "" || row.Action == "" || row.Why == "" {
			t.Errorf("row %d is not complete: %+v", n, row)
		}
	}
}

func TestNothingResetsACommittedSlotOrAStandIn(t *testing.T) {
	for _, s := range everySituation() {
		if standing := Of(s).Standing; standing.MayReset() && (s.Committed || s.StandIn) {
			t.Errorf("%+v is %s and may be reset: it would be for ever", s, standing)
		}
	}
}

func TestOnlyTheCommittedSlotIsSettledAndRecovers(t *testing.T) {
	for _, s := range everySituation() {
		row := Of(s)
		if (row.Standing == Settled) != s.Committed {
			t.Errorf("%+v is %s", s, row.Standing)
		}
		if !s.Committed && row.Action != Nothing {
			t.Errorf("%+v: recovery would %s, on a slot that does not lead", s, row.Action)
		}
	}
}

// A trial may be committed by its judge: the firmware must have booted it, once,
// and this host must have armed it as far as it knows.
func TestATrialWasBootedByTheFirmwareAndArmedHere(t *testing.T) {
	for _, s := range everySituation() {
		if Of(s).Standing != Trial {
			continue
		}
		if !s.Loaded || s.StandIn || s.SameBoot {
			t.Errorf("%+v is a trial", s)
		}
		if s.Journal && (!s.Ours || !among(s.Phase, journal.Armed, journal.Committing)) {
			t.Errorf("%+v is a trial, but nobody armed it", s)
		}
	}
}

// In a later boot it may be proa-init that chose the slot, an old one that does
// not say so: a reset would then be one for ever.
func TestATrialThatWasGivenUpIsResetInTheSameBootOnly(t *testing.T) {
	for _, s := range everySituation() {
		if Of(s).Standing == Failed && !s.SameBoot && s.Phase != journal.Cancelling {
			t.Errorf("%+v is to be reset", s)
		}
	}
}

func TestAReleaseIsBlockedWithItsLastTrialAndNotBefore(t *testing.T) {
	for _, s := range everySituation() {
		switch action := Of(s).Action; action {
		case NoteNoVerdict, Block:
			if (action == Block) != s.LastTry || s.Ours || !among(s.Phase, journal.Armed, journal.Committing) {
				t.Errorf("%+v: %s", s, action)
			}
		}
	}
}

func TestRecoveryLeavesNothingHalfDone(t *testing.T) {
	for _, s := range everySituation() {
		end := settle(t, s, true)
		if !end.Committed || !end.Journal {
			continue
		}
		if among(end.Phase, journal.Committing, journal.Reverting, journal.Cancelling) || end.Phase == journal.Armed && !end.Armed {
			t.Errorf("%+v becomes %+v", s, end)
		}
	}
}

func TestOnlyACompleteSlotStaysArmed(t *testing.T) {
	for _, s := range everySituation() {
		if !s.Committed {
			continue
		}
		end := settle(t, s, true)
		incomplete := among(s.Phase, journal.Clearing, journal.Writing, journal.Verified, journal.Bad, journal.Cancelling)
		if end.Armed && incomplete {
			t.Errorf("%+v stays armed", s)
		}
		if !s.Journal && settle(t, s, false).Armed {
			t.Errorf("%+v stays armed, though its slot is not whole", s)
		}
		if Of(s).Action == ArmAgain && (!s.Kernel || !s.SameBoot || s.Armed || s.Phase != journal.Armed) {
			t.Errorf("%+v is armed again", s)
		}
	}
}

// settle carries actions out until there are none. Whole says what the armed
// slot proves to be.
func settle(t *testing.T, s Situation, whole bool) Situation {
	t.Helper()
	for range Rounds {
		switch Of(s).Action {
		case Nothing:
			return s
		case NoteCommit:
			s.Phase = journal.Good
		case GoBack:
			s.Committed, s.SameBoot = false, true
		case NoteBack, Block:
			s.Phase = journal.Bad
		case Cancel:
			s.Phase, s.Armed, s.Ours, s.Kernel = journal.Idle, false, false, false
		case TakeBack:
			s.Armed = false
		case Prove:
			s.Armed = whole
			return s
		case ArmAgain:
			s.Armed = true
		case StartOver:
			s.Phase = journal.Writing
		case NoteNoVerdict:
			s.Phase = journal.Verified
		default:
			t.Fatalf("unknown action %q", Of(s).Action)
		}
	}
	t.Fatalf("%+v is not recovered after %d rounds", s, Rounds)
	return s
}

func TestRecoveryEndsAndDoesNothingWhenItIsRepeated(t *testing.T) {
	for _, s := range everySituation() {
		end := settle(t, s, true)
		if again := settle(t, end, true); again != end {
			t.Errorf("%+v becomes %+v, and then %+v", s, end, again)
		}
	}
}

// next is what the next boot of the machine is after recovery: "leads" for the
// slot that leads now, "other", or "back" for one that is made to lead.
func next(t *testing.T, s Situation) string {
	end := settle(t, s, true)
	switch {
	case end.Committed != s.Committed:
		return "back"
	case end.Committed && end.Armed:
		return "other"
	}
	return "leads"
}

// TestWithoutTheJournalTheAnswerDiffersOnlyWhereItIsSaid holds the package's
// documentation to the table.
func TestWithoutTheJournalTheAnswerDiffersOnlyWhereItIsSaid(t *testing.T) {
	for _, s := range everySituation() {
		if !s.Journal {
			continue
		}
		lost := s.withoutJournal()
		if with, without := next(t, s), next(t, lost); with != without {
			givenUp := s.Armed && among(s.Phase, journal.Clearing, journal.Writing, journal.Verified, journal.Bad, journal.Cancelling,
				journal.Reverting, journal.Committing)
			cut := !s.Armed && s.Phase == journal.Armed && s.SameBoot && s.Kernel
			watched := s.Ours && s.Phase == journal.Reverting
			if !givenUp && !cut && !watched {
				t.Errorf("%+v: with the journal the next boot is %q, without it %q", s, with, without)
			}
		}
		with, without := Of(s).Standing, Of(lost).Standing
		if with == without {
			continue
		}
		if without == Settled || with == Settled {
			t.Errorf("%+v is %s with the journal, and %s without", s, with, without)
		}
		notArmedHere := without == Trial && with == Visiting && (s.SameBoot || !s.Ours || !among(s.Phase, journal.Armed, journal.Committing))
		gaveUp := with == Failed && s.Ours && among(s.Phase, journal.Bad, journal.Reverting, journal.Cancelling)
		if !notArmedHere && !gaveUp {
			t.Errorf("%+v is %s with the journal, and %s without", s, with, without)
		}
	}
}
