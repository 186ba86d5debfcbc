package deb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
)

// merged says that /usr is merged, as Prepare makes it. usrmerge, which packages
// name before it, would merge the /usr of a running system, and needs perl.
const merged, mergesLater = "usr-is-merged", "usrmerge"

// Wanted is what the items of a recipe ask for, behind every essential package
// that is among the candidates and not excluded: others rely on those without
// depending on them (Debian Policy, section 3.8). An item is a relation as in
// Depends: "name", "name (= version)", "name:amd64", "this | that".
//
// As debootstrap does, it also asks for usr-is-merged where that is offered,
// unless the recipe excludes it or asks for usrmerge.
func Wanted(candidates []packages.Package, items, exclude []string) ([]packages.Requirement, error) {
	arch := ""
	var essential []string // and usr-is-merged
	for _, p := range candidates {
		if p.Arch != "all" {
			arch = p.Arch
		}
		if (p.Essential || p.Name == merged) && !slices.Contains(exclude, p.Name) {
			essential = append(essential, p.Name)
		}
	}
	slices.Sort(essential)
	var wanted []packages.Requirement
	for _, name := range slices.Compact(essential) {
		wanted = append(wanted, packages.Requirement{Relation: packages.Relation{Name: name}})
	}
	parser := control.NewParser(arch)
	for _, item := range items {
		asked, err := parser.Requirements([]byte(item))
		if err == nil && len(asked) != 1 {
			err = fmt.Errorf("want one package, for %s", arch)
		}
		if err != nil {
			return nil, fmt.Errorf("package %.100q: %w", item, err)
		}
		for _, r := range append(asked[0].Args, asked[0]) {
			if _, other, found := strings.Cut(r.Relation.Name, ":"); found {
				return nil, fmt.Errorf("package %.100q: architecture %s: want %s", item, other, arch)
			}
		}
		wanted = append(wanted, asked[0])
	}
	if slices.ContainsFunc(wanted, func(r packages.Requirement) bool { return r.Relation.Name == mergesLater }) {
		wanted = slices.DeleteFunc(wanted, func(r packages.Requirement) bool { return r.Relation.Name == merged })
	}
	return wanted, nil
}
