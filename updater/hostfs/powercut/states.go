package powercut

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
)

// Loss says what becomes of operations that were not durable at the cut.
type Loss string

// The losses.
const (
	Nothing    Loss = "nothing is lost"
	Everything Loss = "everything unsynced is lost"
	Part       Loss = "a part is lost, and a write is torn"
)

// sector is the unit that a medium writes whole.
const sector = 512

// Leave applies to dir, a copy of the recorder's folder from before the
// recording, what a cut after the first n operations leaves. Which part is
// lost under Part depends on seed.
func Leave(dir string, ops []Op, n int, loss Loss, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	for i, op := range ops[:n] {
		if !durable(ops[:n], i) {
			switch loss {
			case Everything:
				continue
			case Part:
				if random.IntN(2) == 0 {
					continue
				}
				op = torn(op, random)
			}
		}
		if err := op.apply(dir); err != nil {
			return fmt.Errorf("replaying %s: %w", op, err)
		}
	}
	return nil
}

// torn keeps the sectors of a write up to somewhere in it; within a sector
// nothing tears.
func torn(op Op, random *rand.Rand) Op {
	if op.Kind != Write {
		return op
	}
	ends := []int{len(op.Data)}
	for at := int((op.Offset/sector+1)*sector - op.Offset); at < len(op.Data); at += sector {
		ends = append(ends, at)
	}
	op.Data = op.Data[:ends[random.IntN(len(ends))]]
	return op
}

// durable reports whether operation i was made durable by a later one.
func durable(ops []Op, i int) bool {
	op := ops[i]
	switch op.Kind {
	case Variable, RemoveVariable:
		return true
	}
	for _, later := range ops[i+1:] {
		switch later.Kind {
		case Sync:
			// The content of a file, not its name in the folder; and only what went
			// through the same handle, as if every partition of a disk had a cache
			// of its own, which they have.
			if op.Kind == Write && later.Handle == op.Handle {
				return true
			}
		case SyncDir:
			folder := filepath.Dir(op.Name)
			if op.Kind != Write && (folder == later.Name || op.To != "" && filepath.Dir(op.To) == later.Name) {
				return true
			}
		case SyncFS:
			if strings.HasPrefix(op.Name, later.Name+"/") {
				return true
			}
		}
	}
	return false
}
