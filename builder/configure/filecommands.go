package configure

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/proa-os/proa/builder/configure/scripts"
	"github.com/proa-os/proa/builder/tree"
)

// place checks a path that a script changes something at.
func place(at string) (string, error) {
	switch {
	case !strings.HasPrefix(at, "/"):
		return "", notDone(fmt.Sprintf("%q is not an absolute path", at))
	case volatile(at):
		return "", passed("a machine starts with that folder empty")
	}
	return path.Clean(at), nil
}

// eachPlace does something at each of several paths; those that a machine
// starts without are passed over.
func (w *world) eachPlace(paths []string, do func(at string) error) (status, error) {
	if w.making {
		return ok, nil
	}
	if len(paths) == 0 {
		return unknown, notDone("want a path")
	}
	var first, over error
	for _, p := range paths {
		at, err := place(p)
		if errors.As(err, new(passed)) {
			over = err
			continue
		}
		if err == nil {
			err = do(at)
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return scripts.Failure, first
	}
	return ok, over
}

func doUmask(w *world, c call) (status, error) {
	if len(c.args) == 1 {
		mask, err := strconv.ParseUint(c.args[0], 8, 32)
		if err != nil || mask > 0o777 {
			return unknown, notDone("umask " + c.args[0])
		}
		w.umask = uint32(mask)
	}
	return ok, nil
}

// doWrite is cat, echo, printf and : with their output in a file.
func doWrite(w *world, c call) (status, error) {
	if w.making {
		return ok, nil
	}
	var text string
	switch {
	case c.pipe:
		return unknown, notDone("it is part of a pipeline")
	case c.name == "cat" && c.input != nil && len(c.args) == 0:
		text = *c.input
	case c.name == "cat":
		for _, from := range c.args {
			data, err := w.tree.ReadFile(path.Clean(from), maxText)
			if err != nil {
				return scripts.Failure, err
			}
			text += string(data)
		}
	case c.name == "echo" && !hasFlag(c.args, 'e') && !hasFlag(c.args, 'n'):
		text = strings.Join(c.args, " ") + "\n"
	case c.name == "printf" && len(c.args) == 1 && !strings.Contains(c.args[0], "%"):
		text = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(c.args[0])
	case c.name != ":":
		return unknown, notDone("what it writes is not known")
	}
	return w.eachPlace([]string{c.output}, func(at string) error {
		if c.more {
			if old, err := w.tree.ReadFile(at, maxText); err == nil {
				text = string(old) + text
			}
		}
		return w.writeFile(at, text)
	})
}

// writeFile makes a file, or gives one another content.
func (w *world) writeFile(at, text string) error {
	if len(text) > maxText {
		return notDone("the file becomes too long")
	}
	n := &tree.Node{Mode: 0o666 &^ w.umask}
	if old, there := w.tree.Resolve(at); there && old.Kind == tree.File {
		n.Mode, n.UID, n.GID, n.Xattrs = old.Mode, old.UID, old.GID, old.Xattrs
	}
	n.Content = tree.Content{At: strings.NewReader(text), Size: int64(len(text))}
	return w.put(at, n)
}

func doMkdir(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"-m": "mode", "--mode": "mode"})
	return w.eachPlace(o.plain, func(at string) error {
		if n, there := w.tree.Resolve(at); there {
			if n.Kind != tree.Directory || !o.flag("-p", "--parents") {
				return errors.New(at + " is there already")
			}
			return nil
		}
		n := &tree.Node{Kind: tree.Directory, Mode: 0o777 &^ w.umask}
		if mode, given := o.values["mode"]; given {
			var err error
			if n.Mode, err = newMode(mode, n); err != nil {
				return err
			}
		}
		return w.put(at, n)
	})
}

func doRmdir(w *world, c call) (status, error) {
	o := parseOptions(c.args, nil)
	return w.eachPlace(o.plain, func(at string) error {
		names, err := w.tree.Children(at)
		if err == nil && len(names) == 0 {
			return w.tree.Remove(at)
		}
		if errors.Is(err, fs.ErrNotExist) || o.flag("--ignore-fail-on-non-empty") {
			return nil
		}
		return errors.New(at + " is not empty")
	})
}

func doRm(w *world, c call) (status, error) {
	o := parseOptions(c.args, nil)
	return w.eachPlace(o.plain, func(at string) error {
		n, there := w.tree.Lookup(at)
		switch {
		case !there:
			return nil
		case n.Kind == tree.Directory && !o.flag("-r", "-R", "--recursive"):
			return errors.New(at + " is a directory")
		case at == "/" || strings.Count(at, "/") == 1 && n.Kind == tree.Directory:
			return notDone("a script does not remove " + at)
		}
		return w.tree.Remove(at)
	})
}

func doTouch(w *world, c call) (status, error) {
	o := parseOptions(c.args, map[string]string{"-r": "", "--reference": "", "-d": "", "-t": ""})
	return w.eachPlace(o.plain, func(at string) error {
		if _, there := w.tree.Lookup(at); there {
			return nil
		}
		return w.writeFile(at, "")
	})
}

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
		if at == from {
			return errors.New(at + " is the same file")
		}
		if err := w.tree.Link(at, from); err != nil {
			return err
		}
		return w.tree.Remove(from)
	})
}

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
