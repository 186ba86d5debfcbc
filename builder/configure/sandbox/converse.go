package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/tree"
)

// change is an item and, unless it was kept, its content.
type change struct {
	item
	content tree.Content
}

type outcome struct {
	results []Result
	changes []change
}

// converse sends the tree and what to do, and takes in what came of it.
func (p *process) converse(ctx context.Context, t *tree.Tree, store *content.Store, r request) (outcome, error) {
	s := newStream(p.out, p.in)
	err := send(ctx, s, t, r)
	if err == nil {
		err = p.in.Close()
	}
	if err != nil {
		return outcome{}, p.fault(ctx, err)
	}
	var a answer
	if err := s.d.Decode(&a); err != nil {
		return outcome{}, p.fault(ctx, err)
	}
	o := outcome{results: a.Results}
	for {
		var c change
		if err := s.d.Decode(&c.item); err != nil {
			return outcome{}, p.fault(ctx, err)
		}
		if c.Last {
			return o, nil
		}
		if c.Kind == tree.File && c.Size > 0 && !c.Kept && c.Link == "" && !c.Removed {
			var err error
			if c.content, err = keep(ctx, store, s.r, c.Size); err != nil {
				return outcome{}, p.fault(ctx, err)
			}
		}
		o.changes = append(o.changes, c)
	}
}

func send(ctx context.Context, s *stream, t *tree.Tree, r request) error {
	if err := s.e.Encode(r); err != nil {
		return err
	}
	first := map[*tree.Node]string{}
	err := t.Walk(func(at string, n *tree.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if keptAside(at, n.Kind) {
			return nil
		}
		if n.UID >= ids || n.GID >= ids {
			return fmt.Errorf("/%s: its owner is %d:%d: scripts can run with ids below %d only", at, n.UID, n.GID, ids)
		}
		i := item{Path: at, Kind: n.Kind, Mode: n.Mode, UID: n.UID, GID: n.GID, Xattrs: n.Xattrs, Target: n.Target, Size: n.Content.Size}
		if name, again := first[n]; again {
			i.Link = name
		} else if n.Kind != tree.Directory {
			first[n] = at
		}
		if err := s.e.Encode(i); err != nil {
			return err
		}
		if i.Link != "" || i.Size == 0 {
			return nil
		}
		_, err := io.CopyN(s.w, n.Content.Open(), i.Size)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.e.Encode(item{Last: true}); err != nil {
		return err
	}
	return s.w.Flush()
}

// keep copies a content into the store.
func keep(ctx context.Context, store *content.Store, r io.Reader, size int64) (tree.Content, error) {
	if store == nil {
		return tree.Content{}, errors.New("there is no store for contents")
	}
	c, err := store.Spool(ctx, io.LimitReader(r, size))
	if err == nil && c.Size != size {
		err = io.ErrUnexpectedEOF
	}
	return c, err
}

// apply makes the changes to the tree, and lists their paths. A content that
// is the same as before, though it was written anew, is no change.
func apply(t *tree.Tree, changes []change, source string) ([]string, error) {
	was := map[string]*tree.Node{}
	for _, c := range changes {
		if n, ok := t.Lookup(c.Path); ok {
			was[c.Path] = n
		}
	}
	var paths []string
	for _, c := range changes {
		if ownOfMachine(c.Path) && !c.Removed {
			continue
		}
		changed, err := applyOne(t, c, was[c.Path], source)
		if err != nil {
			return nil, fmt.Errorf("taking over /%s: %w", c.Path, err)
		}
		if changed {
			paths = append(paths, c.Path)
		}
	}
	return paths, nil
}

// ownOfMachine is true of what each machine must have for itself, such as keys,
// and of what says when and where scripts ran.
func ownOfMachine(at string) bool {
	for _, pattern := range [...]string{
		"etc/machine-id", "var/lib/dbus/machine-id", "etc/ssh/ssh_host_*", "var/lib/systemd/random-seed",
		"var/log/*", "var/log/*/*", "var/cache/ldconfig/aux-cache",
	} {
		if ok, _ := path.Match(pattern, at); ok {
			return true
		}
	}
	return false
}

func applyOne(t *tree.Tree, c change, was *tree.Node, source string) (bool, error) {
	there, exists := t.Lookup(c.Path)
	if c.Removed {
		if !exists {
			return false, nil // with its folder
		}
		if there.Kind == tree.Directory && holdsKeptAside(t, c.Path) {
			return false, nil
		}
		return true, t.Remove(c.Path)
	}
	if c.Link != "" {
		if target, ok := t.Lookup(c.Link); ok && exists && target == there {
			return false, nil
		}
		if exists {
			if err := t.Remove(c.Path); err != nil {
				return false, err
			}
		}
		return true, t.Link(c.Path, c.Link)
	}
	n := &tree.Node{Kind: c.Kind, Mode: c.Mode, UID: c.UID, GID: c.GID, Xattrs: c.Xattrs, Target: c.Target, Source: source, Content: c.content}
	if was != nil && c.Kept {
		n.Content = was.Content
	}
	if was != nil && len(c.Xattrs) == 0 && len(was.Xattrs) == 0 {
		n.Xattrs = was.Xattrs
	}
	equal, err := equalNodes(n, was)
	if err != nil || equal {
		return false, err
	}
	if exists && c.Path != "." && (there.Kind == tree.Directory) != (c.Kind == tree.Directory) || exists && there.Kind == tree.Symlink {
		if err := t.Remove(c.Path); err != nil {
			return false, err
		}
	}
	return true, t.Put(c.Path, n)
}

// holdsKeptAside reports whether a folder that was removed in the sandbox has
// something that was not there.
func holdsKeptAside(t *tree.Tree, at string) bool {
	found := false
	names, _ := t.Children(at)
	for _, name := range names {
		child := at + "/" + name
		n, _ := t.Lookup(child)
		found = found || keptAside(child, n.Kind) || n.Kind == tree.Directory && holdsKeptAside(t, child)
	}
	return found
}

func equalNodes(n, was *tree.Node) (bool, error) {
	if was == nil || n.Kind != was.Kind || n.Mode != was.Mode || n.UID != was.UID || n.GID != was.GID || n.Target != was.Target || n.Content.Size != was.Content.Size {
		return false, nil
	}
	for name, value := range n.Xattrs {
		if was.Xattrs[name] != value {
			return false, nil
		}
	}
	if len(n.Xattrs) != len(was.Xattrs) {
		return false, nil
	}
	return equalContents(n.Content, was.Content)
}

func equalContents(a, b tree.Content) (bool, error) {
	if a == b || a.Size == 0 {
		return true, nil
	}
	x, y := a.Open(), b.Open()
	var p, q [64 << 10]byte
	for {
		n, err := io.ReadFull(x, p[:])
		m, err2 := io.ReadFull(y, q[:])
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return true, nil
		}
		if err != nil || err2 != nil {
			return false, errors.Join(err, err2)
		}
	}
}
