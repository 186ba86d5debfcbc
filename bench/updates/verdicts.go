package main

import (
	"fmt"
	"time"
)

// verdict is one promise, on one pair.
type verdict struct {
	pair, what, measured, promised string
	missed                         bool
}

// ratio promises that ours is at most so much of theirs.
func ratio(what string, ours, theirs, most float64) verdict {
	r := ours / theirs
	return verdict{what: what, measured: fmt.Sprintf("%.3f", r), promised: fmt.Sprintf("at most %.3g", most), missed: !(r <= most)}
}

// verdicts are the promises of a pair, as far as what they are about was measured.
func (o outcome) verdicts() []verdict {
	var all []verdict
	add := func(v verdict) {
		v.pair = o.name
		all = append(all, v)
	}
	delta, hasDelta := o.best(proaDelta)
	index, hasIndex := o.best(proaIndex)
	// Patches of files are no update yet, so they are not the best of the others.
	for _, peers := range [][]method{{ostreeDelta, xdelta, zstdPatch}, {bsdiffFiles}} {
		if peer, found := o.best(peers...); found && hasDelta {
			add(ratio("delta, bytes : "+peer.Method.name, float64(delta.Bytes), float64(peer.Bytes), 0.85))
		}
	}
	for _, peer := range []struct {
		method
		most float64
	}{{casync, 0.5}, {blocks9, 0.9}, {blocks19, 0.9}} {
		if f, found := o.best(peer.method); found && hasIndex {
			add(ratio("index path, bytes : "+peer.name, float64(index.Bytes), float64(f.Bytes), peer.most))
		}
	}
	if peer, found := o.best(ostreeDelta); found && hasDelta {
		add(ratio("making the delta, CPU : ostree", delta.Making.CPU.Seconds(), peer.Making.CPU.Seconds(), 1))
	}
	if !hasIndex {
		return all
	}
	add(ratio("chunk index : image", float64(o.index), float64(o.size), 0.001))
	plan := time.Duration(float64(o.plan) * 1e9 / float64(o.size))
	add(verdict{what: "plan, for 1 GB", measured: seconds(plan), promised: "less than 2 s", missed: plan >= 2*time.Second})
	for _, f := range []figure{delta, index} {
		if f.Applying.Took == 0 {
			continue
		}
		speed := o.copy.Took.Seconds() / f.Applying.Took.Seconds()
		add(verdict{what: f.Method.name + ", speed : dd with fsync", measured: fmt.Sprintf("%.2f", speed), promised: "at least 0.6", missed: speed < 0.6})
		add(verdict{what: f.Method.name + ", peak memory", measured: mebibytes(f.Applying.Peak), promised: "at most 64 MiB", missed: f.Applying.Peak > 64<<20})
	}
	return all
}

// verdicts are those of all pairs.
func (r report) verdicts() table {
	t := table{{"pair", "what", "measured", "to reach", ""}}
	for _, o := range r {
		for _, v := range o.verdicts() {
			mark := ""
			if v.missed {
				mark = "MISSED"
			}
			t = append(t, []string{v.pair, v.what, v.measured, v.promised, mark})
		}
	}
	return t
}

// missed is an error where a figure was not reached.
func (r report) missed() error {
	missed := 0
	for _, o := range r {
		for _, v := range o.verdicts() {
			if v.missed {
				missed++
			}
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d figures missed", missed)
	}
	return nil
}
