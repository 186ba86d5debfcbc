// Package units enables, disables and masks systemd units in a stage, as
// systemctl(1) does with --root: links in /etc/systemd/system by what [Install]
// sections say (systemd.unit(5)).
package units

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/hostconfig/stage"
)

// Config is where a machine's own units are.
const Config = "/etc/systemd/system"

// folders are where units are, the strongest first.
var folders = []string{Config, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

const mostFile = 1 << 20

// Name is the name of a unit: "getty@tty1.service".
type Name string

// parts are "getty", "tty1" and whether there is an @.
func (n Name) parts() (prefix, instance string, template bool) {
	prefix, instance, template = strings.Cut(strings.TrimSuffix(string(n), path.Ext(string(n))), "@")
	return prefix, instance, template
}

// of is the instance of a template; of("") is the template of an instance.
func (n Name) of(instance string) Name {
	prefix, _, _ := n.parts()
	return Name(prefix + "@" + instance + path.Ext(string(n)))
}

func (n Name) isTemplate() bool {
	_, instance, template := n.parts()
	return template && instance == ""
}

// unit is a unit's file and what its [Install] section says.
type unit struct {
	name            Name
	file            string
	by              map[string][]string // "wants" to the units of WantedBy=
	alias, also     []string
	defaultInstance string
}

// errMasked says that a unit cannot be enabled.
var errMasked = errors.New("it is masked")

// find is the path of a unit's file.
func find(s *stage.Stage, n Name) (string, error) {
	for _, folder := range folders {
		at := path.Join(folder, string(n))
		e, err := s.Look(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if e.Kind == stage.Symlink && e.Target == "/dev/null" {
			return "", errMasked
		}
		return at, nil
	}
	if _, instance, template := n.parts(); template && instance != "" {
		return find(s, n.of(""))
	}
	return "", errors.New("the image has no such unit, and the configuration neither")
}

// read finds a unit and reads its [Install] section with its drop-ins.
func read(s *stage.Stage, n Name) (unit, error) {
	file, err := find(s, n)
	if err != nil {
		return unit{}, err
	}
	// An alias that a vendor made stands for what it leads to.
	if e, err := s.Look(file); err == nil && e.Kind == stage.Symlink {
		if real := Name(path.Base(e.Target)); real != n && plan.CheckUnit(string(real)) == nil && !real.isTemplate() {
			return read(s, real)
		}
	}
	u := unit{name: n, file: file, by: map[string][]string{}}
	texts := []string{file}
	of := []Name{n}
	if _, _, template := n.parts(); template && !n.isTemplate() {
		of = []Name{n.of(""), n}
	}
	for _, name := range of {
		dropins, err := dropins(s, name)
		if err != nil {
			return unit{}, err
		}
		texts = append(texts, dropins...)
	}
	for _, at := range texts {
		data, err := s.Read(at, mostFile)
		if err != nil {
			return unit{}, err
		}
		u.install(string(data))
	}
	return u, nil
}

// dropins are the files NAME.d/*.conf of a unit: one of a name in a stronger
// folder hides those in others.
func dropins(s *stage.Stage, n Name) ([]string, error) {
	by := map[string]string{}
	for _, folder := range folders {
		names, err := s.List(path.Join(folder, string(n)+".d"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if _, hidden := by[name]; !hidden && strings.HasSuffix(name, ".conf") {
				by[name] = path.Join(folder, string(n)+".d", name)
			}
		}
	}
	var paths []string
	for _, at := range by {
		if e, err := s.Look(at); err == nil && e.Kind == stage.Symlink && e.Target == "/dev/null" {
			continue
		}
		paths = append(paths, at)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return paths, nil
}

// install reads the lines of [Install] in a text.
func (u *unit) install(text string) {
	section, joined := "", ""
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';' {
			continue
		}
		if before, more := strings.CutSuffix(trimmed, `\`); more {
			joined += before + " "
			continue
		}
		trimmed, joined = joined+trimmed, ""
		if trimmed[0] == '[' {
			section = trimmed
			continue
		}
		if section != "[Install]" {
			continue
		}
		key, value, _ := strings.Cut(trimmed, "=")
		u.assign(strings.TrimSpace(key), strings.TrimSpace(value))
	}
}

func (u *unit) assign(key, value string) {
	add := func(list []string) []string {
		if value == "" {
			return nil
		}
		return append(list, strings.Fields(value)...)
	}
	switch key {
	case "WantedBy":
		u.by["wants"] = add(u.by["wants"])
	case "RequiredBy":
		u.by["requires"] = add(u.by["requires"])
	case "UpheldBy":
		u.by["upholds"] = add(u.by["upholds"])
	case "Alias":
		u.alias = add(u.alias)
	case "Also":
		u.also = add(u.also)
	case "DefaultInstance":
		u.defaultInstance = value
	}
}

// expand replaces the specifiers that [Install] may have.
func expand(text string, n Name) (string, error) {
	prefix, instance, _ := n.parts()
	values := map[byte]string{'%': "%", 'n': string(n), 'N': strings.TrimSuffix(string(n), path.Ext(string(n))),
		'p': prefix, 'P': prefix, 'i': instance, 'I': instance, 'j': prefix[strings.LastIndexByte(prefix, '-')+1:]}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			out.WriteByte(text[i])
			continue
		}
		if i++; i == len(text) || values[text[i]] == "" {
			return "", fmt.Errorf("%q in its [Install]: a specifier that is not known here", text)
		}
		out.WriteString(values[text[i]])
	}
	if err := plan.CheckUnit(out.String()); err != nil {
		return "", fmt.Errorf("in its [Install]: %w", err)
	}
	return out.String(), nil
}
