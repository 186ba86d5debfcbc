package packages

import (
	"cmp"
	"slices"
	"strings"
)

// Sort returns the payloads in an order in which each comes behind those that
// it requires; where requirements go round in circles, and otherwise, the name
// decides, then version and architecture. Versions of requirements do not
// count: the set is taken to be one that a solver chose. The result does not
// depend on the order of payloads.
func Sort(payloads []Payload) []Payload {
	byName := slices.SortedStableFunc(slices.Values(payloads), func(a, b Payload) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Arch, b.Arch))
	})
	s := sorter{payloads: byName, providers: map[string][]int{}, seen: make([]bool, len(byName))}
	s.findProviders()
	for i := range byName {
		s.visit(i)
	}
	return s.sorted
}

type sorter struct {
	payloads  []Payload
	providers map[string][]int // by what is required: indexes of payloads, in their order
	seen      []bool
	sorted    []Payload
}

// findProviders finds who provides names that somebody requires.
func (s *sorter) findProviders() {
	for i := range s.payloads {
		for name := range s.required(i) {
			s.providers[name] = nil
		}
	}
	provide := func(name string, by int) {
		list, wanted := s.providers[name]
		if wanted && (len(list) == 0 || list[len(list)-1] != by) {
			s.providers[name] = append(list, by)
		}
	}
	for i, p := range s.payloads {
		provide(p.Name, i)
		for _, r := range p.Provides {
			provide(r.Name, i)
		}
		for _, e := range p.Entries {
			provide("/"+strings.TrimPrefix(e.Path, "/"), i)
		}
	}
}

// visit puts out a payload behind all that it requires.
func (s *sorter) visit(i int) {
	if s.seen[i] {
		return
	}
	s.seen[i] = true
	var first []int
	for name := range s.required(i) {
		first = append(first, s.providers[name]...)
	}
	slices.Sort(first)
	for _, other := range slices.Compact(first) {
		s.visit(other)
	}
	s.sorted = append(s.sorted, s.payloads[i])
}

// required are the names that a payload requires, without those that are only
// conditions.
func (s *sorter) required(i int) map[string]bool {
	names := map[string]bool{}
	var add func(Requirement)
	add = func(r Requirement) {
		args := r.Args
		switch r.Joined {
		case Plain:
			names[strings.TrimSuffix(r.Relation.Name, ":any")] = true // a mark of Debian's
			return
		case If, Unless:
			if len(args) > 2 {
				args = []Requirement{args[0], args[2]}
			} else if len(args) > 1 {
				args = args[:1]
			}
		case Without:
			args = args[:min(1, len(args))]
		}
		for _, arg := range args {
			add(arg)
		}
	}
	for _, r := range s.payloads[i].Requires {
		add(r)
	}
	return names
}
