package solver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/solver"
)

func TestAChainOfTenThousandIsFollowed(t *testing.T) {
	t.Parallel()
	const deep = 10_000
	var world strings.Builder
	for i := range deep {
		fmt.Fprintf(&world, "p%d 1; needs p%d\n", i, i+1)
	}
	c := config(t, packages.RPM, world.String(), "p0")
	if got := names(t, c); got != "error: nothing provides p10000, which p9999 needs (p0 needs p1, p1 needs p2, …, p9997 needs p9998, p9998 needs p9999)" {
		t.Error(got)
	}
	c.Candidates = append(c.Candidates, world1(t, "p10000 1; needs p0"))
	if chosen, err := solver.Solve(context.Background(), c); err != nil || len(chosen) != deep+1 {
		t.Errorf("%d chosen, error %v", len(chosen), err)
	}
}

func world1(t testing.TB, line string) packages.Package { return world(t, line)[0] }

func TestManyVersionsOfOneNameStaySmall(t *testing.T) {
	t.Parallel()
	var world strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&world, "a %d; needs b >= %d\n", i, i)
	}
	world.WriteString("b 7\n")
	if got := names(t, config(t, packages.RPM, world.String(), "a")); got != "a-7 b-7" {
		t.Error(got)
	}
}

// pigeons is a world of more packages that exclude each other than there is
// room for, which no SAT solver without counting sees.
func pigeons(n int) string {
	var world strings.Builder
	fmt.Fprint(&world, "all 1")
	for i := range n + 1 {
		fmt.Fprintf(&world, "; needs pigeon%d", i)
	}
	world.WriteString("\n")
	for i := range n + 1 {
		for hole := range n {
			// Of one name there can be only one: the name is the hole.
			fmt.Fprintf(&world, "hole%d %d; provides pigeon%d\n", hole, i, i)
		}
	}
	return world.String()
}

func TestAHostileWorldEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := config(t, packages.RPM, pigeons(14), "all")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := solver.Solve(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v: want the deadline's", err)
	}
	if _, err := solver.Solve(context.Background(), config(t, packages.RPM, pigeons(4), "all")); err == nil {
		t.Error("five pigeons fit into four holes")
	}
}

func TestRequirementsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	deep := packages.Requirement{}
	for range 100 {
		deep = packages.Requirement{Joined: packages.And, Args: []packages.Requirement{deep}}
	}
	for rule, r := range map[string]packages.Requirement{
		"deeper than 64": deep, "unknown connective 77": {Joined: 77}, "want 2 to 3": {Joined: packages.If, Args: make([]packages.Requirement, 1)},
		"want 1 to 65536": {Joined: packages.Or}, "want 2 to 2": {Joined: packages.Without, Args: make([]packages.Requirement, 3)},
		"unknown operator": {Relation: packages.Relation{Name: "x", Op: 9}},
	} {
		p := packages.Package{Name: "a", Version: "1"}
		for _, list := range []*[]packages.Requirement{&p.Requires, &p.Conflicts, &p.Recommends, &p.Supplements} {
			*list = []packages.Requirement{r}
			_, err := solver.Solve(context.Background(), solver.Config{Format: packages.RPM, Candidates: []packages.Package{p}})
			if err == nil || !strings.Contains(err.Error(), rule) || !strings.Contains(err.Error(), "package a 1") {
				t.Errorf("error %v: want %q in it", err, rule)
			}
			*list = nil
		}
		if _, err := solver.Solve(context.Background(), solver.Config{Format: packages.RPM, Wanted: []packages.Requirement{r}}); err == nil {
			t.Errorf("%s: accepted as asked for", rule)
		}
	}
	if _, err := solver.Solve(context.Background(), solver.Config{}); err == nil {
		t.Error("packages of no format are accepted")
	}
}

// large is a repository like those of distributions: libraries with versioned
// capabilities, several versions, alternatives, files, conflicts that make a
// choice wrong, and 1,000 packages that one set of wishes brings.
func large(size int) ([]packages.Package, []packages.Requirement) {
	random := rand.New(rand.NewPCG(50, 1000))
	plain := func(name string) packages.Requirement {
		return packages.Requirement{Relation: packages.Relation{Name: name}}
	}
	all := make([]packages.Package, 0, size)
	names := size / 2 // two versions of each
	for i := range names {
		for v := 1; v <= 2; v++ {
			name := fmt.Sprintf("pkg%d", i)
			p := packages.Package{Name: name, Version: fmt.Sprintf("%d.%d-1", v, i%10), Arch: "x86_64", Priority: 99, Repository: v - 1}
			p.Provides = []packages.Relation{
				{Name: name, Op: packages.Equal, Version: p.Version},
				{Name: fmt.Sprintf("lib%d.so.%d()(64bit)", i, v)},
				{Name: fmt.Sprintf("virtual%d", i%(names/4)), Op: packages.Equal, Version: fmt.Sprint(v)},
			}
			for f := range 10 {
				p.Files = append(p.Files, fmt.Sprintf("/usr/bin/tool%d-%d", i, f))
			}
			// Dependencies point mostly to packages of the same neighbourhood.
			near := func() int { return (i/1000)*1000 + random.IntN(1000) }
			for range 3 {
				p.Requires = append(p.Requires, plain(fmt.Sprintf("lib%d.so.2()(64bit)", near())))
			}
			p.Requires = append(p.Requires, plain(fmt.Sprintf("/usr/bin/tool%d-%d", near(), random.IntN(10))),
				packages.Requirement{Joined: packages.Or, Args: []packages.Requirement{plain(fmt.Sprintf("pkg%d", near())), plain(fmt.Sprintf("virtual%d", random.IntN(names/4)))}},
				packages.Requirement{Relation: packages.Relation{Name: fmt.Sprintf("pkg%d", near()), Op: packages.GreaterEqual, Version: "1"}},
				packages.Requirement{Joined: packages.If, Args: []packages.Requirement{plain(fmt.Sprintf("pkg%d", near())), plain(fmt.Sprintf("pkg%d", near()))}})
			// The newest of some is against a package that may be chosen later.
			if i%100 == 50 {
				if v == 2 {
					p.Conflicts = append(p.Conflicts, plain(fmt.Sprintf("pkg%d", i-1-random.IntN(40))))
				} else {
					p.Provides = append(p.Provides, packages.Relation{Name: fmt.Sprintf("lib%d.so.2()(64bit)", i)})
				}
			}
			all = append(all, p)
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var wanted []packages.Requirement
	for i := range 60 {
		wanted = append(wanted, plain(fmt.Sprintf("pkg%d", i*16+1)))
	}
	for i := range 10 { // first taken in their newest version, which cannot stand
		wanted = append(wanted, plain(fmt.Sprintf("pkg%d", i*100+50)))
	}
	return all, append(wanted, plain("pkg0"))
}

// BenchmarkSolveFiftyThousand chooses about 1,000 packages from 50,000. peak-MiB is the
// memory that Go took from the system.
func BenchmarkSolveFiftyThousand(b *testing.B) {
	all, wanted := large(50_000)
	debug.FreeOSMemory()
	chosen := 0
	for b.Loop() {
		got, err := solver.Solve(context.Background(), solver.Config{Format: packages.RPM, Arch: "x86_64", Candidates: all, Wanted: wanted})
		if err != nil {
			b.Fatal(err)
		}
		chosen = len(got)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(chosen), "packages")
	b.ReportMetric(float64(m.Sys)/(1<<20), "peak-MiB")
	b.ReportAllocs()
}
