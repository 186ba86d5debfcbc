package units

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/tree"
)

// Policy is what preset files say.
type Policy struct{ rules []rule }

type rule struct {
	enable    bool
	pattern   string
	instances []string
}

// ReadPolicy reads the preset files of folders below each of which there is
// systemd/system-preset: "etc", "usr/lib".
func ReadPolicy(t *tree.Tree, roots ...string) (Policy, []dropin.Fault, error) {
	var dirs []string
	for _, root := range roots {
		dirs = append(dirs, path.Join(root, "systemd/system-preset"))
	}
	lines, err := dropin.Read(t, dropin.Files(t, dirs, ".preset")...)
	if err != nil {
		return Policy{}, nil, err
	}
	var p Policy
	var faults []dropin.Fault
	for _, l := range lines {
		words := strings.Fields(l.Text)
		if len(words) < 2 || words[0] != "enable" && words[0] != "disable" && words[0] != "ignore" || !goodPattern(words[1]) {
			faults = append(faults, l.Fault("want enable or disable, and a unit or a pattern"))
			continue
		}
		if words[0] != "ignore" {
			p.rules = append(p.rules, rule{words[0] == "enable", words[1], words[2:]})
		}
	}
	return p, faults, nil
}

func goodPattern(p string) bool {
	_, err := path.Match(p, "")
	return err == nil
}

// Decide says what the first rule for a unit wants; ok is false when there is
// none. Instances are those that a rule for a template names.
func (p Policy) Decide(n Name) (enable bool, instances []string, ok bool) {
	for _, r := range p.rules {
		if matched, err := path.Match(r.pattern, string(n)); err == nil && matched {
			return r.enable, r.instances, true
		}
		if instance, template := n.instance(); template && instance != "" && r.enable && r.pattern == string(n.template()) && slices.Contains(r.instances, instance) {
			return true, nil, true
		}
	}
	return true, nil, false
}

// All lists the units of a tree that can be enabled, sorted by name.
func All(t *tree.Tree) []Name {
	found := map[Name]bool{}
	for _, folder := range folders {
		names, err := t.Children(folder)
		if err != nil {
			continue
		}
		for _, name := range names {
			n := Name(name)
			if node, ok := t.Lookup(path.Join(folder, name)); !n.ok() || !ok || node.Kind != tree.File {
				continue
			}
			if file, masked, ok := find(t, n); ok && !masked && path.Dir(file) == folder {
				found[n] = true
			}
		}
	}
	var names []Name
	for n := range found {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Preset enables what the policy says, and what no rule speaks of, as systemctl
// preset-all --preset-mode=enable-only does. It returns the new links.
func (m *Manager) Preset(p Policy) ([]string, error) {
	var made []string
	for _, n := range All(m.Tree) {
		links, err := m.PresetOne(p, n)
		if err != nil {
			return made, err
		}
		made = append(made, links...)
	}
	return made, nil
}

// PresetOne is Preset for one unit.
func (m *Manager) PresetOne(p Policy, n Name) ([]string, error) {
	enable, instances, _ := p.Decide(n)
	if !enable {
		return nil, nil
	}
	names := []Name{n}
	if n.isTemplate() && len(instances) > 0 {
		names = nil
		for _, i := range instances {
			names = append(names, n.of(i))
		}
	}
	var made []string
	for _, name := range names {
		// A template alone, a masked unit or a taken alias stays as it is when all
		// units are gone through.
		links, err := m.Enable(name)
		if err != nil && !errors.Is(err, errUnfit) {
			return made, err
		}
		made = append(made, links...)
	}
	return made, nil
}
