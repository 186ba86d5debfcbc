package solver

import (
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/packages/version"
)

// matches reports whether what is provided satisfies what is wanted; their
// names are equal.
func (u *universe) matches(want, have packages.Relation) bool {
	if want.Op == packages.Any {
		return true
	}
	if u.Format == packages.Deb {
		// Policy 7.5: only a provision of an exact version satisfies a versioned relation.
		return have.Op == packages.Equal && accepts(want.Op, version.Debian(have.Version, want.Version))
	}
	// Without a version nothing is ruled out, as in rpmds of librpm.
	return have.Op == packages.Any || want.Version == "" || have.Version == "" || overlap(want, have)
}

func accepts(op packages.Op, order int) bool {
	switch op {
	case packages.Less:
		return order < 0
	case packages.LessEqual:
		return order <= 0
	case packages.Equal:
		return order == 0
	case packages.GreaterEqual:
		return order >= 0
	case packages.Greater:
		return order > 0
	default:
		return true
	}
}

// overlap reports whether two ranges of RPM versions have a version in common.
// A side that names no release, and may be equal, accepts all releases.
func overlap(a, b packages.Relation) bool {
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

func below(o packages.Op) bool { return o == packages.Less || o == packages.LessEqual }
func above(o packages.Op) bool { return o == packages.Greater || o == packages.GreaterEqual }
func equal(o packages.Op) bool {
	return o == packages.Equal || o == packages.LessEqual || o == packages.GreaterEqual
}

// ours reports whether it is proa itself that satisfies a relation: rpmlib
// names what the program that unpacks a package has to know.
func (u *universe) ours(r packages.Relation) bool {
	feature, found := strings.CutPrefix(r.Name, "rpmlib(")
	if !found || u.Format != packages.RPM {
		return false
	}
	switch strings.TrimSuffix(feature, ")") {
	case "BuiltinLuaScripts", "CaretInVersions", "CompressedFileNames", "ConcurrentAccess", "ExplicitPackageProvide",
		"FileCaps", "FileDigests", "HeaderLoadSortsTags", "LargeFiles", "PartialHardlinkSets", "PayloadFilesHavePrefix",
		"PayloadIsBzip2", "PayloadIsXz", "PayloadIsZstd", "RichDependencies", "ScriptletExpansion",
		"ScriptletInterpreterArgs", "TildeInVersions", "VersionedDependencies":
		return true
	}
	return false
}
