package overlay

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

// overrides are the entries of one overlay with what they match.
type overrides []*override

type override struct {
	Entry
	names []string // the glob, cut at slashes; none for the root
	found []match
}

// match is a path of the folder that a glob matches.
type match struct {
	path      string
	directory bool
}

func parseEntries(entries []Entry) (overrides, error) {
	var all overrides
	for _, e := range entries {
		names, err := parseGlob(e.Path)
		if err != nil {
			return nil, err
		}
		if e.Mode != nil && *e.Mode > 0o7777 {
			return nil, fmt.Errorf("entry %.200q: mode %#o: want at most 07777", e.Path, *e.Mode)
		}
		if e.Mode == nil && e.Owner == "" && e.Group == "" {
			return nil, fmt.Errorf("entry %.200q: want a mode, an owner or a group", e.Path)
		}
		all = append(all, &override{Entry: e, names: names})
	}
	return all, nil
}

// match notes which entries match a path of the folder.
func (all overrides) match(p string, directory bool) {
	var names []string
	if p != "." {
		names = strings.Split(p, "/")
	}
	for _, o := range all {
		if globMatches(o.names, names) {
			o.found = append(o.found, match{p, directory})
		}
	}
}

func (all overrides) apply(t *tree.Tree) error {
	owners, err := t.Owners()
	if err != nil {
		return err
	}
	for _, o := range all {
		if len(o.found) == 0 {
			return fmt.Errorf("entry %.200q matches nothing in the folder", o.Path)
		}
		if err := o.apply(t, owners); err != nil {
			return fmt.Errorf("entry %.200q: %w", o.Path, err)
		}
	}
	return nil
}

func (o *override) apply(t *tree.Tree, owners *tree.Owners) (err error) {
	var uid, gid uint32
	if o.Owner != "" {
		if uid, err = owners.User(o.Owner); err != nil {
			return err
		}
	}
	if o.Group != "" {
		if gid, err = owners.Group(o.Group); err != nil {
			return err
		}
	}
	for _, m := range o.found {
		n, ok := m.placed(t)
		if !ok {
			return fmt.Errorf("%s: another file of the folder took its place", m.path)
		}
		if o.Mode != nil && n.Kind != tree.Symlink {
			n.Mode = *o.Mode
		}
		if o.Owner != "" {
			n.UID = uid
		}
		if o.Group != "" {
			n.GID = gid
		}
	}
	return nil
}

// placed is the node that the path became, or the directory that the folder's
// one merged into.
func (m match) placed(t *tree.Tree) (*tree.Node, bool) {
	if m.directory {
		return t.Resolve(m.path)
	}
	return t.Lookup(m.path)
}

const anyNames = "**"

// parseGlob cuts a glob at its slashes and checks it.
func parseGlob(glob string) ([]string, error) {
	clean, err := tree.Clean(strings.TrimSuffix(glob, "/"))
	if err != nil {
		return nil, fmt.Errorf("entry %.200q: %w", glob, err)
	}
	if clean == "." {
		return nil, nil
	}
	names := strings.Split(clean, "/")
	for _, name := range names {
		if _, err := path.Match(name, ""); err != nil {
			return nil, fmt.Errorf("entry %.200q: %.100q: %w", glob, name, err)
		}
	}
	// A repeated "**" means no more than one.
	return slices.CompactFunc(names, func(a, b string) bool { return a == anyNames && b == anyNames }), nil
}

// globMatches reports whether a glob matches a path. "**" matches any number
// of names, but at the end at least one, and never the root alone.
func globMatches(glob, names []string) bool {
	if n := len(glob); n > 0 && glob[n-1] == anyNames {
		// Everything below: the last name may be any.
		if len(names) == 0 {
			return false
		}
		glob = append(slices.Clone(glob), "*")
	}
	// reached[i] says that what was seen of the glob matches names[:i].
	reached := make([]bool, len(names)+1)
	reached[0] = true
	for _, g := range glob {
		next := make([]bool, len(names)+1)
		for i, ok := range reached {
			if g == anyNames {
				next[i] = ok || i > 0 && next[i-1]
				continue
			}
			if ok && i < len(names) {
				// The glob was checked when it was parsed.
				next[i+1], _ = path.Match(g, names[i])
			}
		}
		reached = next
	}
	return reached[len(names)]
}
