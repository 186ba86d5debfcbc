package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/manifests"
)

// comparePackages pairs packages by format, name and architecture. Where a
// system has several versions of one, such as of an RPM kernel, those in one
// system only are added or removed.
func comparePackages(old, new []inventory.Package) []Package {
	type key struct {
		format     packages.Format
		name, arch string
	}
	versions := map[key]*[2][]string{}
	for side, packages := range [2][]inventory.Package{old, new} {
		for _, p := range packages {
			k := key{p.Format, p.Name, p.Arch}
			if versions[k] == nil {
				versions[k] = &[2][]string{}
			}
			versions[k][side] = append(versions[k][side], p.Version)
		}
	}
	changes := []Package{}
	for k, v := range versions {
		gone, come := without(v[0], v[1]), without(v[1], v[0])
		if len(gone) == 1 && len(come) == 1 {
			change := Upgraded
			if k.format.Compare(gone[0], come[0]) > 0 {
				change = Downgraded
			}
			changes = append(changes, Package{change, k.format, k.name, k.arch, gone[0], come[0]})
			continue
		}
		for _, version := range gone {
			changes = append(changes, Package{Removed, k.format, k.name, k.arch, version, ""})
		}
		for _, version := range come {
			changes = append(changes, Package{Added, k.format, k.name, k.arch, "", version})
		}
	}
	slices.SortFunc(changes, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(a.Format), string(b.Format)), strings.Compare(a.Arch, b.Arch),
			strings.Compare(string(b.Change), string(a.Change)), strings.Compare(a.Old+a.New, b.Old+b.New))
	})
	return changes
}

func without(all, others []string) []string {
	var rest []string
	for _, v := range all {
		if !slices.Contains(others, v) && !slices.Contains(rest, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// compareMaps is what changed between two maps, sorted by key.
func compareMaps(old, new map[string]string) []Named {
	changes := []Named{}
	for key, was := range old {
		if is, still := new[key]; !still {
			changes = append(changes, Named{Removed, key, was, ""})
		} else if is != was {
			changes = append(changes, Named{Changed, key, was, is})
		}
	}
	for key, is := range new {
		if _, had := old[key]; !had {
			changes = append(changes, Named{Added, key, "", is})
		}
	}
	slices.SortFunc(changes, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	return changes
}

// index makes a map of what a list says.
func index[T any](list []T, say func(T) (key, value string)) map[string]string {
	said := map[string]string{}
	for _, item := range list {
		key, value := say(item)
		said[key] = value
	}
	return said
}

func compareNamed(d *Difference, old, new inventory.Inventory) {
	only := func(s string) (string, string) { return s, "" }
	kernel := func(k inventory.Kernel) (string, string) { return k.Release, "" }
	user := func(u inventory.User) (string, string) {
		return u.Name, fmt.Sprintf("%d:%d, home %s, shell %s", u.UID, u.GID, u.Home, u.Shell)
	}
	group := func(g inventory.Group) (string, string) {
		if len(g.Members) == 0 {
			return g.Name, fmt.Sprint(g.GID)
		}
		return g.Name, fmt.Sprintf("%d, members %s", g.GID, strings.Join(g.Members, " "))
	}
	setID := func(s inventory.SetID) (string, string) {
		return s.Path, fmt.Sprintf("%04o %d:%d", s.Mode, s.UID, s.GID)
	}
	capability := func(c inventory.Capability) (string, string) { return c.Path, c.Value }

	d.Kernels = replaced(compareMaps(index(old.Kernels, kernel), index(new.Kernels, kernel)))
	d.Options = []Named{}
	if was, is := newestOptions(old.Kernels), newestOptions(new.Kernels); len(was) > 0 && len(is) > 0 {
		d.Options = compareMaps(was, is) // else one of the two is not known
	}
	d.Units = compareMaps(index(old.Units, only), index(new.Units, only))
	d.Masked = compareMaps(index(old.Masked, only), index(new.Masked, only))
	d.Users = compareMaps(index(old.Users, user), index(new.Users, user))
	d.Groups = compareMaps(index(old.Groups, group), index(new.Groups, group))
	d.SetID = compareMaps(index(old.SetID, setID), index(new.SetID, setID))
	d.Capabilities = compareMaps(index(old.Capabilities, capability), index(new.Capabilities, capability))
	d.Programs = compareMaps(programs(old.Programs), programs(new.Programs))
}

// replaced makes one change of a kernel that went and one that came.
func replaced(changes []Named) []Named {
	if len(changes) != 2 || changes[0].Change == changes[1].Change {
		return changes
	}
	old, new := changes[0].Name, changes[1].Name
	if changes[0].Change == Added {
		old, new = new, old
	}
	return []Named{{Changed, "kernel", old, new}}
}

func newestOptions(kernels []inventory.Kernel) map[string]string {
	if len(kernels) == 0 {
		return nil
	}
	return slices.MaxFunc(kernels, func(a, b inventory.Kernel) int {
		return manifests.Version(a.Release).Compare(manifests.Version(b.Release))
	}).Options
}

// programs has one line for each program's toolchain, main module and
// dependencies.
func programs(all []inventory.Program) map[string]string {
	said := map[string]string{}
	for _, p := range all {
		said[p.Path] = p.Go
		for _, m := range append([]inventory.Module{p.Main}, p.Deps...) {
			if m.Path != "" {
				said[p.Path+": "+m.Path] = m.Version
			}
		}
	}
	return said
}
