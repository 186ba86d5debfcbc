package updater_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// size is how much of the power cuts is tried: TORTURE_SIZE, small or full, and
// TORTURE_SEED, as in package torture.
type size struct {
	full bool
	seed uint64
}

// sizeOf is n in a full run and few in a small one.
func (s size) sizeOf(few, n int) int {
	if s.full {
		return n
	}
	return few
}

func readSize() (s size, err error) {
	switch text := os.Getenv("TORTURE_SIZE"); text {
	case "", "small":
		s.seed = 1
	case "full":
		s = size{true, uint64(time.Now().UnixNano())}
	default:
		return s, fmt.Errorf("TORTURE_SIZE=%q: want small or full", text)
	}
	if text := os.Getenv("TORTURE_SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return s, fmt.Errorf("TORTURE_SEED=%q: want a number from 0 to 2^64-1", text)
		}
	}
	return s, nil
}

// figures are what the tests of power cuts count.
type figures struct {
	size
	mu     sync.Mutex
	values map[string]int
}

// The figures. Those of what is wrong must be 0.
const (
	figurePrefixes   = "prefixes"
	figureStates     = "states"
	figureDifferent  = "states, different ones that were judged"
	figureUnbootable = "unbootable"
	figureUnverified = "unverified boots"
	figureStuck      = "stuck"
	figureSyncs      = "syncs taken out"
	figureUnnoticed  = "syncs taken out, and not noticed"
	figureFaults     = "faults"
	figureNotMended  = "faults, and the next run fails"
)

// report is what this run has counted; TestMain prints it.
var report = &figures{values: map[string]int{
	figureUnbootable: 0, figureUnverified: 0, figureStuck: 0, figureUnnoticed: 0, figureNotMended: 0,
}}

func (f *figures) add(name string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[name] += n
}

func (f *figures) print() {
	fmt.Printf("\n%-60s %8d\n", "updater in process: seed (TORTURE_SEED)", f.seed)
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		fmt.Printf("%-60s %8d\n", "updater in process: "+name, f.values[name])
	}
}

func TestMain(m *testing.M) {
	var err error
	if report.size, err = readSize(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := m.Run()
	report.print()
	os.Exit(code)
}
