package packages

import (
	"strings"

	"github.com/proa-os/proa/builder/packages/version"
)

// Compare orders two versions; see version.Debian and version.RPM.
func (f Format) Compare(a, b string) int {
	if f == Deb {
		return version.Debian(a, b)
	}
	return version.RPM(a, b)
}

// Text is a requirement as the format writes it.
func (f Format) Text(r Requirement) string {
	if r.Joined == Plain {
		return r.Relation.String()
	}
	var parts []string
	for _, a := range r.Args {
		parts = append(parts, f.Text(a))
	}
	if f == Deb && r.Joined == Or {
		return strings.Join(parts, " | ")
	}
	word := " " + [...]string{And: "and", Or: "or", If: "if", Unless: "unless", With: "with", Without: "without"}[r.Joined] + " "
	text := strings.Join(parts, word)
	if conditional := r.Joined == If || r.Joined == Unless; conditional && len(parts) == 3 {
		text = parts[0] + word + parts[1] + " else " + parts[2]
	}
	return "(" + text + ")"
}

// Satisfies reports whether what is provided (have) satisfies what is wanted;
// their names are equal.
func (f Format) Satisfies(have, want Relation) bool {
	if want.Op == Any {
		return true
	}
	if f == Deb {
		// Policy 7.5: only a provision of an exact version satisfies a versioned relation.
		return have.Op == Equal && accepts(want.Op, version.Debian(have.Version, want.Version))
	}
	// Without a version nothing is ruled out, as in rpmds of librpm.
	return have.Op == Any || want.Version == "" || have.Version == "" || overlap(want, have)
}

func accepts(op Op, order int) bool {
	switch op {
	case Less:
		return order < 0
	case LessEqual:
		return order <= 0
	case Equal:
		return order == 0
	case GreaterEqual:
		return order >= 0
	case Greater:
		return order > 0
	default:
		return true
	}
}

// overlap reports whether two ranges of RPM versions have a version in common.
// A side that names no release, and may be equal, accepts all releases.
func overlap(a, b Relation) bool {
	order, vague := version.RPMRange(a.Version, b.Version)
	if vague {
		noRelease := a
		if strings.Contains(a.Version, "-") {
			noRelease = b
		}
		if equal(noRelease.Op) {
			return true
		}
	}
	switch {
	case order < 0:
		return above(a.Op) || below(b.Op)
	case order > 0:
		return below(a.Op) || above(b.Op)
	default:
		return equal(a.Op) && equal(b.Op) || below(a.Op) && below(b.Op) || above(a.Op) && above(b.Op)
	}
}

func below(o Op) bool { return o == Less || o == LessEqual }
func above(o Op) bool { return o == Greater || o == GreaterEqual }
func equal(o Op) bool {
	return o == Equal || o == LessEqual || o == GreaterEqual
}
