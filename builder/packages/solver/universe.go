package solver

import (
	"cmp"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// universe is all candidates, indexed. Packages are indices into
// Config.Candidates. What packages need is worked out when it is asked for, so
// only packages that can be reached cost anything.
type universe struct {
	Config
	excluded  map[string]bool
	byName    map[string][]int32
	provided  map[string][]provision
	files     map[string][]int32 // of the paths that any relation names
	usable    []bool             // of the image's architecture, and not excluded
	obsoleted []bool             // another package of a different name replaces it
	found     map[packages.Relation][]int32
	rules     []*rules // by package
	wanted    []*formula
}

type provision struct {
	by int32
	as packages.Relation
}

// rules are what has to hold where a package is chosen.
type rules struct {
	requires   []*formula
	conflicts  []*formula // sets none of which may be there, or conditions of their own
	apart      []int32    // all packages of the sets of conflicts
	recommends []*formula
}

func newUniverse(c Config) *universe {
	u := &universe{
		Config: c, excluded: map[string]bool{}, byName: map[string][]int32{}, provided: map[string][]provision{},
		files: map[string][]int32{}, usable: make([]bool, len(c.Candidates)), obsoleted: make([]bool, len(c.Candidates)),
		found: map[packages.Relation][]int32{}, rules: make([]*rules, len(c.Candidates)),
	}
	for _, name := range c.Exclude {
		u.excluded[name] = true
	}
	for i := range c.Candidates {
		p := &c.Candidates[i]
		u.byName[p.Name] = append(u.byName[p.Name], int32(i))
		u.usable[i] = u.fits(p.Arch) && !u.excluded[p.Name]
		if !u.usable[i] {
			continue
		}
		for _, as := range p.Provides {
			u.provided[as.Name] = append(u.provided[as.Name], provision{int32(i), as})
		}
		self := packages.Relation{Name: p.Name, Op: packages.Equal, Version: p.Version}
		if !slices.Contains(p.Provides, self) {
			u.provided[p.Name] = append(u.provided[p.Name], provision{int32(i), self})
		}
	}
	u.indexFiles()
	u.markObsoleted()
	for _, w := range c.Wanted {
		u.wanted = append(u.wanted, u.compileWanted(w))
	}
	return u
}

// fits reports whether a package of the architecture can be in the image.
func (u *universe) fits(arch string) bool {
	return u.Arch == "" || arch == u.Arch || arch == "noarch" || arch == "all"
}

func (u *universe) candidate(p int32) *packages.Package { return &u.Candidates[p] }

// indexFiles indexes the paths that relations name, not the many others.
func (u *universe) indexFiles() {
	var visit func(r packages.Requirement)
	visit = func(r packages.Requirement) {
		if strings.HasPrefix(r.Relation.Name, "/") {
			u.files[r.Relation.Name] = nil
		}
		for _, a := range r.Args {
			visit(a)
		}
	}
	for _, w := range u.Wanted {
		visit(w)
	}
	for i := range u.Candidates {
		p := &u.Candidates[i]
		for _, list := range [][]packages.Requirement{p.Requires, p.Conflicts, p.Recommends, p.Supplements} {
			for _, r := range list {
				visit(r)
			}
		}
	}
	if len(u.files) == 0 {
		return
	}
	for i := range u.Candidates {
		if !u.usable[i] {
			continue
		}
		for _, path := range u.Candidates[i].Files {
			if packages, asked := u.files[path]; asked {
				u.files[path] = append(packages, int32(i))
			}
		}
	}
}

func (u *universe) markObsoleted() {
	for i := range u.Candidates {
		if !u.usable[i] {
			continue
		}
		for _, o := range u.Candidates[i].Obsoletes {
			for _, p := range u.replaced(int32(i), o) {
				u.obsoleted[p] = true
			}
		}
	}
}

// replaced is the packages that one of p's Obsoletes matches: by their names
// alone.
func (u *universe) replaced(p int32, o packages.Relation) []int32 {
	var all []int32
	for _, q := range u.byName[o.Name] {
		other := u.candidate(q)
		self := packages.Relation{Name: other.Name, Op: packages.Equal, Version: other.Version}
		if u.usable[q] && other.Name != u.candidate(p).Name && u.Format.Satisfies(self, o) {
			all = append(all, q)
		}
	}
	return all
}

// providers is the usable packages that satisfy a relation, the most preferred
// first.
func (u *universe) providers(r packages.Relation) []int32 {
	if set, known := u.found[r]; known {
		return set
	}
	asked := r
	if u.Format == packages.Deb {
		r.Name = u.withoutQualifier(r.Name)
	}
	var set []int32
	for _, p := range u.provided[r.Name] {
		if u.Format.Satisfies(p.as, r) {
			set = append(set, p.by)
		}
	}
	if r.Op == packages.Any {
		set = append(set, u.files[r.Name]...)
	}
	slices.Sort(set)
	set = slices.Compact(set)
	slices.SortStableFunc(set, func(a, b int32) int { return u.prefer(r.Name, a, b) })
	u.found[asked] = set
	return set
}

// withoutQualifier drops the architecture behind a Debian name where it is the
// image's.
func (u *universe) withoutQualifier(name string) string {
	bare, qualifier, _ := strings.Cut(name, ":")
	if qualifier == "any" || qualifier == "native" || qualifier == u.Arch || qualifier == "all" {
		return bare
	}
	return name
}

// prefer orders the providers of a name.
func (u *universe) prefer(name string, a, b int32) int {
	p, q := u.candidate(a), u.candidate(b)
	last := func(x, y bool) int { // false sorts before true
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	}
	real := last(p.Name != name, q.Name != name)
	priority := cmp.Compare(p.Priority, q.Priority)
	first, second := priority, real
	if u.Format == packages.Deb {
		first, second = real, priority
	}
	return cmp.Or(
		last(u.obsoleted[a], u.obsoleted[b]), first, second,
		cmp.Compare(len(p.Name), len(q.Name)), strings.Compare(p.Name, q.Name),
		u.Format.Compare(q.Version, p.Version), cmp.Compare(p.Repository, q.Repository),
		last(p.Arch != u.Arch, q.Arch != u.Arch), strings.Compare(p.URL, q.URL), strings.Compare(string(p.Checksum), string(q.Checksum)),
	)
}
