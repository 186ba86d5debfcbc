package configure

import (
	"errors"
	"path"

	"github.com/proa-os/proa/builder/configure/scripts"
	"github.com/proa-os/proa/builder/tree"
)

func doLn(w *world, c call) (status, error) {
	o := parseOptions(c.args, nil)
	if len(o.plain) != 2 || !o.flag("-s", "--symbolic") {
		return unknown, notDone("only one symbolic link at a time is made")
	}
	return w.eachPlace(o.plain[1:], func(at string) error {
		if n, there := w.tree.Resolve(at); there && n.Kind == tree.Directory && !o.flag("-n", "-T", "--no-dereference", "--no-target-directory") {
			at = path.Join(at, path.Base(o.plain[0]))
		}
		if old, there := w.tree.Lookup(at); there {
			if !o.flag("-f", "--force") || old.Kind == tree.Directory {
				return errors.New(at + " is there already")
			}
		}
		return w.put(at, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: o.plain[0]})
	})
}

// doCp copies one file.
func doCp(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"--preserve": ""})
	if len(o.plain) != 2 {
		return unknown, notDone("only one file at a time is copied")
	}
	return w.copy(o.plain[0], o.plain[1], func(n *tree.Node, old *tree.Node) {
		keep := o.flag("-p", "-a", "--archive", "--preserve")
		if !keep {
			n.Mode, n.UID, n.GID, n.Xattrs = n.Mode&0o777&^w.umask, 0, 0, nil
		}
		if !keep && old != nil && old.Kind == tree.File {
			n.Mode, n.UID, n.GID, n.Xattrs = old.Mode, old.UID, old.GID, old.Xattrs
		}
	})
}

func (w *world) copy(from, to string, change func(n, old *tree.Node)) (status, error) {
	return w.eachPlace([]string{to}, func(at string) error {
		source, there := w.tree.Resolve(path.Clean(from))
		switch {
		case !there:
			return errors.New(from + " does not exist")
		case source.Kind != tree.File:
			return notDone("only files are copied")
		}
		old, there := w.tree.Resolve(at)
		if there && old.Kind == tree.Directory {
			at = path.Join(at, path.Base(from))
			old, _ = w.tree.Resolve(at)
		}
		n := &tree.Node{Mode: source.Mode, UID: source.UID, GID: source.GID, Xattrs: source.Xattrs, Content: source.Content}
		change(n, old)
		return w.put(at, n)
	})
}

// doUcf is ucf(1) for a file that is not there yet: it is the package's.
func doUcf(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"--sum-file": "", "--sum-dir": "", "-s": "", "--state-dir": "", "--src-dir": ""})
	if len(o.plain) != 2 {
		return unknown, notDone("want a new file and where it goes")
	}
	if _, there := w.tree.Lookup(path.Clean(o.plain[1])); there {
		return ok, passed("the file is there already")
	}
	return w.copy(o.plain[0], o.plain[1], func(n, _ *tree.Node) {})
}

func doMv(w *world, c call) (status, error) {
	o := parseOptions(c.args, nil)
	if len(o.plain) != 2 {
		return unknown, notDone("only one file at a time is moved")
	}
	if w.making {
		return ok, nil
	}
	from, err := place(o.plain[0])
	if err != nil {
		return unknown, err
	}
	n, there := w.tree.Lookup(from)
	switch {
	case !there:
		return scripts.Failure, errors.New(from + " does not exist")
	case n.Kind == tree.Directory:
		return unknown, notDone("only files are moved")
	}
	return w.eachPlace(o.plain[1:], func(at string) error {
		if old, there := w.tree.Resolve(at); there && old.Kind == tree.Directory {
			at = path.Join(at, path.Base(from))
		}
		if w.sameName(from, at) {
			return errors.New(from + " and " + at + " are the same file")
		}
		if err := w.tree.Link(at, from); err != nil {
			return err
		}
		return w.tree.Remove(from)
	})
}

// sameName reports whether both paths are one name in one folder, such as when
// one of them goes through a link.
func (w *world) sameName(a, b string) bool {
	inA, ok := w.tree.Resolve(path.Dir(a))
	inB, okB := w.tree.Resolve(path.Dir(b))
	return ok && okB && inA == inB && path.Base(a) == path.Base(b)
}
