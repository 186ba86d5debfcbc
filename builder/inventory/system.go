package inventory

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// readSystem reads os-release(5), passwd(5) and group(5).
func (r *reader) readSystem(context.Context) error {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, err := r.text(name, textMost)
		if err != nil {
			return err
		}
		if r.found.OS = ParseOSRelease(text); len(r.found.OS) > 0 {
			break
		}
	}
	passwd, err := r.text("etc/passwd", textMost)
	if err != nil {
		return err
	}
	group, err := r.text("etc/group", textMost)
	if err != nil {
		return err
	}
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 7 || f[0] == "" {
			continue
		}
		uid, uidErr := strconv.ParseUint(f[2], 10, 32)
		gid, gidErr := strconv.ParseUint(f[3], 10, 32)
		if uidErr == nil && gidErr == nil {
			r.found.Users = append(r.found.Users, User{f[0], uint32(uid), uint32(gid), f[5], f[6]})
		}
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 4 || f[0] == "" {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			r.found.Groups = append(r.found.Groups, Group{f[0], uint32(gid), members(f[3])})
		}
	}
	slices.SortStableFunc(r.found.Users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.found.Groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func members(list string) []string {
	if list == "" {
		return nil
	}
	names := strings.Split(list, ",")
	slices.Sort(names)
	return names
}

// text is the content of a file, empty when there is none or when the name is
// not a file's.
func (r *reader) text(name string, most int64) (string, error) {
	n, ok := r.tree.Resolve(name)
	if !ok || n.Kind != tree.File {
		return "", nil
	}
	data, err := r.tree.ReadFile(name, most)
	return string(data), err
}

// children lists a directory, which need not be there.
func (r *reader) children(name string) []string {
	names, err := r.tree.Children(name)
	if err != nil {
		return nil // no directory
	}
	return names
}

// ParseOSRelease reads assignments as os-release(5) allows them, by key.
func ParseOSRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") || key == "" {
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			quote := value[0]
			value = value[1 : len(value)-1]
			if quote == '"' {
				value = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(value)
			}
		}
		values[key] = value
	}
	return values
}

// readKernels finds what has modules in usr/lib/modules, and an image or a
// configuration there or in boot.
func (r *reader) readKernels(context.Context) error {
	for _, release := range r.children("usr/lib/modules") {
		modules := path.Join("usr/lib/modules", release)
		k := Kernel{
			Release: release,
			Path:    r.first(path.Join(modules, "vmlinuz"), path.Join(modules, "Image"), "boot/vmlinuz-"+release, "boot/Image-"+release),
			Config:  r.first(path.Join(modules, "config"), "boot/config-"+release),
		}
		if n, ok := r.tree.Resolve(modules); !ok || n.Kind != tree.Directory {
			continue
		}
		if k.Config != "" {
			text, err := r.text(k.Config, textMost)
			if err != nil {
				return err
			}
			k.Options = parseKernelConfig(text)
		}
		r.found.Kernels = append(r.found.Kernels, k)
	}
	return nil
}

// first is the first of some paths that leads to a file, or "".
func (r *reader) first(paths ...string) string {
	for _, p := range paths {
		if n, ok := r.tree.Resolve(p); ok && n.Kind == tree.File {
			return p
		}
	}
	return ""
}

func parseKernelConfig(text string) map[string]string {
	options := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.HasPrefix(key, "CONFIG_") {
			options[key] = value
		}
	}
	return options
}

// readUnits lists the links by which units start others, those of
// administrators and those of packages.
func (r *reader) readUnits(context.Context) error {
	found, masked := map[string]bool{}, map[string]bool{}
	for _, folder := range []string{"etc/systemd/system", "usr/lib/systemd/system"} {
		for _, name := range r.children(folder) {
			at := path.Join(folder, name)
			if n, ok := r.tree.Lookup(at); ok && n.Kind == tree.Symlink && n.Target == "/dev/null" {
				masked[name] = true
				continue
			}
			switch path.Ext(name) {
			case ".wants", ".requires", ".upholds":
				for _, unit := range r.children(at) {
					found[name+"/"+unit] = true
				}
			}
		}
	}
	for name := range found {
		r.found.Units = append(r.found.Units, name)
	}
	for name := range masked {
		r.found.Masked = append(r.found.Masked, name)
	}
	slices.Sort(r.found.Units)
	slices.Sort(r.found.Masked)
	return nil
}
