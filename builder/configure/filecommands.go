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
			if text += string(data); len(text) > maxText {
				return unknown, notDone("the file becomes too long")
			}
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
