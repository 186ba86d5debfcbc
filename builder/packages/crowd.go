package packages

import (
	"slices"
	"strings"
)

// crowd is packages that are there together, by what they provide.
type crowd struct {
	format   Format
	members  []Recorded
	named    map[string][]int
	provided map[string][]provision
	files    map[string][]int // made when it is asked for
}

type provision struct {
	by int
	as Relation
}

func newCrowd(format Format, members []Recorded) *crowd {
	c := &crowd{format: format, members: members, named: map[string][]int{}, provided: map[string][]provision{}}
	for i := range members {
		m := &members[i]
		c.named[m.Name] = append(c.named[m.Name], i)
		for _, as := range append([]Relation{m.self()}, m.Provides...) {
			c.provided[as.Name] = append(c.provided[as.Name], provision{i, as})
		}
	}
	return c
}

func (r *Recorded) self() Relation { return Relation{Name: r.Name, Op: Equal, Version: r.Version} }

// obsolete are the members that a package of the given name obsoletes by o:
// RPM's by their names alone.
func (c *crowd) obsolete(o Relation, by string) []int {
	var all []int
	if c.format == Deb {
		all = c.providers(o)
	} else {
		for _, at := range c.named[o.Name] {
			if c.format.Satisfies(c.members[at].self(), o) {
				all = append(all, at)
			}
		}
	}
	return slices.DeleteFunc(all, func(at int) bool { return c.members[at].Name == by })
}

// providers are the members that satisfy a relation, each once.
func (c *crowd) providers(r Relation) []int {
	arch := ""
	if c.format == Deb {
		r.Name, arch, _ = strings.Cut(r.Name, ":")
	}
	var all []int
	for _, p := range c.provided[r.Name] {
		if (arch == "" || c.members[p.by].Arch == arch) && c.format.Satisfies(p.as, r) {
			all = append(all, p.by)
		}
	}
	if r.Op == Any && strings.HasPrefix(r.Name, "/") {
		all = append(all, c.owners(r.Name)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// owners are the members that have a file at the path.
func (c *crowd) owners(path string) []int {
	if c.files == nil {
		c.files = map[string][]int{}
		for i := range c.members {
			for _, f := range c.members[i].Files {
				c.files[f] = append(c.files[f], i)
			}
		}
	}
	return c.files[path]
}

// holds reports whether a requirement is met, and by which members.
func (c *crowd) holds(r Requirement) (by []int, ok bool) {
	switch r.Joined {
	case Plain:
		by = c.providers(r.Relation)
		return by, len(by) > 0
	case And:
		for _, a := range r.Args {
			some, met := c.holds(a)
			if !met {
				return nil, false
			}
			by = append(by, some...)
		}
		return by, true
	case Or:
		for _, a := range r.Args {
			some, met := c.holds(a)
			by, ok = append(by, some...), ok || met
		}
		return by, ok
	case If, Unless:
		return c.conditional(r)
	case With, Without:
		return c.selected(r)
	}
	return nil, false
}

// conditional is about "a if b else c" and "a unless b else c". Of the former,
// nothing is demanded where b does not hold.
func (c *crowd) conditional(r Requirement) ([]int, bool) {
	if len(r.Args) < 2 {
		return nil, false
	}
	condition, met := c.holds(r.Args[1])
	switch {
	case met == (r.Joined == If):
		by, ok := c.holds(r.Args[0])
		if met {
			by = append(by, condition...)
		}
		return by, ok
	case len(r.Args) > 2:
		return c.holds(r.Args[2])
	}
	return nil, r.Joined == If
}

// selected is about "a with b" and "a without b", which one package has to
// meet.
func (c *crowd) selected(r Requirement) ([]int, bool) {
	var by []int
	for i, a := range r.Args {
		some, _ := c.holds(a)
		slices.Sort(some)
		switch {
		case i == 0:
			by = some
		default:
			by = slices.DeleteFunc(by, func(at int) bool {
				_, found := slices.BinarySearch(some, at)
				return found != (r.Joined == With)
			})
		}
	}
	return by, len(by) > 0
}
