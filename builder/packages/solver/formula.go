package solver

import (
	"slices"

	"github.com/proa-os/proa/builder/packages"
)

type kind uint8

const (
	anyOf  kind = iota // one package of set
	noneOf             // no package of set
	all                // all of args
	one                // one of args at least
)

// formula is a requirement in terms of packages.
type formula struct {
	kind   kind
	set    []int32 // the most preferred first
	args   []*formula
	ours   bool // of anyOf: satisfied whatever is chosen
	fickle bool // that it holds now does not mean that it holds with more packages
	text   packages.Requirement
	ousted bool // of noneOf: the set is of packages that Obsoletes names
}

func (u *universe) compile(r packages.Requirement) *formula {
	f := &formula{text: r}
	switch r.Joined {
	case packages.Plain, packages.With, packages.Without:
		f.set, f.ours = u.set(r)
	case packages.Or:
		return u.compileOr(f, r)
	case packages.And:
		f.kind, f.args = all, u.compileAll(r.Args)
	case packages.If: // A or not B; with C also C or B
		parts := u.compileAll(r.Args)
		f.kind, f.args = one, []*formula{parts[0], negate(parts[1])}
		if len(parts) == 3 {
			then := &formula{kind: one, args: f.args, fickle: true, text: r}
			f.kind, f.args = all, []*formula{then, {kind: one, args: []*formula{parts[2], parts[1]}, text: r}}
		}
	case packages.Unless: // A and not B; with C also where C and B
		parts := u.compileAll(r.Args)
		f.kind, f.args = all, []*formula{parts[0], negate(parts[1])}
		if len(parts) == 3 {
			first := &formula{kind: all, args: f.args, fickle: true, text: r}
			f.kind, f.args = one, []*formula{first, {kind: all, args: []*formula{parts[2], parts[1]}, text: r}}
		}
	}
	f.fickle = slices.ContainsFunc(f.args, func(a *formula) bool { return a.fickle })
	return f
}

func (u *universe) compileAll(rs []packages.Requirement) []*formula {
	var fs []*formula
	for _, r := range rs {
		fs = append(fs, u.compile(r))
	}
	return fs
}

// compileOr makes one set of alternatives where that is all there is to it.
func (u *universe) compileOr(f *formula, r packages.Requirement) *formula {
	args := u.compileAll(r.Args)
	if slices.ContainsFunc(args, func(a *formula) bool { return a.kind != anyOf }) {
		f.kind, f.args = one, args
		f.fickle = slices.ContainsFunc(args, func(a *formula) bool { return a.fickle })
		return f
	}
	seen := map[int32]bool{}
	for _, a := range args {
		f.ours = f.ours || a.ours
		for _, p := range a.set {
			if !seen[p] {
				seen[p] = true
				f.set = append(f.set, p)
			}
		}
	}
	return f
}

// compileWanted takes a plain name for the package of that name where there is
// one, not for what else provides it.
func (u *universe) compileWanted(r packages.Requirement) *formula {
	f := u.compile(r)
	if r.Joined != packages.Plain {
		return f
	}
	name := r.Relation.Name
	if u.Format == packages.Deb {
		name = u.withoutQualifier(name)
	}
	var named []int32
	for _, p := range f.set {
		if u.candidate(p).Name == name && !u.obsoleted[p] {
			named = append(named, p)
		}
	}
	if len(named) > 0 {
		slices.SortStableFunc(named, func(a, b int32) int { return u.prefer(name, a, b) })
		f.set = named
	}
	return f
}

// set is the packages each of which satisfies r alone.
func (u *universe) set(r packages.Requirement) (set []int32, ours bool) {
	switch r.Joined {
	case packages.Plain:
		return u.providers(r.Relation), u.ours(r.Relation)
	case packages.With:
		set, ours = u.set(r.Args[0])
		for _, a := range r.Args[1:] {
			also, _ := u.set(a)
			set = intersect(set, also, true)
		}
	case packages.Without:
		set, ours = u.set(r.Args[0])
		but, _ := u.set(r.Args[1])
		set = intersect(set, but, false)
	case packages.Or:
		for _, a := range r.Args {
			more, known := u.set(a)
			set, ours = append(set[:len(set):len(set)], intersect(more, set, false)...), ours || known
		}
	case packages.And: // one package satisfies all: as with With
		return u.set(packages.Requirement{Joined: packages.With, Args: r.Args})
	}
	return set, ours
}

// intersect is what of a is in b, or is not.
func intersect(a, b []int32, in bool) []int32 {
	members := make(map[int32]bool, len(b))
	for _, p := range b {
		members[p] = true
	}
	var out []int32
	for _, p := range a {
		if members[p] == in {
			out = append(out, p)
		}
	}
	return out
}

func negate(f *formula) *formula {
	n := &formula{text: f.text, set: f.set, fickle: true, ousted: f.ousted}
	switch f.kind {
	case anyOf:
		n.kind = noneOf
		if f.ours {
			n = &formula{kind: anyOf, text: f.text, fickle: true} // never
		}
	case noneOf:
		n.kind, n.fickle = anyOf, false
	case all, one:
		n.kind = all
		if f.kind == all {
			n.kind = one
		}
		for _, a := range f.args {
			n.args = append(n.args, negate(a))
		}
	}
	return n
}

// holds reports whether f is true when exactly the chosen are there.
func (f *formula) holds(chosen func(int32) bool) bool {
	switch f.kind {
	case anyOf:
		return f.ours || slices.ContainsFunc(f.set, chosen)
	case noneOf:
		return !slices.ContainsFunc(f.set, chosen)
	case all:
		return !slices.ContainsFunc(f.args, func(a *formula) bool { return !a.holds(chosen) })
	default:
		return slices.ContainsFunc(f.args, func(a *formula) bool { return a.holds(chosen) })
	}
}

// picks is the packages that bring f nearer to being true, the most preferred
// first. None means that no further package can make it true.
func (f *formula) picks(chosen, free func(int32) bool) []int32 {
	var options []int32
	switch f.kind {
	case anyOf:
		for _, p := range f.set {
			if free(p) {
				options = append(options, p)
			}
		}
	case all:
		for _, a := range f.args {
			if a.holds(chosen) {
				continue
			}
			more := a.picks(chosen, free)
			if len(more) == 0 {
				return nil
			}
			if options == nil {
				options = more
			}
		}
	case one:
		for _, a := range f.args {
			options = append(options, a.picks(chosen, free)...)
		}
	}
	return options
}

// visit calls do for each set of packages in f.
func (f *formula) visit(do func(set []int32)) {
	do(f.set)
	for _, a := range f.args {
		a.visit(do)
	}
}

// of is the rules of a package.
func (u *universe) of(p int32) *rules {
	if u.rules[p] != nil {
		return u.rules[p]
	}
	c, r := u.candidate(p), &rules{}
	for _, q := range c.Requires {
		if f := u.compile(q); f.kind != anyOf || !f.ours && !slices.Contains(f.set, p) {
			r.requires = append(r.requires, f)
		}
	}
	for _, q := range c.Conflicts {
		r.addConflict(p, u.compile(q))
	}
	for _, o := range c.Obsoletes {
		r.addConflict(p, &formula{set: u.replaced(p, o), text: packages.Requirement{Relation: o}, ousted: true})
	}
	if u.Recommends {
		for _, q := range c.Recommends {
			if f := u.compile(q); f.kind != anyOf || !f.ours {
				r.recommends = append(r.recommends, f)
			}
		}
	}
	u.rules[p] = r
	return r
}

// addConflict leaves out the package itself: it may provide what it conflicts
// with.
func (r *rules) addConflict(p int32, f *formula) {
	not := negate(f)
	if f.kind == anyOf && !f.ours {
		not.set = intersect(f.set, []int32{p}, false)
		if len(not.set) == 0 {
			return
		}
		r.apart = append(r.apart, not.set...)
	}
	r.conflicts = append(r.conflicts, not)
}
