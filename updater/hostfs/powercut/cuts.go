package powercut

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Cut is one state that a power cut may leave behind.
type Cut struct {
	After int    // operations were begun
	What  string // became of those that were not durable

	took []Op // place, in their order
	key  string
}

// String tells the cut.
func (c Cut) String() string { return fmt.Sprintf("cut after %d operations, %s", c.After, c.What) }

// Key is the same for cuts that leave the same, of recordings that differ in their
// syncs alone as well.
func (c Cut) Key() string { return c.key }

// Leave applies the cut to dir, a copy of the recorder's folder from before the
// recording.
func (c Cut) Leave(dir string) error {
	for _, op := range c.took {
		if err := op.apply(dir); err != nil {
			return fmt.Errorf("replaying %s: %w", op, err)
		}
	}
	return nil
}

// Sample bounds the cuts after each operation, besides those by which nothing and
// all that is not durable is lost.
type Sample struct {
	Alone   int // operations that are lost alone
	Torn    int // places at which a write is torn, from either side
	Subsets int // that are lost
}

// fate is what becomes of an operation: from and to are the part of a write that
// takes place.
type fate struct {
	lost     bool
	as       Kind // in place of its own; "" for none
	from, to int
}

// Cuts are those after the first n operations. Renames of which nothing is durable
// are also cut in half, as FAT may do it: the old name gone and the new one not
// there, and both there.
func Cuts(ops []Op, n int, s Sample, random *rand.Rand) []Cut {
	var open []int // the operations that are not durable
	for i := range n {
		if ops[i].changes() && !durable(ops[:n], i) {
			open = append(open, i)
		}
	}
	none := map[int]fate{}
	cuts := []Cut{cut(ops, n, "nothing is lost", none)}
	if len(open) == 0 {
		return cuts
	}
	all := map[int]fate{}
	for _, i := range open {
		all[i] = fate{lost: true}
	}
	cuts = append(cuts, cut(ops, n, "everything unsynced is lost", all))
	for _, i := range some(open, s.Alone, random) {
		cuts = append(cuts, cut(ops, n, fmt.Sprintf("%s is lost", ops[i]), map[int]fate{i: {lost: true}}))
	}
	for _, i := range open {
		if ops[i].Kind == Rename {
			cuts = append(cuts,
				cut(ops, n, fmt.Sprintf("%s has removed the old name", ops[i]), map[int]fate{i: {as: Remove}}),
				cut(ops, n, fmt.Sprintf("%s has kept the old name", ops[i]), map[int]fate{i: {as: duplicate}}))
		}
	}
	for _, p := range some(tears(ops, open), s.Torn, random) {
		head, tail := fate{to: p.at}, fate{from: p.at, to: len(ops[p.op].Data)}
		cuts = append(cuts,
			cut(ops, n, fmt.Sprintf("%s ends after %d bytes", ops[p.op], p.at), map[int]fate{p.op: head}),
			cut(ops, n, fmt.Sprintf("%s lacks its first %d bytes", ops[p.op], p.at), map[int]fate{p.op: tail}))
	}
	for range s.Subsets {
		fates := map[int]fate{}
		for _, i := range open {
			if random.IntN(2) == 0 {
				fates[i] = fate{lost: true}
			}
		}
		cuts = append(cuts, cut(ops, n, fmt.Sprintf("%d of %d operations are lost", len(fates), len(open)), fates))
	}
	return cuts
}

// tear is a place between two sectors of a write.
type tear struct{ op, at int }

func tears(ops []Op, open []int) (all []tear) {
	for _, i := range open {
		if op := ops[i]; op.Kind == Write {
			for at := int((op.Offset/sector+1)*sector - op.Offset); at < len(op.Data); at += sector {
				all = append(all, tear{i, at})
			}
		}
	}
	return all
}

// some are at most n of all, chosen at random.
func some[T any](all []T, n int, random *rand.Rand) []T {
	if len(all) <= n {
		return all
	}
	all = slices.Clone(all)
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

func cut(ops []Op, n int, what string, fates map[int]fate) Cut {
	c := Cut{After: n, What: what}
	var key strings.Builder
	changes := 0 // so far; syncs are not in the key
	for i, op := range ops[:n] {
		if !op.changes() {
			continue
		}
		changes++
		f, special := fates[i]
		if f.lost {
			continue
		}
		if special && f.as != "" {
			op.Kind = f.as
		} else if special {
			op.Offset, op.Data = op.Offset+int64(f.from), op.Data[f.from:f.to]
		}
		fmt.Fprintf(&key, "%d %s %d %d;", changes, f.as, f.from, f.to)
		c.took = append(c.took, op)
	}
	c.key = key.String()
	return c
}

// changes reports whether the operation changes anything by itself.
func (o Op) changes() bool { return !o.IsSync() && o.Kind != Drop }

// IsSync reports whether the operation makes others durable.
func (o Op) IsSync() bool { return o.Kind == Sync || o.Kind == SyncDir || o.Kind == SyncFS }

// Open reports whether the first n operations have left something that is not
// durable.
func Open(ops []Op, n int) bool {
	for i := range n {
		if ops[i].changes() && !durable(ops[:n], i) {
			return true
		}
	}
	return false
}

// Unread is the first place at which content was dropped from the cache, to read
// it back from the medium, that was not durable by then: the reading back then has
// proved nothing. It is len(ops) if there is none.
func Unread(ops []Op) int {
	for n, op := range ops {
		if op.Kind != Drop {
			continue
		}
		for i, w := range ops[:n] {
			overlaps := w.Offset < op.Offset+op.Length && op.Offset < w.Offset+int64(len(w.Data))
			if w.Kind == Write && w.Name == op.Name && overlaps && !durable(ops[:n], i) {
				return n
			}
		}
	}
	return len(ops)
}
