package torture

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

var (
	seed uint64
	full bool

	shared lab
	report = &figures{values: map[string]int64{}}
)

// wrong are the figures that must be 0. They are printed also when they are.
var wrong = []string{
	"power cuts: unbootable", "power cuts: unverified", "power cuts: table written to", "power cuts: stuck",
	"power cuts of a recorded file: faults", "kills: not converged", "kills: bytes fetched twice", "faults: next run fails", "flips: not found",
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := readEnvironment(); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "proa-torture-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		return 1
	}
	shared.dir = dir
	defer shared.close()
	for _, name := range wrong {
		report.add(name, 0)
	}
	code := m.Run()
	if report.wrong() {
		code = max(code, 1)
	}
	report.print(code)
	return code
}

func readEnvironment() error {
	switch size := os.Getenv("TORTURE_SIZE"); size {
	case "", "small":
		seed = 1
	case "full":
		full = true
		seed = uint64(time.Now().UnixNano())
	default:
		return fmt.Errorf("TORTURE_SIZE=%q: want small or full", size)
	}
	text, set := os.LookupEnv("TORTURE_SEED")
	if !set || text == "" {
		return nil
	}
	var err error
	if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
		return fmt.Errorf("TORTURE_SEED=%q: want a number from 0 to 2^64-1", text)
	}
	return nil
}

// sizeOf is n in a full run and few in a small one.
func sizeOf(few, n int) int {
	if full {
		return n
	}
	return few
}

// figures are what the tests count.
type figures struct {
	mu     sync.Mutex
	values map[string]int64
}

func (f *figures) add(name string, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[name] += n
}

func (f *figures) get(name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[name]
}

// wrong reports whether a figure that must be 0 is not.
func (f *figures) wrong() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(wrong, func(name string) bool { return f.values[name] != 0 })
}

func (f *figures) print(code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Printf("\n%-44s %12d\n", "seed (TORTURE_SEED)", seed)
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		fmt.Printf("%-44s %12d\n", name, f.values[name])
	}
	if code != 0 {
		fmt.Println("FAILED: see above what is wrong")
	}
}
