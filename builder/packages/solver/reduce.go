package solver

import (
	"context"
	"fmt"
)

// reduce leaves out what nothing needs any more: a package chosen for a
// requirement that a later choice satisfies as well. It is the search once
// more, among the chosen only, and then the packages one by one.
func (s *search) reduce(ctx context.Context) ([]int32, error) {
	for {
		again := newSearch(s.universe, s.chosen, nil)
		dead, err := again.run(ctx)
		if err != nil {
			return nil, err
		}
		if dead {
			return nil, fmt.Errorf("solving: the chosen packages do not hold together")
		}
		spare, found := again.spare()
		if !found && len(again.order) == len(s.order) {
			return again.order, nil
		}
		if found {
			again.chosen[spare] = false
		}
		s = again
	}
}

// spare is the last chosen package without which everything still holds.
func (s *search) spare() (int32, bool) {
	needed := make([]bool, len(s.chosen))
	mark := func(f *formula) {
		if !f.holds(s.has) { // a recommendation that could not be followed
			return
		}
		f.visit(func(set []int32) {
			for _, p := range set {
				if s.chosen[p] && !needed[p] && !f.holds(func(q int32) bool { return q != p && s.chosen[q] }) {
					needed[p] = true
				}
			}
		})
	}
	for _, f := range s.wanted {
		mark(f)
	}
	for _, p := range s.order {
		r := s.of(p)
		for _, list := range [][]*formula{r.requires, r.conflicts, r.recommends} {
			for _, f := range list {
				mark(f)
			}
		}
		if s.Recommends && s.supplements(p) {
			needed[p] = true
		}
	}
	for i := len(s.order) - 1; i >= 0; i-- {
		if !needed[s.order[i]] {
			return s.order[i], true
		}
	}
	return 0, false
}
