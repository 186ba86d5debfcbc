package solver

import (
	"context"
	"slices"

	"github.com/go-air/gini/z"
)

// rule is one thing that a package, or a name that only one package can have,
// adds to a contradiction.
type rule struct {
	by       int32 // the package that says so; -1 of a slot
	f        *formula
	conflict bool
	slot     string
}

// fewEnough is how many rules of a contradiction are tried one by one, to
// leave out those that it does not need.
const fewEnough = 300

// explain finds a small contradiction, and puts it into words.
func (s *sat) explain(ctx context.Context) error {
	wanted, err := s.contradictory(ctx)
	if err != nil {
		return err
	}
	u := s.universe
	s, err = encodeFrom(ctx, u, wanted, true)
	if err != nil {
		return err
	}
	core, err := s.shrink(ctx, s.goals, s.rules)
	if err != nil {
		return err
	}
	inCore := map[z.Lit]bool{}
	for _, m := range core {
		inCore[m] = true
	}
	var rules []rule
	for i, m := range s.rules {
		if inCore[m] {
			rules = append(rules, s.each[i])
		}
	}
	return newStory(u, wanted, rules).tell()
}

// contradictory is what of the wanted is enough to have no solution.
func (s *sat) contradictory(ctx context.Context) ([]*formula, error) {
	core, err := s.shrink(ctx, nil, s.goals)
	if err != nil {
		return nil, err
	}
	var wanted []*formula
	for i, goal := range s.goals {
		if slices.Contains(core, goal) {
			wanted = append(wanted, s.wanted[i])
		}
	}
	return wanted, nil
}

// shrink is those of the optional literals without any of which no
// contradiction would be left; of a large one it is not the least.
func (s *sat) shrink(ctx context.Context, fixed, optional []z.Lit) ([]z.Lit, error) {
	core, possible, err := s.coreOf(ctx, fixed, optional)
	if err != nil || possible || len(core) > fewEnough {
		return core, err
	}
	for i := len(core) - 1; i >= 0; i-- {
		without := slices.Delete(slices.Clone(core), i, i+1)
		less, possible, err := s.coreOf(ctx, fixed, without)
		if err != nil {
			return nil, err
		}
		if !possible {
			core = less
			i = min(i, len(core))
		}
	}
	return core, nil
}

// coreOf keeps of the optional literals, in their order, those that are part
// of a contradiction.
func (s *sat) coreOf(ctx context.Context, fixed, optional []z.Lit) (core []z.Lit, possible bool, err error) {
	possible, why, err := s.possible(ctx, append(slices.Clone(fixed), optional...))
	if err != nil || possible {
		return optional, possible, err
	}
	named := map[z.Lit]bool{}
	for _, m := range why {
		named[m] = true
	}
	for _, m := range optional {
		if named[m] {
			core = append(core, m)
		}
	}
	return core, false, nil
}
