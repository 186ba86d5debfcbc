package debian

import (
	"path"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// shells is update-shells(8) of debianutils: the shells of all packages, also
// by the names that they have through links of folders.
func shells(t *tree.Tree, source string) error {
	const template, folder = "usr/share/debianutils/shells", "usr/share/debianutils/shells.d"
	files := []string{template}
	if names, err := t.Children(folder); err == nil {
		for _, name := range names {
			files = append(files, path.Join(folder, name))
		}
	}
	var all []string
	for _, file := range files {
		data, err := t.ReadFile(file, maxText)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), "#")
			if line == "" {
				continue
			}
			all = append(all, line)
			if real := path.Join(realFolder(t, path.Dir(line)), path.Base(line)); real != line {
				all = append(all, real)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	old, err := t.ReadFile("etc/shells", maxText)
	if err != nil {
		old, err = t.ReadFile(template, maxText)
	}
	if err != nil {
		old = nil
	}
	listed, state := map[string]bool{}, map[string]bool{}
	text, known := "", ""
	for line := range strings.Lines(string(old)) {
		shell, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "#")
		if shell == "" || !listed[shell] {
			text += strings.TrimRight(line, "\n") + "\n"
		}
		listed[shell] = true
	}
	for _, shell := range all {
		if !listed[shell] {
			text += shell + "\n"
			listed[shell] = true
		}
		if !state[shell] {
			known += shell + "\n"
			state[shell] = true
		}
	}
	if err := put(t, "etc/shells", text, source); err != nil {
		return err
	}
	return put(t, "var/lib/shells.state", known, source)
}

// realFolder follows a link in the place of a top folder: /bin is /usr/bin.
func realFolder(t *tree.Tree, dir string) string {
	for range 8 {
		n, ok := t.Lookup(dir)
		if !ok || n.Kind != tree.Symlink {
			return dir
		}
		dir = path.Join("/", path.Dir(dir), n.Target)
		if strings.HasPrefix(n.Target, "/") {
			dir = path.Clean(n.Target)
		}
	}
	return dir
}
