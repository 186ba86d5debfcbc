// Package solver chooses a set of packages: what was asked for, and what that
// needs. It reads no files and no network; the same candidates give the same
// choice, whatever their order.
//
// How it chooses: requirements are met one after the other, those that leave no
// choice first, each by the most preferred package with which a solution still
// exists. Most sets are found without search. Where a choice turns out to have
// been wrong, a SAT solver (gini) says which one was the first that cannot
// stand; the preferences are never left to it. Against requirements that cannot
// be met it names the contradiction, which Unsolvable puts into words.
package solver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// Config is what to choose from, and what for. The image starts empty.
type Config struct {
	Format       packages.Format // how relations match what is provided
	Arch         string          // of the image, in the format's own words; candidates of others are passed over
	Candidates   []packages.Package
	Repositories []string               // how messages call Package.Repository
	Wanted       []packages.Requirement // each has to hold
	Exclude      []string               // names of packages never to choose
	Recommends   bool                   // also what the chosen recommend, where that is possible
}

// Solve chooses the packages to install. They are indices into Candidates,
// sorted by name, architecture and version. Without a solution the error is an
// *Unsolvable.
func Solve(ctx context.Context, c Config) ([]int, error) {
	if c.Format != packages.RPM && c.Format != packages.Deb {
		return nil, fmt.Errorf("packages of format %q: want rpm or deb", c.Format)
	}
	if err := check(c); err != nil {
		return nil, err
	}
	u := newUniverse(c)
	s, err := solve(ctx, u)
	if err != nil {
		return nil, err
	}
	chosen, err := s.reduce(ctx)
	if err != nil {
		return nil, err
	}
	return u.sorted(chosen), nil
}

// maxDepth bounds how deep requirements may be nested.
const maxDepth = 64

func check(c Config) error {
	for _, w := range c.Wanted {
		if err := checkRequirement(w, maxDepth); err != nil {
			return fmt.Errorf("what is asked for: %w", err)
		}
	}
	for i := range c.Candidates {
		p := &c.Candidates[i]
		for _, list := range [][]packages.Requirement{p.Requires, p.Conflicts, p.Recommends, p.Supplements} {
			for _, r := range list {
				if err := checkRequirement(r, maxDepth); err != nil {
					return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
				}
			}
		}
	}
	return nil
}

func checkRequirement(r packages.Requirement, depth int) error {
	least, most := 1, 1<<16
	switch r.Joined {
	case packages.Plain:
		if r.Relation.Op > packages.Greater {
			return fmt.Errorf("relation %q with an unknown operator", r.Relation.Name)
		}
		return nil
	case packages.And, packages.Or, packages.With:
	case packages.If, packages.Unless:
		least, most = 2, 3
	case packages.Without:
		least, most = 2, 2
	default:
		return fmt.Errorf("requirement with the unknown connective %d", r.Joined)
	}
	if len(r.Args) < least || len(r.Args) > most {
		return fmt.Errorf("requirement of %d parts: want %d to %d", len(r.Args), least, most)
	}
	if depth == 0 {
		return fmt.Errorf("requirement nested deeper than %d", maxDepth)
	}
	for _, a := range r.Args {
		if err := checkRequirement(a, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func (u *universe) sorted(chosen []int32) []int {
	slices.SortFunc(chosen, func(a, b int32) int {
		p, q := u.candidate(a), u.candidate(b)
		if c := strings.Compare(p.Name, q.Name); c != 0 {
			return c
		}
		if c := strings.Compare(p.Arch, q.Arch); c != 0 {
			return c
		}
		if c := u.Format.Compare(p.Version, q.Version); c != 0 {
			return c
		}
		return int(a - b)
	})
	indices := make([]int, len(chosen))
	for i, p := range chosen {
		indices[i] = int(p)
	}
	return indices
}
