package rpm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/rpm/richdeps"
)

// How a relation compares versions, and what else its flags say (rpmsense).
const (
	senseLess      = 1 << 1
	senseGreater   = 1 << 2
	senseEqual     = 1 << 3
	senseMissingOK = 1 << 19
)

// rpmlib are the features of the format that a package can demand and that are
// understood here, or make no difference to what Read does.
var rpmlib = map[string]bool{
	"BuiltinLuaScripts": true, "CaretInVersions": true, "CompressedFileNames": true, "ConcurrentAccess": true,
	"DynamicBuildRequires": true, "ExplicitPackageProvide": true, "FileCaps": true, "FileDigests": true,
	"HeaderLoadSortsTags": true, "LargeFiles": true, "PartialHardlinkSets": true, "PayloadFilesHavePrefix": true,
	"PayloadIsBzip2": true, "PayloadIsLzma": true, "PayloadIsXz": true, "PayloadIsZstd": true, "RichDependencies": true,
	"ScriptletExpansion": true, "ScriptletInterpreterArgs": true, "TildeInVersions": true, "VersionedDependencies": true,
}

// relation is a dependency as the header has it.
type relation struct {
	packages.Relation
	flags uint64
}

func relations(h *header, name, version, flags tag) ([]relation, error) {
	names, err := h.strings(name)
	if err != nil {
		return nil, err
	}
	c := columns{h: h, n: len(names)}
	versions, senses := c.strings(version, false), c.numbers(flags, false)
	all := make([]relation, len(names))
	for i, n := range names {
		if n == "" {
			return nil, fmt.Errorf("tag %d has an empty name", name)
		}
		all[i] = relation{packages.Relation{Name: n, Op: operator(senses[i]), Version: versions[i]}, senses[i]}
		if all[i].Op == packages.Any || versions[i] == "" {
			all[i].Op, all[i].Version = packages.Any, ""
		}
	}
	return all, c.err
}

func operator(flags uint64) packages.Op {
	switch flags & (senseLess | senseGreater | senseEqual) {
	case senseLess:
		return packages.Less
	case senseLess | senseEqual:
		return packages.LessEqual
	case senseEqual:
		return packages.Equal
	case senseGreater | senseEqual:
		return packages.GreaterEqual
	case senseGreater:
		return packages.Greater
	}
	return packages.Any
}

// requirements reads relations that may be rich. Demands on rpm itself are met
// here or refused.
func requirements(h *header, name, version, flags tag) ([]packages.Requirement, error) {
	all, err := relations(h, name, version, flags)
	if err != nil {
		return nil, err
	}
	var wanted []packages.Requirement
	for _, r := range all {
		if feature, ok := strings.CutPrefix(r.Name, "rpmlib("); ok {
			if feature = strings.TrimSuffix(feature, ")"); !rpmlib[feature] {
				return nil, fmt.Errorf("it demands %.100q of rpm, which is not known here", feature)
			}
			continue
		}
		if r.flags&senseMissingOK != 0 {
			continue // of packages older than Recommends
		}
		requirement := packages.Requirement{Relation: r.Relation}
		if strings.HasPrefix(r.Name, "(") {
			if requirement, err = richdeps.Parse(r.Name); err != nil {
				return nil, fmt.Errorf("requirement %.200q: %w", r.Name, err)
			}
		}
		wanted = append(wanted, requirement)
	}
	return wanted, nil
}

func plain(all []relation) []packages.Relation {
	var out []packages.Relation
	for _, r := range all {
		out = append(out, r.Relation)
	}
	return out
}

// identity is name, version and architecture of a binary package.
func identity(h *header) (name, version, arch string, err error) {
	if name, version, arch, err = words(h); err != nil {
		return "", "", "", err
	}
	if arch == "" {
		return "", "", "", fmt.Errorf("tag %d is %q: want a word", tagArch, arch)
	}
	source, err := h.string(tagSourceRPM)
	if source == "" || h.has(tagSourcePackage) {
		return "", "", "", errors.New("a source package: want a binary one")
	}
	return name, version, arch, err
}

// words are name, version and, where there is one, architecture.
func words(h *header) (name, version, arch string, err error) {
	var release string
	for _, field := range []struct {
		into *string
		tag  tag
	}{{&name, tagName}, {&version, tagVersion}, {&release, tagRelease}, {&arch, tagArch}} {
		text, err := h.string(field.tag)
		if err != nil {
			return "", "", "", err
		}
		if text == "" && field.tag != tagArch || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }) {
			return "", "", "", fmt.Errorf("tag %d is %.100q: want a word", field.tag, text)
		}
		*field.into = text
	}
	epoch, err := h.number(tagEpoch, 0)
	if version += "-" + release; epoch > 0 {
		version = fmt.Sprintf("%d:%s", epoch, version)
	}
	return name, version, arch, err
}

// about is what the header says besides files.
func about(h *header) (packages.About, error) {
	a := packages.About{Format: packages.RPM}
	var err error
	if a.Name, a.Version, a.Arch, err = identity(h); err != nil {
		return a, err
	}
	if a.Source, err = h.string(tagSourceRPM); err != nil {
		return a, err
	}
	if a.License, err = h.string(tagLicense); err != nil {
		return a, err
	}
	if a.Requires, err = requirements(h, tagRequireName, tagRequireVersion, tagRequireFlags); err != nil {
		return a, err
	}
	provides, err := relations(h, tagProvideName, tagProvideVersion, tagProvideFlags)
	if err != nil {
		return a, err
	}
	a.Provides = plain(provides)
	a.Scripts, err = scripts(h)
	return a, err
}

// candidate is the package as a solver wants it.
func candidate(h *header) (packages.Package, error) {
	a, err := about(h)
	p := packages.Package{Name: a.Name, Version: a.Version, Arch: a.Arch, Provides: a.Provides, Requires: a.Requires}
	if err != nil {
		return p, err
	}
	self := packages.Relation{Name: a.Name, Op: packages.Equal, Version: a.Version}
	known := false
	for _, r := range p.Provides {
		known = known || r == self
	}
	if !known {
		p.Provides = append(p.Provides, self)
	}
	for _, want := range []struct {
		into                 *[]packages.Requirement
		name, version, flags tag
	}{
		{&p.Conflicts, tagConflictName, tagConflictVersion, tagConflictFlags},
		{&p.Recommends, tagRecommendName, tagRecommendVersion, tagRecommendFlags},
		{&p.Supplements, tagSupplementName, tagSupplementVersion, tagSupplementFlags},
	} {
		if *want.into, err = requirements(h, want.name, want.version, want.flags); err != nil {
			return p, err
		}
	}
	obsoletes, err := relations(h, tagObsoleteName, tagObsoleteVersion, tagObsoleteFlags)
	if err != nil {
		return p, err
	}
	p.Obsoletes = plain(obsoletes)
	files, err := readFiles(h)
	for _, f := range files {
		p.Files = append(p.Files, "/"+f.path)
	}
	return p, err
}
