package packages

import (
	"fmt"
	"maps"
	"slices"

	"github.com/proa-os/proa/builder/tree"
)

// Own gives what the payloads have brought into t, and is owned by users and
// groups that are known by name only, their ids. The names must be in the
// tree's etc/passwd and etc/group by then. Set-id bits and extended attributes
// stay, and what a later source has put in the place of a file is left alone.
func Own(t *tree.Tree, payloads []Payload) error {
	var owners *tree.Owners
	done := map[*tree.Node]bool{}
	for i := range payloads {
		p := &payloads[i]
		if len(p.Owners) == 0 {
			continue
		}
		if owners == nil {
			var err error
			if owners, err = t.Owners(); err != nil {
				return err
			}
		}
		nodes := map[string]*tree.Node{}
		for _, e := range p.Entries {
			if e.Node == nil {
				nodes[e.Path] = nodes[e.Link]
			} else {
				nodes[e.Path] = e.Node
			}
		}
		for _, path := range slices.Sorted(maps.Keys(p.Owners)) {
			n := brought(t, path, nodes[path])
			if n == nil || done[n] {
				continue
			}
			uid, gid, err := ids(owners, p.Owners[path])
			if err != nil {
				return fmt.Errorf("package %s: path %.200q: %w", p.title(), path, err)
			}
			n.UID, n.GID, done[n] = uid, gid, true
		}
	}
	return nil
}

// brought is the tree's node for one that a package has brought, nil if it is
// there no more. The tree has copied directories.
func brought(t *tree.Tree, path string, node *tree.Node) *tree.Node {
	if node == nil {
		return nil
	}
	if node.Kind != tree.Directory {
		if there, ok := t.Lookup(path); !ok || there != node {
			return nil
		}
		return node
	}
	there, ok := t.Resolve(path)
	if !ok || there.Kind != tree.Directory || there.Source != node.Source {
		return nil
	}
	return there
}

func ids(owners *tree.Owners, o Owner) (uid, gid uint32, err error) {
	if uid, err = owners.User(o.User); err != nil {
		return 0, 0, err
	}
	gid, err = owners.Group(o.Group)
	return uid, gid, err
}
