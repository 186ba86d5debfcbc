package configure

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/configure/debian"
	"github.com/proa-os/proa/builder/configure/dropin"
	"github.com/proa-os/proa/builder/configure/sysusers"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// Users makes the users and groups that packages ask for in their scripts and
// in sysusers.d, and those of Debian's base-passwd. Ids that the tree has are
// never changed.
func Users(ctx context.Context, t *tree.Tree, c Config) (UsersReport, error) {
	if c.has(packages.Deb) {
		if err := debian.Accounts(t, c.Source); err != nil {
			return UsersReport{}, err
		}
	}
	w, err := newWorld(t, c)
	if err != nil {
		return UsersReport{}, err
	}
	w.making = true
	for _, p := range c.Packages {
		w.follow(ctx, p)
	}
	if err := ctx.Err(); err != nil {
		return UsersReport{}, err
	}
	if err := w.sysusers(dropin.Files(t, dropin.Folders("sysusers.d"), ".conf")); err != nil {
		return UsersReport{}, err
	}
	if w.err != nil {
		return UsersReport{}, w.err
	}
	if err := w.accounts.Store(t, c.Source); err != nil {
		return UsersReport{}, fmt.Errorf("writing users and groups: %w", err)
	}
	return w.made, w.makeHomes()
}

func (w *world) sysusers(files []string) error {
	result, err := sysusers.Make(w.tree, w.accounts, files, w.config.day())
	w.made.Users = append(w.made.Users, result.Users...)
	w.made.Groups = append(w.made.Groups, result.Groups...)
	w.made.Faults = appendNew(w.made.Faults, result.Faults)
	return err
}

func appendNew(all, more []dropin.Fault) []dropin.Fault {
	for _, f := range more {
		known := false
		for _, other := range all {
			known = known || other == f
		}
		if !known {
			all = append(all, f)
		}
	}
	return all
}

// doSysusers is systemd-sysusers(8) in a script. Files that are named are made
// now, so that ids are given in the order of the packages.
func doSysusers(w *world, c call) (status, error) {
	if !w.making {
		return ok, nil
	}
	var files []string
	for _, arg := range c.args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		for _, folder := range dropin.Folders("sysusers.d") {
			at := path.Join(folder, arg)
			if strings.HasPrefix(arg, "/") {
				at = strings.TrimPrefix(path.Clean(arg), "/")
			}
			if n, found := w.tree.Resolve(at); found && n.Kind == tree.File {
				files = append(files, at)
				break
			}
		}
	}
	if err := w.sysusers(files); err != nil && w.err == nil {
		w.err = err
	}
	return ok, nil
}
