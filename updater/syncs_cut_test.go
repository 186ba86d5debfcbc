package updater_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/proa-os/proa/updater/hostfs/powercut"
)

// spareSyncs are those that no state tells from their absence, and why they stay.
// They are named by what they make durable.
var spareSyncs = map[string]string{
	"[sync folder esp/loader/entries sync file system esp sync folder esp/loader/entries sync file system esp] after remove esp/loader/entries/t-a+1-0.conf": "a cancelled trial is removed by what a roll back does, which alone needs it; here the sync after the kernel image's removal covers it",
}

// syncPoint is syncs with nothing in between, which count as one.
type syncPoint struct{ from, to int }

func syncPoints(ops []powercut.Op) (points []syncPoint) {
	for from := 0; from < len(ops); from++ {
		to := from
		for to < len(ops) && ops[to].IsSync() {
			to++
		}
		if to > from {
			points = append(points, syncPoint{from, to})
			from = to
		}
	}
	return points
}

// TestEverySyncOfTheUpdaterIsNeeded takes each out in turn, and then a state has to
// turn up that breaks a promise, or a reading back that read the cache.
func TestEverySyncOfTheUpdaterIsNeeded(t *testing.T) {
	onEveryControl(t, func(t *testing.T, w feat, control string) {
		if !report.full && !slices.Contains(smallSyncs, control+"/"+w.name) {
			return
		}
		y := w.on(t, control)
		for _, p := range syncPoints(y.ops) {
			if !powercut.Open(y.ops, p.from) {
				continue // it is for what a run that was killed has left in the cache
			}
			report.add(figureSyncs, 1)
			what := describe(y.ops, p)
			if !y.notices(t, p) {
				if why := spareSyncs[what]; why != "" {
					t.Logf("%s: %s", what, why)
					continue
				}
				report.add(figureUnnoticed, 1)
				t.Errorf("no state tells that %s is missing", what)
			}
		}
	})
}

// smallSyncs are the feats whose syncs a small run takes out.
var smallSyncs = []string{"oneshot/commit", "counted/cancel", "uboot/arm"}

// describe names a sync point by the operation before it.
func describe(ops []powercut.Op, p syncPoint) string {
	before := "nothing"
	if p.from > 0 {
		before = ops[p.from-1].String()
	}
	return fmt.Sprintf("%v after %s", ops[p.from:p.to], before)
}

// notices reports whether the rig tells that a sync is missing, by what then may be
// left and otherwise may not.
func (y *yard) notices(t testing.TB, p syncPoint) bool {
	ops := without(y.ops, p.from, p.to)
	if powercut.Unread(ops) < len(ops) {
		return true
	}
	sample := powercut.Sample{Alone: 20, Torn: 4, Subsets: 8}
	usual := map[string]bool{}
	all, _ := y.cuts(y.ops, sample, 0)
	for _, c := range all {
		usual[keyOf(c, y.ops)] = true
	}
	missing := &yard{before: y.before, judge: y.judge, seen: map[uint64]error{}}
	chosen, _ := missing.cuts(ops, sample, 0)
	chosen = slices.DeleteFunc(chosen, func(c powercut.Cut) bool { return usual[keyOf(c, ops)] })
	return missing.try(t, ops, chosen) != nil
}
