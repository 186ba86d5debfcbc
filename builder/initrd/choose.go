package initrd

import (
	"fmt"
	"slices"
	"strings"
)

// choice is what to load.
type choice struct {
	order   []moduleFile // what a module depends on comes before it
	builtIn []string
	absent  []string
	seen    map[string]bool // by name; also what is being visited
}

// choose finds the drivers and all that they depend on.
func (x *index) choose(platform string, drivers []driver) (*choice, error) {
	c := &choice{seen: make(map[string]bool)}
	for _, d := range drivers {
		name, ok := x.first(d.names)
		if !ok && d.required {
			return nil, fmt.Errorf("kernel %s has no module %s, which platform %s needs: %s",
				x.release, strings.Join(d.names, " or "), platform, d.why)
		}
		if !ok {
			c.absent = append(c.absent, d.names[0])
			continue
		}
		if err := x.visit(c, name); err != nil {
			return nil, err
		}
	}
	slices.Sort(c.builtIn)
	return c, nil
}

// first is the first of the names that the kernel has.
func (x *index) first(names []string) (string, bool) {
	for _, name := range names {
		name = moduleName(name)
		if _, ok := x.modules[name]; ok || x.builtIn[name] {
			return name, true
		}
	}
	return "", false
}

// visit appends the module to the order, after what it depends on.
func (x *index) visit(c *choice, name string) error {
	if c.seen[name] {
		return nil
	}
	c.seen[name] = true
	if x.builtIn[name] {
		c.builtIn = append(c.builtIn, name)
		return nil
	}
	m, ok := x.modules[name]
	if !ok {
		return fmt.Errorf("kernel %s has no module %s", x.release, name)
	}
	if err := x.visitSoft(c, x.before[name]); err != nil {
		return err
	}
	for _, file := range m.depends {
		if err := x.visit(c, moduleName(file)); err != nil {
			return fmt.Errorf("module %s needs %s: %w", name, file, err)
		}
	}
	c.order = append(c.order, m)
	return x.visitSoft(c, x.after[name])
}

// visitSoft takes soft dependencies: names or aliases, skipped where the kernel
// does not have them.
func (x *index) visitSoft(c *choice, wanted []string) error {
	for _, word := range wanted {
		names := append([]string{word}, x.aliases[word]...)
		for _, name := range names {
			name, ok := x.first([]string{name})
			if !ok {
				continue
			}
			if err := x.visit(c, name); err != nil {
				return err
			}
		}
	}
	return nil
}
