package deb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/deb/control"
	"github.com/proa-os/proa/builder/packages"
)

// Wanted is what the items of a recipe ask for, behind every essential package
// that is among the candidates and not excluded: others rely on those without
// depending on them (Debian Policy, section 3.8). An item is a relation as in
// Depends: "name", "name (= version)", "name:amd64", "this | that".
func Wanted(candidates []packages.Package, items, exclude []string) ([]packages.Requirement, error) {
	arch := ""
	var essential []string
	for _, p := range candidates {
		if p.Arch != "all" {
			arch = p.Arch
		}
		if p.Essential && !slices.Contains(exclude, p.Name) {
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
	return wanted, nil
}
