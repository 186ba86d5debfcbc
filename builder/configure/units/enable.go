package units

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// Manager changes the units of a tree.
type Manager struct {
	Tree   *tree.Tree
	Source string // of the links that it makes
	// Vendor is how links name the folder usr/lib/systemd/system: Debian's
	// systemd says /lib, before version 256; empty means /usr/lib.
	Vendor string
}

// errUnfit says that a unit cannot be enabled, which is wrapped by the reason.
var errUnfit = errors.New("it cannot be enabled")

func unfit(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUnfit}, args...)...)
}

const maxAlso = 64

// Enable makes the links that the unit's [Install] section asks for, also
// those of the units that go with it, and returns the paths of the new ones. A
// unit without such a section has nothing to enable.
func (m *Manager) Enable(n Name) ([]string, error) {
	var made []string
	done := map[Name]bool{}
	pending := []Name{n}
	for len(pending) > 0 {
		next := pending[0]
		pending = pending[1:]
		if done[next] || len(done) > maxAlso {
			continue
		}
		done[next] = true
		in, links, err := m.wanted(next)
		if err != nil {
			if next != n {
				continue // of what goes with a unit, what is not there is passed over
			}
			return made, fmt.Errorf("enabling %s: %w", next, err)
		}
		for _, link := range slices.Sorted(maps.Keys(links)) {
			isNew, err := m.link(link, links[link])
			if err != nil {
				return made, fmt.Errorf("enabling %s: %w", next, err)
			}
			if isNew {
				made = append(made, link)
			}
		}
		for _, also := range in.also {
			if also, err := expand(also, next); err == nil {
				pending = append(pending, Name(also))
			}
		}
	}
	return made, nil
}

// wanted is the links for a unit: their paths, and their targets.
func (m *Manager) wanted(n Name) (install, map[string]string, error) {
	if !n.ok() {
		return install{}, nil, unfit("%q is not the name of a unit", n)
	}
	file, masked, ok := find(m.Tree, n)
	switch {
	case !ok:
		return install{}, nil, unfit("there is no such unit")
	case masked:
		return install{}, nil, unfit("it is masked")
	}
	// An alias in a vendor's folder stands for what it leads to.
	if node, ok := m.Tree.Lookup(file); ok && node.Kind == tree.Symlink {
		if real := Name(path.Base(node.Target)); real != n && real.ok() && !real.isTemplate() {
			if target, masked, ok := find(m.Tree, real); ok && !masked {
				n, file = real, target
			}
		}
	}
	in, err := read(m.Tree, n, file)
	if err != nil {
		return in, nil, err
	}
	if n.isTemplate() {
		if in.defaultInstance == "" && len(in.wantedBy)+len(in.requiredBy)+len(in.upheldBy) > 0 {
			return in, nil, unfit("it is a template without a default instance")
		}
		if in.defaultInstance != "" {
			n = n.of(in.defaultInstance)
		}
		if !n.ok() {
			return in, nil, unfit("instance %q is not a name", in.defaultInstance)
		}
	}
	links := map[string]string{}
	target := m.target(file)
	for suffix, by := range map[string][]string{".wants": in.wantedBy, ".requires": in.requiredBy, ".upholds": in.upheldBy} {
		for _, other := range by {
			if other, err = expand(other, n); err != nil {
				return in, nil, err
			}
			links[path.Join(config, other+suffix, string(n))] = target
		}
	}
	for _, alias := range in.alias {
		if alias, err = expand(alias, n); err != nil {
			return in, nil, err
		}
		if alias != string(n) {
			links[path.Join(config, alias)] = target
		}
	}
	return in, links, nil
}

// target is how a link names a unit's file.
func (m *Manager) target(file string) string {
	const vendor = "usr/lib/systemd/system/"
	if rest, ok := strings.CutPrefix(file, vendor); ok && m.Vendor != "" {
		return path.Join(m.Vendor, rest)
	}
	return "/" + file
}

func (m *Manager) link(at, target string) (isNew bool, err error) {
	if old, ok := m.Tree.Lookup(at); ok {
		if old.Kind == tree.Symlink && path.Base(old.Target) == path.Base(target) {
			return false, nil
		}
		if old.Kind != tree.Symlink {
			return false, unfit("%s is a %s already", at, old.Kind)
		}
		return false, unfit("%s leads to %s already", at, old.Target)
	}
	return true, m.Tree.Put(at, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: target, Source: m.Source})
}

// Disable takes away the links in etc/systemd/system to a unit and to those
// that go with it, but for what masks them, and returns their paths.
func (m *Manager) Disable(n Name) ([]string, error) {
	names := m.together(n)
	var gone []string
	err := m.Tree.Walk(func(at string, node *tree.Node) error {
		if !strings.HasPrefix(at, config+"/") || node.Kind != tree.Symlink || node.Target == "/dev/null" {
			return nil
		}
		base, to := Name(path.Base(at)), Name(path.Base(node.Target))
		// A link of another instance leads to the same template.
		if names[base] || names[to] && (base == to || !to.isTemplate() || n == to) {
			gone = append(gone, at)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, at := range gone {
		if err := m.Tree.Remove(at); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// together is a unit, what it is an alias of, and what its Also= names.
func (m *Manager) together(n Name) map[Name]bool {
	names := map[Name]bool{}
	pending := []Name{n}
	for len(pending) > 0 && len(names) < maxAlso {
		next := pending[0]
		pending = pending[1:]
		file, masked, ok := find(m.Tree, next)
		if names[next] || !next.ok() {
			continue
		}
		names[next] = true
		if !ok || masked {
			continue
		}
		if node, ok := m.Tree.Lookup(file); ok && node.Kind == tree.Symlink {
			pending = append(pending, Name(path.Base(node.Target)))
		}
		in, err := read(m.Tree, next, file)
		if err != nil {
			continue
		}
		for _, also := range in.also {
			if also, err := expand(also, next); err == nil {
				pending = append(pending, Name(also))
			}
		}
	}
	return names
}

// Mask keeps a unit from ever starting.
func (m *Manager) Mask(n Name) error {
	if !n.ok() {
		return fmt.Errorf("masking: %q is not the name of a unit", n)
	}
	return m.Tree.Put(path.Join(config, string(n)), &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: "/dev/null", Source: m.Source})
}
