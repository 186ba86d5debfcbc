package solver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/solver"
)

// reference is the rules of a small world told plainly, to compare with: sets
// of packages are bits.
type reference struct {
	format packages.Format
	all    []packages.Package
}

func number(v string) int { var n int; fmt.Sscan(v, &n); return n } // the random worlds have small numbers as versions

// within reports whether two ranges meet, by trying all versions.
func (r reference) satisfies(p packages.Package, want packages.Relation) bool {
	accepts := func(op packages.Op, version string, n int) bool {
		v := number(version) * 2
		return [...]bool{true, n < v, n <= v, n == v, n >= v, n > v}[op]
	}
	for _, have := range p.Provides {
		if have.Name != want.Name {
			continue
		}
		if r.format == packages.Deb && want.Op != packages.Any && have.Op == packages.Any {
			continue
		}
		for n := -2; n < 20; n++ { // halves, too
			if accepts(have.Op, have.Version, n) && accepts(want.Op, want.Version, n) {
				return true
			}
		}
	}
	return false
}

// holds tells a requirement of the set; without is left out of it.
func (r reference) holds(set uint, without int, q packages.Requirement) bool {
	arg := func(i int) bool { return r.holds(set, without, q.Args[i]) }
	switch q.Joined {
	case packages.And:
		return arg(0) && arg(1)
	case packages.Or:
		return arg(0) || arg(1)
	case packages.If:
		if arg(1) {
			return arg(0)
		}
		return len(q.Args) < 3 || arg(2)
	case packages.Unless:
		if !arg(1) {
			return arg(0)
		}
		return len(q.Args) == 3 && arg(2)
	}
	for i, p := range r.all {
		if set>>i&1 == 0 || i == without {
			continue
		}
		one := func(i int) bool { return r.satisfies(p, q.Args[i].Relation) }
		if q.Joined == packages.Plain && r.satisfies(p, q.Relation) ||
			q.Joined == packages.With && one(0) && one(1) || q.Joined == packages.Without && one(0) && !one(1) {
			return true
		}
	}
	return false
}

// wrong is the first rule that the set breaks.
func (r reference) wrong(set uint, wanted []packages.Requirement) string {
	for _, w := range wanted {
		if !r.named(set, w.Relation) {
			return fmt.Sprintf("%v is wanted", w)
		}
	}
	for i, p := range r.all {
		if set>>i&1 == 0 {
			continue
		}
		for _, q := range p.Requires {
			if !r.holds(set, -1, q) {
				return fmt.Sprintf("%s-%s needs %v", p.Name, p.Version, q)
			}
		}
		for _, q := range p.Conflicts {
			without := i
			if q.Joined == packages.If || q.Joined == packages.Unless || q.Joined == packages.And {
				without = -1
			}
			if r.holds(set, without, q) {
				return fmt.Sprintf("%s-%s conflicts with %v", p.Name, p.Version, q)
			}
		}
		for j, other := range r.all {
			if i == j || set>>j&1 == 0 {
				continue
			}
			if other.Name == p.Name {
				return "two of " + p.Name
			}
			for _, o := range p.Obsoletes {
				self := packages.Package{Provides: other.Provides[:1]}
				if o.Name == other.Name && r.satisfies(self, o) {
					return fmt.Sprintf("%s-%s obsoletes %v", p.Name, p.Version, o)
				}
			}
		}
	}
	return ""
}

// named tells a relation that was asked for: where packages of that name
// satisfy it that nothing obsoletes, one of these it has to be.
func (r reference) named(set uint, want packages.Relation) bool {
	named := false
	for i, p := range r.all {
		obsoleted := slices.ContainsFunc(r.all, func(by packages.Package) bool {
			return by.Name != p.Name && slices.ContainsFunc(by.Obsoletes, func(o packages.Relation) bool {
				return o.Name == p.Name && r.satisfies(packages.Package{Provides: p.Provides[:1]}, o)
			})
		})
		if p.Name != want.Name || obsoleted || !r.satisfies(p, want) {
			continue
		}
		if set>>i&1 == 1 {
			return true
		}
		named = true
	}
	return !named && r.holds(set, -1, packages.Requirement{Relation: want})
}

// randomWorld has few names, so that they meet often.
func randomWorld(random *rand.Rand, format packages.Format, size int) (r reference, wanted []packages.Requirement) {
	r.format = format
	letters := "abcdefgh"
	name := func() string { n := random.IntN(len(letters)); return letters[n : n+1] }
	relation := func() packages.Relation {
		rel := packages.Relation{Name: name()}
		if random.IntN(3) == 0 {
			rel.Op, rel.Version = packages.Op(1+random.IntN(5)), fmt.Sprint(1+random.IntN(3))
		}
		return rel
	}
	requirement := func() packages.Requirement {
		q := packages.Requirement{Relation: relation()}
		second := packages.Requirement{Relation: relation()}
		third := packages.Requirement{Relation: relation()}
		if random.IntN(3) > 0 {
			return q
		}
		joined := packages.Connective(1 + random.IntN(6))
		if format == packages.Deb {
			joined = packages.Or
		}
		args := []packages.Requirement{q, second}
		if (joined == packages.If || joined == packages.Unless) && random.IntN(2) == 0 {
			args = append(args, third)
		}
		return packages.Requirement{Joined: joined, Args: args}
	}
	for range size {
		p := packages.Package{Name: name(), Version: fmt.Sprint(1 + random.IntN(3)), Arch: "x86_64"}
		p.Provides = []packages.Relation{{Name: p.Name, Op: packages.Equal, Version: p.Version}}
		if random.IntN(3) == 0 {
			v := relation()
			if format == packages.Deb && v.Op != packages.Any {
				v.Op = packages.Equal
			}
			p.Provides = append(p.Provides, v)
		}
		for range random.IntN(3) {
			p.Requires = append(p.Requires, requirement())
		}
		if random.IntN(3) == 0 {
			p.Conflicts = append(p.Conflicts, requirement())
		}
		if random.IntN(6) == 0 {
			p.Obsoletes = append(p.Obsoletes, relation())
		}
		r.all = append(r.all, p)
	}
	for range 1 + random.IntN(3) {
		wanted = append(wanted, packages.Requirement{Relation: packages.Relation{Name: name()}})
	}
	return r, wanted
}

func TestRandomWorldsAreSolvedWhereASolutionExists(t *testing.T) {
	t.Parallel()
	solvable, unsolvable := 0, 0
	for seed := range uint64(1500) {
		random := rand.New(rand.NewPCG(seed, 7))
		format := []packages.Format{packages.RPM, packages.Deb}[seed%2]
		r, wanted := randomWorld(random, format, 3+random.IntN(6))
		chosen, err := solver.Solve(context.Background(), solver.Config{Format: format, Arch: "x86_64", Candidates: r.all, Wanted: wanted})
		var no *solver.Unsolvable
		switch {
		case errors.As(err, &no):
			unsolvable++
			if text := err.Error(); text == "" || strings.Contains(text, "  ") {
				t.Errorf("world %d: error %q", seed, text)
			}
			for set := range uint(1) << len(r.all) {
				if r.wrong(set, wanted) == "" {
					t.Fatalf("world %d: no solution is found (%v), but %b is one of %v for %v", seed, err, set, r.all, wanted)
				}
			}
		case err != nil:
			t.Fatalf("world %d: %v", seed, err)
		default:
			solvable++
			checkChoice(t, seed, r, wanted, chosen)
		}
	}
	if solvable < 300 || unsolvable < 300 {
		t.Errorf("%d worlds have a solution and %d have none: want many of both", solvable, unsolvable)
	}
}

// checkChoice checks that all rules hold, and that each package is needed.
func checkChoice(t *testing.T, seed uint64, r reference, wanted []packages.Requirement, chosen []int) {
	t.Helper()
	var set uint
	for _, i := range chosen {
		set |= 1 << i
	}
	if wrong := r.wrong(set, wanted); wrong != "" {
		t.Fatalf("world %d: %s: %v of %v", seed, wrong, chosen, r.all)
	}
	for _, i := range chosen {
		if r.wrong(set&^(1<<i), wanted) == "" {
			t.Fatalf("world %d: nothing needs %d of %v in %v for %v", seed, i, chosen, r.all, wanted)
		}
	}
}

func TestTheChoiceIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		r, wanted := randomWorld(rand.New(rand.NewPCG(seed, 11)), packages.RPM, 60)
		c := solver.Config{Format: packages.RPM, Arch: "x86_64", Candidates: r.all, Wanted: wanted}
		first, firstErr := solver.Solve(context.Background(), c)
		for range 5 {
			again, err := solver.Solve(context.Background(), c)
			if !slices.Equal(first, again) || fmt.Sprint(err) != fmt.Sprint(firstErr) {
				t.Fatalf("world %d: %v %v, then %v %v", seed, first, firstErr, again, err)
			}
		}
	}
}
