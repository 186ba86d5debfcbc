package solver

import (
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

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
