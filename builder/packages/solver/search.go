package solver

import (
	"context"
	"fmt"
	"slices"
)

// search meets one requirement after the other. Its trail is all it decided:
// the same trail leads to the same state again.
type search struct {
	*universe
	only    []bool // nil, or the packages that may be chosen
	chosen  []bool
	order   []int32 // the chosen, as they came
	blocked []int32 // by how many of the chosen, and of what was ruled out
	group   map[string]int32

	forced, open, fickle, weak []task // what is left to look at
	supplemented               []int32

	trail  []entry
	replay []entry // what is left of an earlier trail
}

type task struct {
	f    *formula
	weak bool
}

// entry is a package that was chosen, or one that cannot be chosen with all
// that was chosen before it.
type entry struct {
	p    int32
	weak bool
	not  bool
}

func newSearch(u *universe, only []bool, replay []entry) *search {
	s := &search{
		universe: u, only: only, chosen: make([]bool, len(u.Candidates)), blocked: make([]int32, len(u.Candidates)),
		group: map[string]int32{}, replay: replay,
	}
	if u.Recommends {
		for i := range u.Candidates {
			if u.usable[i] && len(u.Candidates[i].Supplements) > 0 {
				s.supplemented = append(s.supplemented, int32(i))
			}
		}
		slices.SortFunc(s.supplemented, func(a, b int32) int { return u.prefer("", a, b) })
	}
	return s
}

// solve finds the packages to choose, taking back what proves wrong.
func solve(ctx context.Context, u *universe) (*search, error) {
	var sat *sat
	for s := newSearch(u, nil, nil); ; {
		dead, err := s.run(ctx)
		if err != nil || !dead {
			return s, err
		}
		if sat == nil {
			if sat, err = encode(ctx, u); err != nil {
				return nil, err
			}
		}
		n, err := sat.longest(ctx, s.trail)
		if err != nil {
			return nil, err
		}
		if n < 0 {
			return nil, sat.explain(ctx)
		}
		if n == len(s.trail) || s.trail[n].not {
			return nil, fmt.Errorf("solving: the search and the SAT solver disagree over %d decisions", n)
		}
		wrong := s.trail[n]
		s = newSearch(u, nil, append(s.trail[:n:n], entry{p: wrong.p, not: true}))
	}
}

// run goes on until nothing is left to do, or dead ends: a requirement cannot
// be met with what was chosen.
func (s *search) run(ctx context.Context) (dead bool, err error) {
	for _, w := range s.wanted {
		// One name is one wish, whose best version comes before all else.
		if s.oneName(w) {
			if !s.meet(task{f: w}) {
				return true, nil
			}
		} else {
			s.open = append(s.open, task{f: w})
		}
		if w.fickle {
			s.fickle = append(s.fickle, task{f: w})
		}
	}
	for steps := 0; ; steps++ {
		if steps%256 == 0 && ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		t, ok := s.next()
		if !ok {
			return false, nil
		}
		if !s.meet(t) {
			return true, nil
		}
	}
}

func (s *search) oneName(f *formula) bool {
	if f.kind != anyOf {
		return false
	}
	for _, p := range f.set {
		if s.candidate(p).Name != s.candidate(f.set[0]).Name {
			return false
		}
	}
	return true
}

// next is the next requirement that does not hold: those that leave one
// package to choose first.
func (s *search) next() (task, bool) {
	for len(s.forced) > 0 {
		t := s.forced[0]
		s.forced = s.forced[1:]
		if t.f.holds(s.has) {
			continue
		}
		if len(s.options(t)) > 1 {
			s.open = append(s.open, t)
			continue
		}
		return t, true
	}
	for _, list := range []*[]task{&s.open, nil, &s.weak} {
		if list == nil {
			for _, t := range s.fickle {
				if !t.f.holds(s.has) {
					return t, true
				}
			}
			continue
		}
		for len(*list) > 0 {
			t := (*list)[0]
			*list = (*list)[1:]
			if !t.f.holds(s.has) {
				return t, true
			}
		}
	}
	return s.supplement()
}

// supplement is the next package that says of itself that it is recommended
// with what was chosen.
func (s *search) supplement() (task, bool) {
	for _, p := range s.supplemented {
		if s.free(p) && s.supplements(p) {
			return task{&formula{set: []int32{p}}, true}, true
		}
	}
	return task{}, false
}

func (s *search) supplements(p int32) bool {
	for _, r := range s.candidate(p).Supplements {
		if s.compile(r).holds(s.has) {
			return true
		}
	}
	return false
}

// meet chooses the most preferred package for a requirement, unless it holds.
// It reports whether the requirement can still be met.
func (s *search) meet(t task) bool {
	if t.f.holds(s.has) {
		return true
	}
	for len(s.replay) > 0 && s.replay[0].not {
		s.blocked[s.replay[0].p]++
		s.trail, s.replay = append(s.trail, s.replay[0]), s.replay[1:]
	}
	if len(s.replay) > 0 {
		p := s.replay[0]
		s.replay = s.replay[1:]
		s.choose(p.p, t)
		s.again(t)
		return true
	}
	options := s.options(t)
	if len(options) == 0 {
		return t.weak
	}
	s.choose(options[0], t)
	s.again(t)
	return true
}

// again keeps a requirement that one more package may not be enough for.
func (s *search) again(t task) {
	if t.f.kind != anyOf {
		s.forced = append(s.forced, t)
	}
}

func (s *search) options(t task) []int32 { return t.f.picks(s.has, s.free) }

func (s *search) has(p int32) bool { return s.chosen[p] }

// free reports whether nothing that was chosen is against the package.
func (s *search) free(p int32) bool {
	if s.chosen[p] || s.blocked[p] > 0 || s.only != nil && !s.only[p] {
		return false
	}
	if _, taken := s.group[s.slot(p)]; taken {
		return false
	}
	return !slices.ContainsFunc(s.of(p).apart, s.has)
}

// slot is what only one package can have: a name. Architectures other than the
// image's are not candidates.
func (u *universe) slot(p int32) string { return u.candidate(p).Name }

func (s *search) choose(p int32, t task) {
	s.trail = append(s.trail, entry{p: p, weak: t.weak})
	s.chosen[p] = true
	s.order = append(s.order, p)
	s.group[s.slot(p)] = p
	r := s.of(p)
	for _, q := range r.apart {
		s.blocked[q]++
	}
	for _, f := range r.requires {
		s.forced = append(s.forced, task{f: f})
		if f.fickle {
			s.fickle = append(s.fickle, task{f: f})
		}
	}
	for _, f := range r.conflicts {
		if f.kind != noneOf {
			s.forced = append(s.forced, task{f: f})
			s.fickle = append(s.fickle, task{f: f})
		}
	}
	for _, f := range r.recommends {
		s.weak = append(s.weak, task{f, true})
	}
}
