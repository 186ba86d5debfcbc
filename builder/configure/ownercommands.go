package configure

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

func doChmod(w *world, c call) (status, error) {
	// A mode such as -x is no option.
	var plain []string
	recursive := false
	for _, a := range c.args {
		switch {
		case a == "-R" || a == "--recursive":
			recursive = true
		case a == "-f" || a == "--silent" || a == "--quiet" || a == "-v" || a == "-c" || a == "--":
		default:
			plain = append(plain, a)
		}
	}
	if len(plain) < 2 || strings.HasPrefix(plain[0], "--") {
		return unknown, notDone("want a mode and paths")
	}
	return w.eachPlace(plain[1:], func(at string) error {
		return w.change(at, recursive, true, func(n *tree.Node) error {
			mode, err := newMode(plain[0], n)
			if err == nil && n.Kind != tree.Symlink {
				n.Mode = mode
			}
			return err
		})
	})
}

// change changes what is at a path, and with recursive all below it.
func (w *world) change(at string, recursive, follow bool, do func(*tree.Node) error) error {
	n, there := w.tree.Lookup(at)
	if there && follow && n.Kind == tree.Symlink {
		n, there = w.tree.Resolve(at)
	}
	if !there {
		return errors.New(at + " does not exist")
	}
	if err := do(n); err != nil || !recursive || n.Kind != tree.Directory {
		return err
	}
	names, err := w.tree.Children(at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.change(path.Join(at, name), true, false, do); err != nil {
			return err
		}
	}
	return nil
}

// doChown is chown and chgrp.
func doChown(w *world, c call) (status, error) {
	o := parseOptions(c.args, nil)
	if len(o.plain) < 2 || o.flag("--reference") {
		return unknown, notDone("want an owner and paths")
	}
	owner := o.plain[0]
	if c.name == "chgrp" {
		owner = ":" + owner
	}
	return w.eachPlace(o.plain[1:], func(at string) error {
		return w.chownAll(at, owner, o.flag("-R", "--recursive"), !o.flag("-h", "--no-dereference"))
	})
}

func (w *world) chown(at, owner string) error { return w.chownAll(at, owner, false, true) }

func (w *world) chownAll(at, owner string, recursive, follow bool) error {
	user, group, both := strings.Cut(owner, ":")
	if !both {
		if name, g, dotted := strings.Cut(owner, "."); dotted {
			if _, there := w.accounts.User(owner); !there {
				user, group = name, g
			}
		}
	}
	owners, err := w.tree.Owners()
	if err != nil {
		return err
	}
	var uid, gid *uint32
	if user != "" {
		id, err := owners.User(user)
		if err != nil {
			return err
		}
		uid = &id
	}
	if group != "" {
		id, err := owners.Group(group)
		if err != nil {
			return err
		}
		gid = &id
	}
	return w.change(at, recursive, follow, func(n *tree.Node) error {
		if uid != nil {
			n.UID = *uid
		}
		if gid != nil {
			n.GID = *gid
		}
		if n.Kind == tree.File {
			n.Mode &^= 0o6000 // as the kernel does
		}
		return nil
	})
}

// doInstall is install(1): -d makes folders, without it one file is copied.
func doInstall(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"-m": "mode", "--mode": "mode", "-o": "owner", "--owner": "owner", "-g": "group", "--group": "group"})
	mode := o.values["mode"]
	if mode == "" {
		mode = "755"
	}
	finish := func(at string) error {
		if owner := o.values["owner"] + ":" + o.values["group"]; owner != ":" {
			if err := w.chown(at, owner); err != nil {
				return err
			}
		}
		return w.change(at, false, true, func(n *tree.Node) (err error) {
			n.Mode, err = newMode(mode, n)
			return err
		})
	}
	if o.flag("-d", "--directory") {
		return w.eachPlace(o.plain, func(at string) error {
			if err := w.put(at, &tree.Node{Kind: tree.Directory, Mode: 0o755}); err != nil {
				return err
			}
			return finish(at)
		})
	}
	if len(o.plain) != 2 {
		return unknown, notDone("only one file at a time is installed")
	}
	at := o.plain[1]
	if n, there := w.tree.Resolve(path.Clean(at)); there && n.Kind == tree.Directory {
		at = path.Join(at, path.Base(o.plain[0]))
	}
	status, err := w.copy(o.plain[0], at, func(n, _ *tree.Node) { n.UID, n.GID, n.Xattrs = 0, 0, nil })
	if err != nil || w.making {
		return status, err
	}
	return ok, finish(path.Clean(at))
}

// newMode is the mode that chmod(1) gives n: octal, or such as u+s,go-w.
func newMode(mode string, n *tree.Node) (uint32, error) {
	if value, err := strconv.ParseUint(mode, 8, 32); err == nil && value <= 0o7777 {
		return uint32(value), nil
	}
	out := n.Mode
	for _, clause := range strings.Split(mode, ",") {
		at := strings.IndexAny(clause, "+-=")
		if at < 0 {
			return 0, notDone("mode " + mode)
		}
		who := clause[:at]
		if who == "" || who == "a" {
			who = "ugo"
		}
		var bits uint32
		for _, c := range who {
			shift, known := map[rune]uint32{'u': 6, 'g': 3, 'o': 0}[c]
			if !known {
				return 0, notDone("mode " + mode)
			}
			for _, p := range clause[at+1:] {
				bit, err := permission(p, shift, n)
				if err != nil {
					return 0, notDone("mode " + mode)
				}
				bits |= bit
			}
			if clause[at] == '=' {
				out &^= 7 << shift
			}
		}
		if clause[at] == '-' {
			out &^= bits
		} else {
			out |= bits
		}
	}
	return out, nil
}

// permission is the bit of one letter of a mode.
func permission(letter rune, shift uint32, n *tree.Node) (uint32, error) {
	switch letter {
	case 'r':
		return 4 << shift, nil
	case 'w':
		return 2 << shift, nil
	case 'x':
		return 1 << shift, nil
	case 'X':
		if n.Kind == tree.Directory || n.Mode&0o111 != 0 {
			return 1 << shift, nil
		}
		return 0, nil
	case 's':
		return map[uint32]uint32{6: 0o4000, 3: 0o2000, 0: 0}[shift], nil
	case 't':
		return 0o1000, nil
	}
	return 0, errors.New("unknown")
}
