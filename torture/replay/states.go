package replay

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// State says how a state came about.
type State struct {
	Entry  int    // of the log: none of those from here on had completed
	Way    Way    // what became of what was not flushed
	Detail string // such as "write 3 of 17 lost"
}

// String is for messages.
func (s State) String() string { return fmt.Sprintf("entry %d, %s: %s", s.Entry, s.Way, s.Detail) }

// Way is what a power cut makes of the writes since the last flush.
type Way string

// The ways.
const (
	Prefix    Way = "prefix"    // all arrived
	Torn      Way = "torn"      // all arrived, and of one more the first or the last sectors
	Lost      Way = "lost"      // one is lost, later ones arrived
	Alone     Way = "alone"     // one arrived, earlier ones are lost
	Reordered Way = "reordered" // any of them arrived, and of some only sectors
)

// Bounds say how many states there are beside the prefixes, which are all
// visited. Zero means none.
type Bounds struct {
	Torn      int // of each write
	Each      int // of each flush epoch, at most so many lost and so many alone
	Reordered int // of each flush epoch
}

// Each brings the disk into every state, one after the other, and calls visit
// for each; it ends at the first error. Entries from first on are replayed as
// told, those before it have arrived. Equal seeds make equal states. Afterwards
// the disk has everything.
func (d *Disk) Each(first int, bounds Bounds, seed uint64, visit func(State) error) error {
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range first {
		if d.writes[i].Sectors > 0 {
			d.put(d.whole(i))
		}
	}
	if err := visit(State{first, Prefix, "before the first"}); err != nil {
		return err
	}
	for start := first; start < len(d.writes); {
		end := start
		for end < len(d.writes) && !d.writes[end].Flush {
			end++
		}
		e := epoch{d, start, end, random, visit}
		for _, step := range []func(Bounds) error{e.lost, e.alone, e.reordered, e.prefixes} {
			if err := step(bounds); err != nil {
				return err
			}
		}
		start = end + 1
	}
	return nil
}

// epoch is what a disk was told between two flushes.
type epoch struct {
	d          *Disk
	start, end int // entries
	random     *rand.Rand
	visit      func(State) error
}

// prefixes visits the epoch in the order in which it happened, and leaves it
// done.
func (e epoch) prefixes(bounds Bounds) error {
	for i := e.start; i < e.end; i++ {
		for _, torn := range e.tear(i, bounds.Torn) {
			undo := e.d.apply(torn)
			err := e.visit(State{i, Torn, fmt.Sprintf("sectors %d to %d of %d", torn.from, torn.till, e.d.writes[i].Sectors)})
			undo()
			if err != nil {
				return err
			}
		}
		e.d.put(e.d.whole(i))
		if err := e.visit(State{i + 1, Prefix, fmt.Sprintf("write %d of %d since the flush", i-e.start+1, e.end-e.start)}); err != nil {
			return err
		}
	}
	return nil
}

// tear are at most n parts of a write: all first sectors and all last ones of a
// short write, some of a long one.
func (e epoch) tear(write, n int) []part {
	sectors := e.d.writes[write].Sectors
	var all []part
	if sectors-1 <= int64(n)/2 {
		for s := int64(1); s < sectors; s++ {
			all = append(all, part{write, 0, s}, part{write, s, sectors})
		}
		return all
	}
	for len(all) < n {
		s := 1 + e.random.Int64N(sectors-1)
		all = append(all, part{write, 0, s}, part{write, s, sectors})
	}
	return all[:n]
}

func (e epoch) lost(bounds Bounds) error {
	return e.variants(bounds.Each, Lost, func(lost int) []part {
		var kept []part
		for i := e.start; i < e.end; i++ {
			if i != lost {
				kept = append(kept, e.d.whole(i))
			}
		}
		return kept
	})
}

func (e epoch) alone(bounds Bounds) error {
	return e.variants(bounds.Each, Alone, func(only int) []part { return []part{e.d.whole(only)} })
}

// variants visits a state for each of at most n writes. An epoch of one write
// has none that is not a prefix.
func (e epoch) variants(n int, way Way, parts func(int) []part) error {
	count := e.end - e.start
	if count < 2 {
		return nil
	}
	picked := e.random.Perm(count)
	picked = picked[:min(n, count)]
	slices.Sort(picked)
	for _, i := range picked {
		if err := e.with(parts(e.start+i), State{e.end, way, fmt.Sprintf("write %d of %d", i+1, count)}); err != nil {
			return err
		}
	}
	return nil
}

func (e epoch) reordered(bounds Bounds) error {
	count := e.end - e.start
	if count < 2 {
		return nil
	}
	for n := range bounds.Reordered {
		share := e.random.Float64()
		var parts []part
		for i := e.start; i < e.end; i++ {
			if e.random.Float64() >= share {
				continue
			}
			p := e.d.whole(i)
			if p.till > 1 && e.random.IntN(4) == 0 { // of this one, only sectors
				p.from = e.random.Int64N(p.till)
				p.till = p.from + 1 + e.random.Int64N(p.till-p.from)
			}
			parts = append(parts, p)
		}
		state := State{e.end, Reordered, fmt.Sprintf("choice %d: %d of %d writes", n+1, len(parts), count)}
		if err := e.with(parts, state); err != nil {
			return err
		}
	}
	return nil
}

// with visits the state that the epoch's start and the parts make.
func (e epoch) with(parts []part, state State) error {
	undo := make([]func(), 0, len(parts))
	for _, p := range parts {
		undo = append(undo, e.d.apply(p))
	}
	err := e.visit(state)
	for _, u := range slices.Backward(undo) {
		u()
	}
	return err
}
