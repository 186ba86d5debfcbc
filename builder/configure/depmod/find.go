package depmod

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// module is one file of the folder, and later what it says.
type module struct {
	name  string // with "_" for "-" and without suffixes
	path  string // from the folder
	node  *tree.Node
	order int // its place, if modules.order has none for it: 1
	index int // among all modules, when they are sorted

	info    []field  // of .modinfo
	exports []string // symbols
	needs   []string // symbols

	depends []*module // what exports them, in the order in which they have to be unloaded
	users   int
	rank    int // of the order in which all modules could be unloaded
}

// bare is the path without what the kind of compression adds to it.
func (m *module) bare() string { return path.Join(path.Dir(m.path), stem(m.path)) }

// stem is the file's name up to its first dot.
func stem(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return name
}

func moduleName(file string) string { return strings.ReplaceAll(stem(file), "-", "_") }

func isModule(name string) bool {
	for _, suffix := range []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"} {
		if len(name) > len(suffix) && strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// maxDepth is how deep folders of modules may be, which also ends links that
// lead in a circle.
const maxDepth = 32

// search finds the modules below a folder.
type search struct {
	tree   *tree.Tree
	folder string
	config config
	byName map[string]*module
	walked int
}

// find lists the modules in a folder, one of each name, in the order in which
// kmod's table of names has them.
func find(t *tree.Tree, folder string) ([]*module, error) {
	c, err := readConfig(t, path.Base(folder))
	if err != nil {
		return nil, err
	}
	s := &search{tree: t, folder: folder, config: c, byName: map[string]*module{}}
	if err := s.below("", 0); err != nil {
		return nil, err
	}
	if len(s.byName) > maxModules {
		return nil, fmt.Errorf("%d modules: want at most %d", len(s.byName), maxModules)
	}
	var names []string
	for name := range s.byName {
		names = append(names, name)
	}
	sortAsTable(names, 512, func(name string) string { return name })
	modules := make([]*module, len(names))
	for i, name := range names {
		modules[i] = s.byName[name]
	}
	return modules, nil
}

func (s *search) below(folder string, depth int) error {
	names, err := s.tree.Children(path.Join(s.folder, folder))
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == "build" || name == "source" || slices.Contains(s.config.exclude, name) {
			continue
		}
		if s.walked++; s.walked > 1<<20 {
			return fmt.Errorf("more than %d files", 1<<20)
		}
		at := path.Join(folder, name)
		n, ok := s.tree.Resolve(path.Join(s.folder, at))
		switch {
		case !ok: // a link that leads nowhere
		case n.Kind == tree.Directory && depth < maxDepth:
			if err := s.below(at, depth+1); err != nil {
				return err
			}
		case n.Kind == tree.File && isModule(name):
			if err := s.found(at, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) found(at string, n *tree.Node) error {
	m := &module{name: moduleName(at), path: at, node: n, order: 1}
	if m.name == "" {
		return nil
	}
	for i := range len(at) {
		// The lines of modules.dep and the values of its index hold no others.
		if at[i] <= ' ' || at[i] > '~' || at[i] == ':' {
			return fmt.Errorf("module %.100q: want visible ASCII characters without : in its path", at)
		}
	}
	if old := s.byName[m.name]; old == nil || !s.config.keeps(old, m) {
		s.byName[m.name] = m
	}
	return nil
}

// sortModules puts modules in the order of modules.order; what it does not
// have comes last.
func sortModules(t *tree.Tree, folder string, modules []*module) error {
	byPath := map[string]*module{}
	for _, m := range modules {
		byPath[m.bare()+".ko"] = m
	}
	if n, ok := t.Resolve(folder + "/modules.order"); ok && n.Kind == tree.File {
		order, err := t.ReadFile(folder+"/modules.order", maxText)
		if err != nil {
			return err
		}
		lines := strings.Split(string(order), "\n")
		for i, line := range lines {
			if m := byPath[line]; m != nil {
				m.order = i - len(lines)
			}
		}
	}
	slices.SortStableFunc(modules, func(a, b *module) int { return a.order - b.order })
	for i, m := range modules {
		m.index = i
	}
	return nil
}
