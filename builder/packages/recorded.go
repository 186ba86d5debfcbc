package packages

import (
	"fmt"
	"strings"
)

// Recorded is a package as the database of a tree has it, or is going to.
type Recorded struct {
	Package      // Obsoletes are, with Debian's, what it both conflicts with and replaces (Policy, section 7.6.2)
	Beside  bool // the same package for another architecture can be there beside it
}

// ConflictError says that a package cannot be put into a tree, because of one
// that is recorded there and stays.
type ConflictError struct {
	Added, Recorded string // name and version
	Why             string // such as "the latter conflicts with a < 2"
}

// Error names both packages and what they say.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("package %s cannot be added to package %s, which an earlier source brought: %s", e.Added, e.Recorded, e.Why)
}

// Replaced finds which of the recorded packages are no longer there once
// others have been added: other versions of those, whether older or newer, and
// what they obsolete. Where an added package and one that stays exclude each
// other, the error is a *ConflictError. That the added ones go together, and
// have what they require, is for the solver.
func Replaced(format Format, recorded, added []Recorded) (gone []bool, err error) {
	if len(recorded) == 0 || len(added) == 0 {
		return make([]bool, len(recorded)), nil
	}
	gone = make([]bool, len(recorded))
	before := newCrowd(format, recorded)
	for i := range added {
		a := &added[i]
		for _, at := range before.named[a.Name] {
			gone[at] = gone[at] || a.isAnother(&recorded[at])
		}
		for _, o := range a.Obsoletes {
			for _, at := range before.obsolete(o, a.Name) {
				gone[at] = true
			}
		}
	}
	var stay []Recorded
	for i, r := range recorded {
		if !gone[i] {
			stay = append(stay, r)
		}
	}
	return gone, conflict(format, stay, added)
}

// isAnother reports whether a takes the place of b, a package of the same name.
func (r *Recorded) isAnother(other *Recorded) bool {
	return r.Arch == other.Arch || !r.Beside || !other.Beside
}

func (r *Recorded) title() string { return r.Name + " " + r.Version }

// conflict finds an added package and one that stays of which one does not want
// the other.
func conflict(format Format, stay, added []Recorded) error {
	all := newCrowd(format, append(append([]Recorded{}, stay...), added...))
	fresh := func(at int) bool { return at >= len(stay) }
	for i := range all.members {
		r := &all.members[i]
		other := func(ats []int) int {
			for _, at := range ats {
				if fresh(at) != fresh(i) && all.members[at].Name != r.Name {
					return at
				}
			}
			return -1
		}
		refuse := func(at int, verb, what string) error {
			a, b, who := r, &all.members[at], "the former"
			if !fresh(i) {
				a, b, who = b, a, "the latter"
			}
			return &ConflictError{a.title(), b.title(), fmt.Sprintf("%s %s %.200s", who, verb, what)}
		}
		for _, c := range r.Conflicts {
			ats, holds := all.holds(c)
			if at := other(ats); holds && at >= 0 {
				return refuse(at, "conflicts with", c.words())
			}
		}
		for _, o := range r.Obsoletes {
			if at := other(all.obsolete(o, r.Name)); at >= 0 {
				return refuse(at, "obsoletes", o.String())
			}
		}
	}
	return nil
}

// words is the requirement as RPM writes it.
func (r Requirement) words() string {
	if r.Joined == Plain {
		return r.Relation.String()
	}
	word := [...]string{And: " and ", Or: " or ", If: " if ", Unless: " unless ", With: " with ", Without: " without "}[r.Joined]
	parts := make([]string, len(r.Args))
	for i, a := range r.Args {
		parts[i] = a.words()
	}
	if conditional := r.Joined == If || r.Joined == Unless; conditional && len(parts) > 2 {
		return "(" + parts[0] + word + parts[1] + " else " + parts[2] + ")"
	}
	return "(" + strings.Join(parts, word) + ")"
}
