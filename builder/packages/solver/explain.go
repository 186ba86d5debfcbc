package solver

import (
	"fmt"
	"slices"
	"strings"
)

// Unsolvable says why no set of packages satisfies what was asked for.
type Unsolvable struct {
	Reasons []string // the nearest to what was asked first
}

// Error is the first reasons.
func (e *Unsolvable) Error() string {
	const most = 4
	if len(e.Reasons) <= most {
		return strings.Join(e.Reasons, "; ")
	}
	return fmt.Sprintf("%s; and %d more reasons", strings.Join(e.Reasons[:most], "; "), len(e.Reasons)-most)
}

// story walks a contradiction from what was asked for down to what cannot be.
type story struct {
	*universe
	wanted  []*formula
	rules   []rule
	by      map[int32][]rule // the rules of a package
	against map[int32][]rule // the conflicts whose set a package is in
	slots   map[string]bool
	visited map[int32]bool
	seen    map[string]bool
	reasons []string
}

// want is a requirement and how it came to be looked at.
type want struct {
	f     *formula
	by    int32 // the package; -1 where it was asked for
	up    *want // the requirement that by satisfies
	depth int
}

func newStory(u *universe, wanted []*formula, rules []rule) *story {
	s := &story{
		universe: u, wanted: wanted, rules: rules, by: map[int32][]rule{}, against: map[int32][]rule{},
		slots: map[string]bool{}, visited: map[int32]bool{}, seen: map[string]bool{},
	}
	for _, r := range rules {
		if r.f == nil {
			s.slots[r.slot] = true
			continue
		}
		s.by[r.by] = append(s.by[r.by], r)
		if r.conflict && r.f.kind == noneOf {
			for _, p := range r.f.set {
				s.against[p] = append(s.against[p], r)
			}
		}
	}
	return s
}

func (s *story) tell() *Unsolvable {
	for _, f := range s.wanted {
		s.about(&want{f: f, by: -1})
	}
	if len(s.reasons) == 0 { // only conditions, which no sentence fits better
		for _, f := range s.wanted {
			s.add(s.Format.Text(f.text), "%s is asked for", s.Format.Text(f.text))
		}
		for _, r := range s.rules {
			if r.f != nil {
				s.add(s.name(r.by)+s.Format.Text(r.f.text), "%s", s.says(r))
			}
		}
	}
	return &Unsolvable{s.reasons}
}

// add adds a reason, but only one of those that differ in versions alone,
// which have the same key.
func (s *story) add(key, format string, args ...any) {
	if !s.seen[key] {
		s.seen[key] = true
		s.reasons = append(s.reasons, fmt.Sprintf(format, args...))
	}
}

// about says why none of the packages that would satisfy w can be there.
func (s *story) about(w *want) {
	var members []int32
	w.f.visit(func(set []int32) { members = append(members, set...) })
	if len(members) == 0 {
		s.missing(w)
		return
	}
	for _, p := range members {
		if s.visited[p] {
			continue
		}
		s.visited[p] = true
		for _, r := range s.by[p] {
			switch {
			case !r.conflict:
				s.about(&want{f: r.f, by: p, up: w, depth: w.depth + 1})
			case r.f.kind == noneOf:
				s.conflict(r, w)
			default:
				s.add(s.says(r), "%s%s", s.says(r), s.chain(w, p))
			}
		}
		for _, r := range s.against[p] {
			s.collide(r, p, s.needOf(r.by, nil), w)
		}
		if s.slots[s.slot(p)] {
			s.twice(s.slot(p))
		}
	}
}

// conflict tells a conflict of a package that satisfies w.
func (s *story) conflict(r rule, w *want) {
	for _, p := range r.f.set {
		if other := s.needOf(p, r.f); other != nil {
			s.collide(r, p, w, other)
			return
		}
	}
}

// collide tells that r, of a package that satisfies its, is against p, which
// satisfies w.
func (s *story) collide(r rule, p int32, its, w *want) {
	verb := "conflicts with"
	if r.f.ousted {
		verb = "replaces"
	}
	what := s.label(p)
	if r.f.text.Relation.Op != 0 && r.f.text.Relation.Name == s.name(p) {
		what = s.Format.Text(r.f.text)
	}
	chain := ""
	if its != nil {
		chain = s.chain(its, r.by)
	}
	s.add("conflict "+s.name(r.by)+" "+s.name(p), "%s %s %s, which %s%s", s.label(r.by), verb, what, s.needs(w), chain)
}

// needOf is a requirement of the contradiction that p would satisfy.
func (s *story) needOf(p int32, but *formula) *want {
	for _, f := range s.wanted {
		if f != but && slices.Contains(f.set, p) {
			return &want{f: f, by: -1}
		}
	}
	for _, r := range s.rules {
		if r.f != nil && !r.conflict && r.f != but && slices.Contains(r.f.set, p) {
			return &want{f: r.f, by: r.by}
		}
	}
	return nil
}

// twice tells that different packages of one name are needed.
func (s *story) twice(slot string) {
	var claims []string
	claim := func(text string) {
		if !slices.Contains(claims, text) {
			claims = append(claims, text)
		}
	}
	concerns := func(p int32) bool { return s.slot(p) == slot }
	for _, f := range s.wanted {
		if slices.ContainsFunc(f.set, concerns) {
			claim(s.Format.Text(f.text) + " is asked for")
		}
	}
	told := map[string]bool{}
	for _, r := range s.rules {
		if r.f == nil || r.conflict || !slices.ContainsFunc(r.f.set, concerns) {
			continue
		}
		if key := s.name(r.by) + r.f.text.Relation.Name; !told[key] {
			told[key] = true
			claim(s.label(r.by) + " needs " + s.Format.Text(r.f.text))
		}
	}
	if len(claims) > 1 {
		s.add("twice "+slot, "%s: only one %s can be installed", strings.Join(claims, ", but "), slot)
	}
}
