// Package tmpfiles makes what tmpfiles.d(5) files ask for, as far as a build
// can: everything but what lies in the folders that are empty when a system
// starts (/run, /tmp and such), and but access lists and file attributes, which
// systemd-tmpfiles(8) sets when it runs at each boot.
package tmpfiles

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/tree"
)

// item is one line.
type item struct {
	line  dropin.Line
	kind  byte
	force bool // +: replace what is there, or truncate it
	path  string
	mode  *uint32
	mask  bool // ~: keep what the file's own mode does not have
	user  string
	group string
	// once says that mode and owner are given to new files only (:).
	once     struct{ mode, user, group bool }
	argument string
}

// volatile are the folders that the kernel or a memory file system provides.
var volatile = []string{"/run", "/var/run", "/tmp", "/dev", "/proc", "/sys"}

// parse reads a line; nil is one that is not for a build.
func parse(l dropin.Line, s dropin.Specifiers) (*item, error) {
	words, err := dropin.Words(l.Text, 7, true)
	if err != nil {
		return nil, err
	}
	if len(words) < 2 {
		return nil, fmt.Errorf("want a type and a path")
	}
	for len(words) < 7 {
		words = append(words, "-")
	}
	kind, modifiers := words[0][:1], words[0][1:]
	i := &item{line: l, kind: kind[0], force: strings.Contains(modifiers, "+")}
	if strings.Trim(modifiers, "+!-=~^$?") != "" {
		return nil, fmt.Errorf("type %q: want one letter and + ! - = ~ ^ $ ?", words[0])
	}
	if i.path, err = s.Expand(words[1]); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(i.path, "/") {
		return nil, fmt.Errorf("path %q: want an absolute one", i.path)
	}
	if i.path = path.Clean(i.path); i.path == "/" {
		return nil, fmt.Errorf("path / cannot be made")
	}
	// ! is for the boot, ^ and ~ take the content from a credential or encoded.
	if strings.ContainsAny(modifiers, "!^~") || isVolatile(i.path) {
		return nil, nil
	}
	if err := i.parseMode(words[2]); err != nil {
		return nil, err
	}
	if i.user, err = i.owner(words[3], &i.once.user, s); err != nil {
		return nil, err
	}
	if i.group, err = i.owner(words[4], &i.once.group, s); err != nil {
		return nil, err
	}
	if words[6] != "-" {
		i.argument = words[6]
		if strings.IndexByte("fFLCwt", i.kind) >= 0 {
			if i.argument, err = s.Expand(i.argument); err != nil {
				return nil, err
			}
		}
	}
	return i, nil
}

func isVolatile(p string) bool {
	for _, v := range volatile {
		if strings.HasPrefix(p, v+"/") || p == v && v != "/var/run" {
			return true
		}
	}
	return false
}

func (i *item) parseMode(s string) error {
	if s == "-" {
		return nil
	}
	rest := strings.TrimLeft(s, "~:")
	i.mask = strings.Contains(s[:len(s)-len(rest)], "~")
	i.once.mode = strings.Contains(s[:len(s)-len(rest)], ":")
	mode, err := strconv.ParseUint(rest, 8, 32)
	if err != nil || mode > 0o7777 {
		return fmt.Errorf("mode %q: want an octal number up to 7777", s)
	}
	value := uint32(mode)
	i.mode = &value
	return nil
}

func (i *item) owner(s string, once *bool, specifiers dropin.Specifiers) (string, error) {
	if s == "-" {
		return "", nil
	}
	s, *once = strings.CutPrefix(s, ":")
	return specifiers.Expand(s)
}

// takes reports whether the line says what its path is, and not only how.
func (i *item) takes() bool { return strings.IndexByte("fFdDevqQpLcbC", i.kind) >= 0 }

// unescaped is an argument with the escapes of C in it replaced.
func unescaped(s string) (string, error) {
	words, err := dropin.Words(`"`+strings.ReplaceAll(s, `"`, `\"`)+`"`, 1, false)
	if err != nil || len(words) == 0 {
		return s, err
	}
	return words[0], nil
}

// relative is a path as the tree takes it.
func relative(p string) string { return strings.TrimPrefix(p, "/") }

func kindOf(c byte) (tree.Kind, uint32) {
	switch c {
	case 'd', 'D', 'v', 'q', 'Q', 'e':
		return tree.Directory, 0o755
	case 'p':
		return tree.FIFO, 0o644
	case 'L':
		return tree.Symlink, 0o777
	}
	return tree.File, 0o644
}
