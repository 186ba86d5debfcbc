package tmpfiles

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/tree"
)

// Result says what was done.
type Result struct {
	Made    []string       // paths that are new
	Changed []string       // paths whose mode, owner or content changed
	Faults  []dropin.Fault // lines that do not count
}

type maker struct {
	tree   *tree.Tree
	owners *tree.Owners
	source string
	walks  int
	result Result
}

// maxWalks is how many lines may go through the whole tree.
const maxWalks = 256

// Apply does what the given files (dropin.Files of tmpfiles.d) ask for.
func Apply(t *tree.Tree, files []string, source string) (Result, error) {
	lines, err := dropin.Read(t, files...)
	if err != nil {
		return Result{}, err
	}
	owners, err := t.Owners()
	if err != nil {
		return Result{}, err
	}
	m := &maker{tree: t, owners: owners, source: source}
	specifiers := dropin.NewSpecifiers(t)
	var items []*item
	taken := map[string]bool{}
	for _, l := range lines {
		switch i, err := parse(l, specifiers); {
		case errors.Is(err, dropin.ErrMachine): // a boot does it
		case err != nil:
			m.result.Faults = append(m.result.Faults, l.Fault("%v", err))
		case i != nil:
			// The first line that says what a path is counts.
			if i.takes() && taken[i.path] && !i.force {
				continue
			}
			taken[i.path] = taken[i.path] || i.takes()
			items = append(items, i)
		}
	}
	// What is around comes before what is inside.
	slices.SortStableFunc(items, func(a, b *item) int {
		return slices.Compare(strings.Split(a.path, "/"), strings.Split(b.path, "/"))
	})
	for _, i := range items {
		if err := m.apply(i); err != nil {
			m.result.Faults = append(m.result.Faults, i.line.Fault("%v", err))
		}
	}
	return m.result, nil
}

func (m *maker) apply(i *item) error {
	switch i.kind {
	case 'd', 'D', 'v', 'q', 'Q', 'f', 'F', 'p', 'L', 'C':
		return m.make(i)
	case 'e', 'm', 'z', 'Z':
		return m.adjust(i)
	case 'w', 'c', 'b', 'x', 'X', 'r', 'R', 't', 'T', 'h', 'H', 'a', 'A':
		return nil // for the running system, or nothing is there to do it with
	}
	return fmt.Errorf("type %q is unknown", i.kind)
}

// make makes what a path is to be, unless something is there.
func (m *maker) make(i *item) error {
	at := relative(i.path)
	kind, mode := kindOf(i.kind)
	old, there := m.tree.Lookup(at)
	if there && kind == tree.Directory {
		old, there = m.tree.Resolve(at)
	}
	switch {
	case there && old.Kind != kind && !(i.force && i.kind == 'L'), there && i.kind == 'C':
		return nil // what a package or the recipe has put there counts
	case there && i.kind == 'L' && (!i.force || old.Target == i.argument):
		return nil
	case there && i.kind != 'L':
		return m.keep(i, old)
	case i.kind == 'C':
		return m.copy(i)
	}
	n := &tree.Node{Kind: kind, Mode: mode, Source: m.source}
	if there && old.Kind == tree.Directory {
		return nil
	}
	switch i.kind {
	case 'L':
		if n.Target = i.argument; n.Target == "" {
			n.Target = "/usr/share/factory" + i.path
		}
		_, there = m.tree.Resolve(n.Target)
		if strings.Contains(i.line.Text[:min(3, len(i.line.Text))], "?") && !there {
			return nil
		}
	case 'f', 'F':
		if err := setContent(n, i.argument); err != nil {
			return err
		}
	}
	if err := m.setOwner(i, n, true); err != nil {
		return err
	}
	m.result.Made = append(m.result.Made, i.path)
	return m.tree.Put(at, n)
}

func setContent(n *tree.Node, argument string) error {
	text, err := unescaped(argument)
	n.Content = tree.Content{At: strings.NewReader(text), Size: int64(len(text))}
	return err
}

// keep gives what is there the line's mode and owner, and with + its content.
func (m *maker) keep(i *item, old *tree.Node) error {
	n := *old
	if n.Kind == tree.File && (i.force || i.kind == 'F') {
		if err := setContent(&n, i.argument); err != nil {
			return err
		}
	}
	if err := m.setOwner(i, &n, false); err != nil {
		return err
	}
	return m.change(i.path, old, &n)
}

// change puts a changed copy in the place of a node.
func (m *maker) change(at string, old, n *tree.Node) error {
	if n.Mode == old.Mode && n.UID == old.UID && n.GID == old.GID && n.Content == old.Content {
		return nil
	}
	m.result.Changed = append(m.result.Changed, at)
	old.Mode, old.UID, old.GID = n.Mode, n.UID, n.GID
	if n.Content == old.Content {
		return nil
	}
	replaced := tree.Node{Kind: tree.File, Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: n.Xattrs, Source: m.source, Content: n.Content}
	return m.tree.Put(relative(at), &replaced)
}

// setOwner gives n the mode and the owner that the line asks for.
func (m *maker) setOwner(i *item, n *tree.Node, fresh bool) error {
	if i.mode != nil && n.Kind != tree.Symlink && (fresh || !i.once.mode) {
		mode := *i.mode
		if i.mask && !fresh {
			mode = masked(mode, n)
		}
		n.Mode = mode
	}
	if i.user != "" && (fresh || !i.once.user) {
		id, err := m.owners.User(i.user)
		if err != nil {
			return err
		}
		n.UID = id
	}
	if i.group != "" && (fresh || !i.once.group) {
		id, err := m.owners.Group(i.group)
		if err != nil {
			return err
		}
		n.GID = id
	}
	return nil
}

// masked is a mode of ~ on an existing file: no bit for reading, writing or
// executing that nobody had, and no set-ID bits for what was no directory.
func masked(mode uint32, n *tree.Node) uint32 {
	for _, bit := range []uint32{0o444, 0o222, 0o111} {
		if n.Mode&bit == 0 {
			mode &^= bit
		}
	}
	if n.Kind != tree.Directory {
		mode &^= 0o7000
	}
	return mode
}

// adjust changes modes and owners of what the pattern matches.
func (m *maker) adjust(i *item) error {
	recursive := i.kind == 'Z'
	pattern := relative(i.path)
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("pattern %q: %w", i.path, err)
	}
	if n, ok := m.tree.Resolve(pattern); ok && !recursive {
		return m.keep(&item{line: i.line, kind: i.kind, path: i.path, mode: i.mode, mask: i.mask, user: i.user, group: i.group, once: i.once}, n)
	}
	if m.walks++; m.walks > maxWalks {
		return fmt.Errorf("more than %d patterns and lines of type Z", maxWalks)
	}
	depth := strings.Count(pattern, "/")
	return m.tree.Walk(func(at string, n *tree.Node) error {
		head := at
		if names := strings.Split(at, "/"); recursive && len(names) > depth+1 {
			head = strings.Join(names[:depth+1], "/")
		}
		if !matches(pattern, head) || n.Kind == tree.Symlink {
			return nil
		}
		changed := *n
		if err := m.setOwner(i, &changed, false); err != nil {
			return err
		}
		return m.change(at, n, &changed)
	})
}

// matches is glob(7): a wildcard at the beginning of a name matches no dot. The
// pattern is known to be a good one.
func matches(pattern, at string) bool {
	if ok, _ := path.Match(pattern, at); !ok {
		return false
	}
	patterns := strings.Split(pattern, "/")
	for i, name := range strings.Split(at, "/") {
		if name[0] == '.' && i < len(patterns) && strings.IndexByte("*?[", patterns[i][0]) >= 0 {
			return false
		}
	}
	return true
}

// copy copies what the argument names in the tree.
func (m *maker) copy(i *item) error {
	from := i.argument
	if from == "" {
		from = "/usr/share/factory" + i.path
	}
	source, ok := m.tree.Resolve(relative(from))
	if !ok {
		return nil
	}
	m.result.Made = append(m.result.Made, i.path)
	return m.copyNode(i, source, relative(from), relative(i.path), true)
}

func (m *maker) copyNode(i *item, n *tree.Node, from, to string, top bool) error {
	c := &tree.Node{Kind: n.Kind, Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: n.Xattrs, Source: m.source, Content: n.Content, Target: n.Target}
	if top {
		if err := m.setOwner(i, c, true); err != nil {
			return err
		}
	}
	if err := m.tree.Put(to, c); err != nil || n.Kind != tree.Directory {
		return err
	}
	names, err := m.tree.Children(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		child, ok := m.tree.Lookup(path.Join(from, name))
		if !ok || strings.HasPrefix(to+"/", path.Join(from, name)+"/") {
			continue // a folder copied into itself
		}
		if err := m.copyNode(i, child, path.Join(from, name), path.Join(to, name), false); err != nil {
			return err
		}
	}
	return nil
}
