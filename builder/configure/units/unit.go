// Package units enables and disables systemd units in a tree, as systemctl(1)
// does with --root: links in etc/systemd/system by what [Install] sections and
// preset files (systemd.preset(5)) say.
package units

import (
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/tree"
)

// config is where links go.
const config = "etc/systemd/system"

// folders are where units are, the strongest first.
var folders = []string{config, "usr/local/lib/systemd/system", "usr/lib/systemd/system"}

// suffixes of unit files that can be enabled.
var suffixes = []string{".service", ".socket", ".target", ".timer", ".path", ".mount", ".automount", ".swap", ".slice", ".device", ".scope"}

// Name is the name of a unit: "getty@tty1.service".
type Name string

// ok is what systemd.unit(5) says of names.
func (n Name) ok() bool {
	for _, c := range []byte(n) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(`:-_.\@`, c) < 0 {
			return false
		}
	}
	return n != "" && len(n) < 256 && n[0] != '.' && slices.Contains(suffixes, path.Ext(string(n))) && n.prefix() != ""
}

// prefix is "getty", instance "tty1".
func (n Name) prefix() string {
	base := strings.TrimSuffix(string(n), path.Ext(string(n)))
	prefix, _, _ := strings.Cut(base, "@")
	return prefix
}

func (n Name) instance() (string, bool) {
	base := strings.TrimSuffix(string(n), path.Ext(string(n)))
	_, instance, template := strings.Cut(base, "@")
	return instance, template
}

// template is "getty@.service" of an instance.
func (n Name) template() Name { return Name(n.prefix() + "@" + path.Ext(string(n))) }

// of is the instance of a template.
func (n Name) of(instance string) Name {
	return Name(n.prefix() + "@" + instance + path.Ext(string(n)))
}

// isTemplate reports whether n is a template and no instance.
func (n Name) isTemplate() bool {
	instance, template := n.instance()
	return template && instance == ""
}

// install is the [Install] section of a unit.
type install struct {
	path            string // of the unit file
	wantedBy        []string
	requiredBy      []string
	upheldBy        []string
	alias           []string
	also            []string
	defaultInstance string
}

// find is the path of a unit's file; masked says that it is a link to
// /dev/null or empty.
func find(t *tree.Tree, n Name) (file string, masked, ok bool) {
	for _, folder := range folders {
		at := path.Join(folder, string(n))
		node, ok := t.Lookup(at)
		if !ok {
			continue
		}
		if node.Kind == tree.Symlink && node.Target == "/dev/null" {
			return at, true, true
		}
		if node.Kind == tree.Symlink {
			if node, ok = t.Resolve(at); !ok {
				continue
			}
		}
		return at, node.Kind != tree.File || node.Content.Size == 0, true
	}
	if _, template := n.instance(); template && !n.isTemplate() {
		return find(t, n.template())
	}
	return "", false, false
}

// read reads the [Install] section of a unit with its drop-ins.
func read(t *tree.Tree, n Name, file string) (install, error) {
	in := install{path: file}
	files := []string{file}
	for _, of := range []Name{n, n.template()} {
		if _, template := n.instance(); of == n || template {
			var dirs []string
			for _, folder := range folders {
				dirs = append(dirs, path.Join(folder, string(of)+".d"))
			}
			files = append(files, dropin.Files(t, dirs, ".conf")...)
		}
	}
	lines, err := dropin.Read(t, files...)
	if err != nil {
		return in, err
	}
	section, joined := "", ""
	for _, l := range lines {
		if before, more := strings.CutSuffix(l.Text, `\`); more {
			joined += before + " "
			continue
		}
		text := joined + l.Text
		joined = ""
		if text[0] == '[' {
			section = text
			continue
		}
		if section == "[Install]" {
			in.assign(text)
		}
	}
	return in, nil
}

func (i *install) assign(text string) {
	key, value, _ := strings.Cut(text, "=")
	value = strings.TrimSpace(value)
	lists := map[string]*[]string{"WantedBy": &i.wantedBy, "RequiredBy": &i.requiredBy, "UpheldBy": &i.upheldBy, "Alias": &i.alias, "Also": &i.also}
	key = strings.TrimSpace(key)
	if l, ok := lists[key]; ok {
		*l = append(*l, strings.Fields(value)...)
		if value == "" {
			*l = nil
		}
	}
	if key == "DefaultInstance" {
		i.defaultInstance = value
	}
}

// expand replaces the specifiers that [Install] may have.
func expand(s string, n Name) (string, error) {
	instance, _ := n.instance()
	name := strings.TrimSuffix(string(n), path.Ext(string(n)))
	last := n.prefix()[strings.LastIndexByte(n.prefix(), '-')+1:]
	out, err := dropin.Specifiers{'%': "%", 'n': string(n), 'N': name, 'p': n.prefix(), 'P': n.prefix(), 'i': instance, 'I': instance, 'j': last, 'J': last}.Expand(s)
	if err != nil {
		return "", unfit("%v", err)
	}
	if !Name(out).ok() {
		err = unfit("%q is not the name of a unit", out)
	}
	return out, err
}
