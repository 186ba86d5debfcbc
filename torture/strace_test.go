package torture

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// touching are the calls with which the agent touches what outlives it.
var touching = []string{
	"pwrite64", "write", "fsync", "fdatasync", "syncfs", "sync_file_range", "ftruncate", "fallocate",
	"openat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdirat", "ioctl", "mount", "umount2",
}

// place is the n-th time that a thread comes to a call: strace counts by
// thread.
type place struct {
	call string
	n    int
}

func (p place) String() string { return fmt.Sprintf("%s %d", p.call, p.n) }

// strace is the beginning of a command line.
func strace(trace string, inject ...string) []string {
	line := []string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=" + strings.Join(touching, ",")}
	for _, i := range inject {
		line = append(line, "-e", "inject="+i)
	}
	return line
}

// places runs the agent once, which must end well, and says which places it
// comes to.
func (f *fleet) places(t *testing.T, args ...string) []place {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	if r := f.runUnder(t, strace(trace), args...); r.code != 0 {
		t.Fatalf("proa-agent %v: exit code %d\n%s", args, r.code, r.output)
	}
	most := map[string]int{}
	counts := map[[2]string]int{}
	for _, c := range readTrace(t, trace) {
		counts[[2]string{c.thread, c.call}]++
		most[c.call] = max(most[c.call], counts[[2]string{c.thread, c.call}])
	}
	var all []place
	for _, call := range touching {
		for n := range most[call] {
			all = append(all, place{call, n + 1})
		}
	}
	// How many depends on how the calls fall to threads; every command has these.
	const least = 10
	if len(all) < least {
		t.Fatalf("proa-agent %v touches only %v", args, all)
	}
	return all
}

// traced is one call in a trace.
type traced struct{ thread, call string }

func readTrace(t *testing.T, path string) []traced {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []traced
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		thread, rest, _ := strings.Cut(lines.Text(), " ")
		call, _, ok := strings.Cut(strings.TrimSpace(rest), "(")
		if ok && slices.Contains(touching, call) {
			all = append(all, traced{thread, call})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// sample picks at most n, in order.
func sample[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	random := rand.New(rand.NewPCG(seed, uint64(len(all))))
	picked := random.Perm(len(all))[:n]
	slices.Sort(picked)
	some := make([]T, 0, n)
	for _, i := range picked {
		some = append(some, all[i])
	}
	return some
}

// injected reports whether a trace has a call that was made to fail.
func injected(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "(INJECTED)")
}
