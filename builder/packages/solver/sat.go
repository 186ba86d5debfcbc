package solver

import (
	"context"
	"time"

	"github.com/go-air/gini"
	"github.com/go-air/gini/z"
)

// sat is the rules of all packages that can be reached, as clauses. It only
// answers whether a solution exists, so that what is chosen depends on neither
// its heuristics nor its version.
type sat struct {
	*universe
	g     *gini.Gini
	vars  []z.Lit // by package; LitNull of those that cannot be reached
	goals []z.Lit // what is wanted
	rules []z.Lit // for explanations: each is true where its rule counts
	each  []rule
	guard z.Lit // the literal of the rule that clauses are being added for
}

// encode makes the clauses. What is wanted is not demanded yet: see goals.
func encode(ctx context.Context, u *universe) (*sat, error) {
	return encodeFrom(ctx, u, u.wanted, false)
}

// encodeFrom encodes what the wanted can reach. Where apart is set, each rule
// can be switched on and off.
func encodeFrom(ctx context.Context, u *universe, wanted []*formula, apart bool) (*sat, error) {
	s := &sat{universe: u, g: gini.New(), vars: make([]z.Lit, len(u.Candidates))}
	reached := u.reach(wanted)
	for _, p := range reached {
		s.vars[p] = s.g.Lit()
	}
	names := map[string][]int32{}
	var order []string
	for i, p := range reached {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		slot := u.slot(p)
		if names[slot] == nil {
			order = append(order, slot)
		}
		names[slot] = append(names[slot], p)
	}
	for _, w := range wanted {
		goal := s.g.Lit()
		s.goals = append(s.goals, goal)
		s.demand([]z.Lit{goal.Not()}, w)
	}
	for _, p := range reached {
		r := u.of(p)
		for _, f := range r.requires {
			s.begin(apart, rule{by: p, f: f})
			s.demand(s.when(p), f)
		}
		for _, f := range r.conflicts {
			s.begin(apart, rule{by: p, f: f, conflict: true})
			s.demand(s.when(p), f)
		}
	}
	for _, name := range order {
		if len(names[name]) > 1 {
			s.begin(apart, rule{by: -1, slot: name})
			s.atMostOne(names[name])
		}
	}
	return s, nil
}

// reach is all packages that a solution can contain, in the order of their
// discovery.
func (u *universe) reach(wanted []*formula) []int32 {
	seen := make([]bool, len(u.Candidates))
	var reached []int32
	add := func(set []int32) {
		for _, p := range set {
			if !seen[p] {
				seen[p] = true
				reached = append(reached, p)
			}
		}
	}
	for _, w := range wanted {
		w.visit(add)
	}
	if u.Recommends {
		for i := range u.Candidates {
			if u.usable[i] && len(u.Candidates[i].Supplements) > 0 {
				add([]int32{int32(i)})
			}
		}
	}
	for i := 0; i < len(reached); i++ {
		r := u.of(reached[i])
		for _, list := range [][]*formula{r.requires, r.recommends} {
			for _, f := range list {
				f.visit(add)
			}
		}
		for _, f := range r.conflicts {
			if f.kind != noneOf { // a condition may ask for packages, too
				f.visit(add)
			}
		}
	}
	return reached
}

// begin starts the clauses of a rule.
func (s *sat) begin(apart bool, r rule) {
	if apart {
		s.guard = s.g.Lit()
		s.rules = append(s.rules, s.guard)
		s.each = append(s.each, r)
	}
}

func (s *sat) when(p int32) []z.Lit { return []z.Lit{s.vars[p].Not()} }

func (s *sat) clause(prefix []z.Lit, lits ...z.Lit) {
	if s.guard != z.LitNull {
		s.g.Add(s.guard.Not())
	}
	for _, list := range [][]z.Lit{prefix, lits} {
		for _, m := range list {
			s.g.Add(m)
		}
	}
	s.g.Add(z.LitNull)
}

// demand adds: prefix, or f.
func (s *sat) demand(prefix []z.Lit, f *formula) {
	switch f.kind {
	case anyOf:
		if !f.ours {
			s.clause(prefix, s.literals(f.set)...)
		}
	case noneOf:
		for _, m := range s.literals(f.set) {
			s.clause(prefix, m.Not())
		}
	case all:
		for _, a := range f.args {
			s.demand(prefix, a)
		}
	case one:
		ways := make([]z.Lit, len(f.args))
		for i, a := range f.args {
			ways[i] = s.g.Lit()
			s.demand([]z.Lit{ways[i].Not()}, a)
		}
		s.clause(prefix, ways...)
	}
}

// literals leaves out packages that cannot be chosen anyway.
func (s *sat) literals(set []int32) []z.Lit {
	lits := make([]z.Lit, 0, len(set))
	for _, p := range set {
		if m := s.vars[p]; m != z.LitNull {
			lits = append(lits, m)
		}
	}
	return lits
}

// atMostOne takes a number of clauses that grows as the set does, not as its
// square: each step says whether an earlier package was chosen.
func (s *sat) atMostOne(set []int32) {
	var before z.Lit
	for i, p := range set {
		m := s.vars[p]
		if before != z.LitNull {
			s.clause(nil, before.Not(), m.Not())
		}
		if i == len(set)-1 {
			return
		}
		now := s.g.Lit()
		s.clause(nil, m.Not(), now)
		if before != z.LitNull {
			s.clause(nil, before.Not(), now)
		}
		before = now
	}
}

// possible reports whether a solution exists in which all of the literals are
// true. If not, core is those of them that contradict each other.
func (s *sat) possible(ctx context.Context, assumed []z.Lit) (possible bool, core []z.Lit, err error) {
	if ctx.Err() != nil {
		return false, nil, context.Cause(ctx)
	}
	s.g.Assume(assumed...)
	running := s.g.GoSolve()
	result, done := running.Test()
	for wait := time.Microsecond; !done; wait = min(2*wait, time.Millisecond) {
		select {
		case <-ctx.Done():
			running.Stop()
			return false, nil, context.Cause(ctx)
		case <-time.After(wait):
			result, done = running.Test()
		}
	}
	if result == 1 {
		return true, nil, nil
	}
	return false, s.g.Why(nil), nil
}

// longest is how much of the trail a solution can start with; -1 if there is
// no solution at all.
func (s *sat) longest(ctx context.Context, trail []entry) (int, error) {
	assumed, place := append([]z.Lit(nil), s.goals...), map[z.Lit]int{}
	for _, goal := range s.goals {
		place[goal] = -1
	}
	for i, e := range trail {
		m := s.vars[e.p]
		if e.not { // it follows from what is before it
			m = m.Not()
		}
		assumed = append(assumed, m)
		if _, again := place[m]; !again {
			place[m] = i
		}
	}
	for n := len(trail); ; {
		possible, core, err := s.possible(ctx, assumed[:len(s.goals)+n])
		if err != nil || possible {
			return n, err
		}
		last := -1
		for _, m := range core {
			last = max(last, place[m])
		}
		// The last of them cannot stand with those before it. Where that is one that
		// was ruled out, those before it cannot either.
		n = last
		if n < 0 {
			return -1, nil
		}
	}
}
