package ldcache

import (
	"fmt"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// library is what a folder has under one soname.
type library struct {
	name   string // of the file
	soname string
	flags  uint32
	isLink bool
	level  uint32 // of the instruction set that it needs
}

// search finds the libraries of a folder, makes the links that are missing and
// notes what goes into the cache. Of two files with one soname a file counts
// before a link, and a later version before an earlier one.
func (c *cache) search(f *folder) error {
	names, err := c.tree.Children(relative(f.path))
	if err != nil {
		return err
	}
	var found []*library
	bySoname := map[string]*library{}
	for _, name := range names {
		l, err := c.look(f, name)
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		old := bySoname[l.soname]
		switch {
		case old == nil:
			bySoname[l.soname] = l
			found = append(found, l)
		case !l.isLink && old.isLink || l.isLink == old.isLink && compareNames(old.name, l.name) < 0:
			old.name, old.isLink, old.level = l.name, l.isLink, l.level
		}
	}
	for _, l := range found {
		file := l.name
		if f.hwcaps == "" {
			file = l.soname
			if err := c.link(f, l); err != nil {
				return err
			}
		}
		c.entries = append(c.entries, entry{soname: l.soname, path: f.path + "/" + file, flags: l.flags, level: l.level, hwcaps: f.hwcaps})
	}
	return nil
}

// look says what a name in a folder is; nil for anything but a library.
func (c *cache) look(f *folder, name string) (*library, error) {
	if !isLibraryName(name) || strings.Contains(name, ".#prelink#") {
		return nil, nil
	}
	at := relative(f.path + "/" + name)
	n, _ := c.tree.Lookup(at)
	isLink := n.Kind == tree.Symlink
	n, ok := c.tree.Resolve(at)
	if !ok && strings.Contains(name, ".so.") {
		return nil, c.tree.Remove(at)
	}
	if !ok || n.Kind != tree.File {
		return nil, nil
	}
	o, err := readObject(n.Content)
	if err != nil {
		return nil, fmt.Errorf("reading /%s: %w", at, err)
	}
	if o == nil {
		return nil, nil
	}
	flags, ok := c.family.flags(o)
	if !ok {
		return nil, nil
	}
	l := &library{name: name, soname: o.soname, flags: flags, isLink: isLink, level: o.level}
	if l.soname == "" {
		l.soname = name
	}
	// A link that is named as the soname, or as the soname up to ".so", is one
	// for the linkers; any other counts as a file of its own.
	if isLink && name != l.soname && !(strings.HasSuffix(name, ".so") && strings.HasPrefix(l.soname, name)) {
		l.isLink = false
	}
	if l.isLink {
		l.soname = name
	}
	return l, nil
}

// isLibraryName is true of "libx.so.1" and of dynamic linkers.
func isLibraryName(name string) bool {
	if strings.HasPrefix(name, "ld.so.") || strings.HasPrefix(name, "ld64.so.") {
		return true
	}
	return (strings.HasPrefix(name, "lib") || strings.HasPrefix(name, "ld-")) && strings.Contains(name, ".so")
}

// link makes a link from the soname to the file, where there is none yet or
// one to something else.
func (c *cache) link(f *folder, l *library) error {
	if l.isLink || l.name == l.soname {
		return nil
	}
	if strings.Contains(l.soname, "/") {
		return nil // ldconfig cannot make such a link either
	}
	at := relative(path.Join(f.path, l.soname))
	there, ok := c.tree.Lookup(at)
	if ok {
		led, _ := c.tree.Resolve(at)
		file, _ := c.tree.Resolve(relative(path.Join(f.path, l.name)))
		if led == file || there.Kind != tree.Symlink {
			return nil
		}
	}
	return c.tree.Put(at, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: l.name, Source: c.source})
}

// compareNames compares as the dynamic linker does, whose binary search relies
// on it: bytes, but numbers by their value (modulo 2^32, as there).
func compareNames(a, b string) int {
	i, j := 0, 0
	at := func(s string, i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	number := func(s string, i *int) int32 {
		n := int32(0)
		for digit(at(s, *i)) {
			n = n*10 + int32(s[*i]-'0')
			*i++
		}
		return n
	}
	for i < len(a) {
		x, y := a[i], at(b, j)
		switch {
		case digit(x) && digit(y):
			if n, m := number(a, &i), number(b, &j); n != m {
				return int(n - m)
			}
		case digit(x):
			return 1
		case digit(y):
			return -1
		case x != y:
			return int(int8(x)) - int(int8(y))
		default:
			i++
			j++
		}
	}
	return 0 - int(int8(at(b, j)))
}
