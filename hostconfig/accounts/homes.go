package accounts

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/hostconfig/stage"
)

// home is where a new user's home is: /home/NAME where the image lets /home lead
// to /var, else /var/home/NAME.
func (a *Accounts) home(u plan.User) (string, error) {
	if u.Home == "" {
		u.Home = path.Join(cmp.Or(a.useradd["HOME"], "/home"), u.Name)
		if real, err := a.stage.Resolve(u.Home, false); err != nil || stage.May(real) != nil {
			u.Home = path.Join("/var/home", u.Name)
		}
	}
	if u.NoHome {
		return u.Home, nil
	}
	real, err := a.stage.Resolve(u.Home, true)
	if err == nil && !a.stage.Exists(u.Home) {
		err = stage.May(real)
	}
	if err != nil && !a.stage.Has(u.Home) {
		return "", fmt.Errorf("home: %w", err)
	}
	return u.Home, nil
}

// makeHome makes a home as /etc/skel is. One that is there stays as it is.
func (a *Accounts) makeHome(home string, uid, gid uint32) error {
	if a.stage.Exists(home) {
		return nil
	}
	mode := uint64(0o777) &^ uint64(a.login.number("UMASK", 0o22))
	if text := a.login["HOME_MODE"]; text != "" {
		if n, err := strconv.ParseUint(text, 8, 32); err == nil {
			mode = n
		}
	}
	e := stage.Entry{Path: home, Kind: stage.Folder, Mode: uint32(mode), UID: uid, GID: gid}
	if _, err := a.stage.Put(e); err != nil {
		return err
	}
	return a.copySkeleton(cmp.Or(a.useradd["SKEL"], "/etc/skel"), home, uid, gid)
}

func (a *Accounts) copySkeleton(from, to string, uid, gid uint32) error {
	names, err := a.stage.List(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		e, err := a.stage.Look(path.Join(from, name))
		if err != nil {
			return err
		}
		source := e.Path
		e.Path, e.UID, e.GID, e.Fresh = path.Join(to, name), uid, gid, false
		switch e.Kind {
		case stage.Folder, stage.Symlink:
		case stage.File:
			if e.Content, err = a.stage.Read(source, mostFile); err != nil {
				return err
			}
		default:
			continue
		}
		if _, err := a.stage.Put(e); err != nil {
			return err
		}
		if e.Kind == stage.Folder {
			if err := a.copySkeleton(source, e.Path, uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys adds keys to ~/.ssh/authorized_keys. A user's folder is the user's: what
// is there must be what it seems, since root's writing would follow a link.
func (a *Accounts) keys(u plan.User) error {
	if len(u.Keys) == 0 {
		return nil
	}
	line := a.find(passwd, u.Name)
	uid, err := id(line[2])
	if err != nil {
		return fmt.Errorf("user %s: id %q: %w", u.Name, line[2], err)
	}
	gid, err := id(line[3])
	if err != nil {
		return fmt.Errorf("user %s: group %q: %w", u.Name, line[3], err)
	}
	if a.stage.Has(line[5]) {
		return nil
	}
	home, err := a.stage.Resolve(line[5], true)
	if err != nil {
		return err
	}
	if e, err := a.stage.Look(home); err != nil || e.Kind != stage.Folder {
		return fmt.Errorf("user %s has no home %s to put keys into", u.Name, line[5])
	}
	folder := path.Join(home, ".ssh")
	file := path.Join(folder, "authorized_keys")
	made := []stage.Entry{
		{Path: folder, Kind: stage.Folder, Mode: 0o700, UID: uid, GID: gid},
		{Path: file, Kind: stage.File, Mode: 0o600, UID: uid, GID: gid},
	}
	for i, e := range made {
		there, err := a.stage.Look(e.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if there.Kind != e.Kind {
			return fmt.Errorf("%s is a %s: want a %s", e.Path, there.Kind, e.Kind)
		}
		made[i].Mode = there.Mode
	}
	old, err := a.stage.Read(file, mostFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made[1].Content = withLines(old, u.Keys)
	for _, e := range made {
		if _, err := a.stage.Put(e); err != nil {
			return fmt.Errorf("keys of user %s: %w", u.Name, err)
		}
	}
	return nil
}
