package depmod

import (
	"fmt"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// index is what is known of the modules of one kernel.
type index struct {
	tree    *tree.Tree
	folder  string
	modules []*module
	symbols []export
}

// export is a symbol and the module that has it.
type export struct {
	name  string
	owner *module
}

// exported lists the symbols of all modules, in the order of kmod's table. Of
// two modules that export one name, the later counts.
func exported(modules []*module) []export {
	owners := map[string]*module{}
	for _, m := range modules {
		for _, name := range m.exports {
			owners[name] = m
		}
	}
	var all []export
	for name, owner := range owners {
		all = append(all, export{name, owner})
	}
	sortAsTable(all, 2048, func(e export) string { return e.name })
	return all
}

// resolve finds what each module depends on and puts all in an order in which
// they could be unloaded.
func (x *index) resolve() error {
	owners := map[string]*module{}
	for _, e := range x.symbols {
		owners[e.name] = e.owner
	}
	for _, m := range x.modules {
		for _, name := range m.needs {
			// On 64-bit PowerPC, .name is the code of the function name.
			owner := owners[strings.TrimPrefix(name, ".")]
			if owner != nil && !slices.Contains(m.depends, owner) {
				m.depends = append(m.depends, owner)
				owner.users++
			}
		}
	}
	if err := x.rank(); err != nil {
		return err
	}
	for _, m := range x.modules {
		slices.SortFunc(m.depends, byRank)
	}
	return nil
}

func byRank(a, b *module) int { return a.rank - b.rank }

// rank gives modules without users the lowest ranks, then those that only they
// use, and so on: a stack is worked off, so that the result is that of kmod.
func (x *index) rank() error {
	var unused []*module
	left := map[*module]int{}
	for _, m := range x.modules {
		if left[m] = m.users; m.users == 0 {
			unused = append(unused, m)
		}
	}
	ranked := 0
	for len(unused) > 0 {
		m := unused[len(unused)-1]
		unused = unused[:len(unused)-1]
		m.rank = ranked
		ranked++
		for _, d := range m.depends {
			if left[d]--; left[d] == 0 {
				unused = append(unused, d)
			}
		}
	}
	if ranked == len(x.modules) {
		return nil
	}
	var circle []string
	for _, m := range x.modules {
		if left[m] > 0 {
			circle = append(circle, m.name)
		}
	}
	const shown = 10
	more := ""
	if len(circle) > shown {
		circle, more = circle[:shown], " …"
	}
	return fmt.Errorf("modules depend on each other in a circle: %s%s", strings.Join(circle, ", "), more)
}

// all is what m depends on, also by way of others, in the order in which it
// could be unloaded.
func (m *module) all() []*module {
	var found []*module
	seen := map[*module]bool{}
	var add func(*module)
	add = func(m *module) {
		for _, d := range m.depends {
			if !seen[d] {
				seen[d] = true
				found = append(found, d)
				add(d)
			}
		}
	}
	add(m)
	slices.SortFunc(found, byRank)
	return found
}

// dependsLine is the line of modules.dep.
func (m *module) dependsLine() string {
	var line strings.Builder
	line.WriteString(m.path + ":")
	for _, d := range m.all() {
		line.WriteString(" " + d.path)
	}
	return line.String()
}

// values are those of one key in .modinfo.
func (m *module) values(key string) []string {
	var values []string
	for _, f := range m.info {
		if f.key == key {
			values = append(values, f.value)
		}
	}
	return values
}
