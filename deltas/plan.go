package deltas

import (
	"github.com/proa-os/proa/deltas/patch"
	"github.com/proa-os/proa/manifests"
)

const (
	outputMost    = patch.OutputMost / manifests.BlockSize    // blocks
	referenceMost = patch.ReferenceMost / manifests.BlockSize // blocks

	// copyLeast is the blocks from which on unchanged ones split a patched
	// segment in two. Fewer are made again by the patch, which costs less than
	// the digest and the lost context of one more segment.
	copyLeast = 16
)

// piece is blocks of one area of the new image that a patch is to make.
type piece struct {
	at, n int
	area  area // of the new image
	old   area // what area comes from; n is 0 when that is not known
}

// weight is the blocks of p, or about those that it is decompressed.
func (p piece) weight() int {
	switch {
	case p.area.part:
		return outputMost
	case p.area.compressed():
		return 4 * p.n
	}
	return p.n
}

// references is the most blocks of the old image that it takes for p.
func (p piece) references() int {
	if n := p.old.n; n <= referenceMost && n <= 2*p.n+64 {
		return n
	}
	return min(2*p.n+64, referenceMost)
}

// job is a segment of the new image: blocks to patch, or a copy when there are
// no pieces.
type job struct {
	at, n  int
	from   int // of a copy
	pieces []piece
}

// plan tiles the new image of the given number of blocks. Runs is what unchanged
// found, areas the new image's.
func plan(runs []run, areas []area, pairs *pairing, blocks int) []job {
	var jobs []job
	at := 0
	changed := func(end int) {
		for at < end {
			for areas[0].at+areas[0].n <= at {
				areas = areas[1:]
			}
			a := areas[0]
			p := piece{at: at, n: min(end, a.at+a.n) - at, area: a}
			p.old, _ = pairs.of(a)
			p.old.at, p.old.n = p.old.at-p.old.lead, p.old.n+p.old.lead
			for windows := (p.n-1)/outputMost + 1; windows > 0; windows-- {
				w := p
				w.at, w.n = at, (p.at+p.n-at)/windows
				jobs = add(jobs, w)
				at += w.n
			}
		}
	}
	for _, r := range kept(besideWhole(runs, areas), blocks) {
		changed(r.at)
		jobs = append(jobs, job{at: r.at, n: r.n, from: r.from})
		at += r.n
	}
	changed(blocks)
	return jobs
}

// add puts p into the last job, or into a new one where that has no room.
func add(jobs []job, p piece) []job {
	if len(jobs) > 0 {
		j := &jobs[len(jobs)-1]
		weight, references := p.weight(), p.references()
		for _, q := range j.pieces {
			weight += q.weight()
			references += q.references()
		}
		if len(j.pieces) > 0 && weight <= outputMost && references <= referenceMost {
			j.n += p.n
			j.pieces = append(j.pieces, p)
			return jobs
		}
	}
	return append(jobs, job{at: p.at, n: p.n, pieces: []piece{p}})
}

// besideWhole is runs without what is part of a file that is to be patched as a whole,
// because it is compressed: a common start says nothing about the rest.
func besideWhole(runs []run, areas []area) []run {
	var all []run
	for _, r := range runs {
		for len(areas) > 0 && areas[0].at+areas[0].n <= r.at {
			areas = areas[1:]
		}
		i := 0
		for r.n > 0 && i < len(areas) && areas[i].at < r.at+r.n {
			a := areas[i]
			i++
			before, end := max(a.at-r.at, 0), min(a.at+a.n-r.at, r.n)
			if !a.compressed() || end-before == a.n {
				continue
			}
			if before > 0 {
				all = append(all, run{r.at, r.from, before})
			}
			r = run{r.at + end, r.from + end, r.n - end}
		}
		if r.n > 0 {
			all = append(all, r)
		}
	}
	return all
}

// kept is the runs that become copies: all but the short ones that have changed
// blocks on both sides before there is a long one.
func kept(runs []run, blocks int) []run {
	var all []run
	end := 0 // of what is unchanged from the last long run on
	for i, r := range runs {
		touches := r.at == end
		if r.n < copyLeast && !touches && !leadsToLong(runs[i:], blocks) {
			continue
		}
		all = append(all, r)
		end = r.at + r.n
	}
	return all
}

// leadsToLong says whether from runs[0] on nothing has changed up to a long run, or to
// the end of the image.
func leadsToLong(runs []run, blocks int) bool {
	end := runs[0].at
	for _, r := range runs {
		if r.at != end {
			return false
		}
		if r.n >= copyLeast {
			return true
		}
		end += r.n
	}
	return end == blocks
}
